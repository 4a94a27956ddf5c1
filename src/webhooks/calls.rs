//! What Twilio asks and reports about one call.
//!
//! Every request names our call in its path and must be signed with that company's token. News may
//! come twice, late and in any order: the call's core and the store only ever move it forward.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use actors::call::{CallStatus, CallUpdate, EndReason};
use actors::call_session::{
    AfterStream, AnswerCall, ConnectEnded, MachineNews, PhoneNews, StreamReport,
};
use actors::machine::AnsweredBy;
use actors::ports::{CallLog as _, Telephony as _};
use tracing::{info, warn};

use crate::startup::Context;

use super::news::News;
use super::{answers, reject};

/// How long a webhook waits for what is known of calls to be written. Twilio waits 15 s.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Serves `POST /twilio/answer/{call_id}`: the call is answered, what now?
pub(crate) async fn answer(news: News, context: web::Data<Context>) -> HttpResponse {
    let token = match context.registry.get(news.id) {
        Some((_, call)) => call.send(AnswerCall { call_sid: news.call_sid }).await,
        None => return answers::apology_for(&context, news.id).await,
    };
    let Ok(Ok(token)) = token else {
        info!(call.id = %news.id, "call {} was answered too late", news.id);
        return answers::apology_for(&context, news.id).await;
    };
    answers::connect(&context, news.id, &token)
}

/// Serves `POST /twilio/status/{call_id}` and `POST /twilio/voice-status`: how the call stands.
pub(crate) async fn status(news: News, context: web::Data<Context>) -> HttpResponse {
    let Some(status) = news.form.get("CallStatus").and_then(|word| word.parse().ok()) else {
        return reject(&context, StatusCode::BAD_REQUEST, "no_call_status");
    };
    // The callback that tells of the verdict may have been lost.
    let answered_by = news.form.get("AnsweredBy").map(AnsweredBy::from);
    match context.registry.get(news.id) {
        Some((_, call)) => {
            let told = call.send(PhoneNews { call_sid: news.call_sid, status, answered_by }).await;
            if told.is_err() {
                // Its actor has just died, and the registry ends the call.
                warn!(call.id = %news.id, "call {} could not be told that it is {status}", news.id);
            }
        }
        None => late_status(&context, news, status).await,
    }
    HttpResponse::NoContent().finish()
}

/// News of a call that is not live here: it is over, or its node is gone.
async fn late_status(context: &Context, news: News, status: CallStatus) {
    // A call that has just been given up may not be written as such yet.
    context.journal.flush(FLUSH_LIMIT).await;
    let row = match context.store.call(news.id).await {
        Ok(Some(row)) => row,
        Ok(None) => return,
        Err(error) => {
            warn!(call.id = %news.id, %error, "call {} is {status}, which is not stored", news.id);
            return;
        }
    };
    if row.call_sid.as_ref().is_some_and(|ours| *ours != news.call_sid) {
        warn!(call.id = %news.id, "call {} was told of another call", news.id);
        return;
    }
    if row.status.is_final() && !status.is_final() {
        // We gave it up, and yet it rings: nobody would answer for it.
        warn!(call.id = %news.id, "call {} is over, yet {status}; hanging up", news.id);
        if let Err(error) = context.telephony.hang_up(&news.account, &news.call_sid).await {
            warn!(call.id = %news.id, %error, "call {} is not hung up", news.id);
        }
        return;
    }
    if row.call_sid.is_none() {
        context.journal.record(news.id, CallUpdate::Placed(news.call_sid));
    }
    if let Some(word) = news.form.get("AnsweredBy") {
        context.journal.record(news.id, CallUpdate::AnsweredBy(word.into()));
    }
    // A call of ours that is not live was taken over from a node that is gone.
    let reason = if row.node == context.node { EndReason::NodeLost } else { status.into() };
    let update = match status.is_final() {
        false => CallUpdate::Status(status),
        true => CallUpdate::Ended { status, reason, detail: None, duration: None },
    };
    context.journal.record(news.id, update);
}

/// Serves `POST /twilio/machine/{call_id}`: who took the call. Said once at most.
pub(crate) async fn machine(news: News, context: web::Data<Context>) -> HttpResponse {
    let Some(word) = news.form.get("AnsweredBy") else {
        return reject(&context, StatusCode::BAD_REQUEST, "no_answered_by");
    };
    let answered_by = AnsweredBy::from(word);
    match context.registry.get(news.id) {
        Some((_, call)) => {
            if call.send(MachineNews { call_sid: news.call_sid, answered_by }).await.is_err() {
                warn!(call.id = %news.id, "call {} could not be told who took it", news.id);
            }
        }
        None => late_verdict(&context, news, answered_by).await,
    }
    HttpResponse::NoContent().finish()
}

/// Who took a call that is not live here: still worth knowing, but nothing to act on.
async fn late_verdict(context: &Context, news: News, answered_by: AnsweredBy) {
    context.journal.flush(FLUSH_LIMIT).await;
    match context.store.call(news.id).await {
        Ok(Some(row)) if row.call_sid.as_ref() == Some(&news.call_sid) => {
            context.journal.record(news.id, CallUpdate::AnsweredBy(answered_by));
        }
        Ok(_) => warn!(call.id = %news.id, "call {} was told who took another call", news.id),
        Err(error) => {
            warn!(call.id = %news.id, %error, "who took call {} is not stored", news.id);
        }
    }
}

/// Serves `POST /twilio/stream-status/{call_id}`: how the media stream fares, seen from Twilio.
pub(crate) async fn stream_status(news: News, context: web::Data<Context>) -> HttpResponse {
    let Some(event) = news.form.get("StreamEvent") else {
        return reject(&context, StatusCode::BAD_REQUEST, "no_stream_event");
    };
    if let Some((_, call)) = context.registry.get(news.id) {
        let event = event.chars().take(40).collect();
        let error = news.form.get("StreamError").map(|text| text.chars().take(300).collect());
        if call.send(StreamReport { call_sid: news.call_sid, event, error }).await.is_err() {
            warn!(call.id = %news.id, "call {} could not be told of its stream", news.id);
        }
    }
    HttpResponse::NoContent().finish()
}

/// Serves `POST /twilio/stream-ended/{call_id}`, the action of `<Connect>`: what now?
pub(crate) async fn stream_ended(news: News, context: web::Data<Context>) -> HttpResponse {
    let after = match context.registry.get(news.id) {
        Some((_, call)) => call
            .send(ConnectEnded { call_sid: news.call_sid })
            .await
            .unwrap_or(AfterStream::Apologise),
        // The call has just ended in good order, or the node that carried it is gone.
        None => match context.store.call(news.id).await {
            Ok(Some(row)) if row.status.is_final() => AfterStream::HangUp,
            _ => AfterStream::Apologise,
        },
    };
    match after {
        AfterStream::HangUp => answers::hang_up(),
        AfterStream::Apologise => answers::apology_for(&context, news.id).await,
    }
}
