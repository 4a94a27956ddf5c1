//! What Twilio is told to do with a call.

use actix_web::HttpResponse;
use actors::bridge::TOKEN_PARAMETER;
use actors::ids::{CallId, CompanyId};
use secrecy::{ExposeSecret as _, SecretString};
use tracing::warn;

use crate::startup::Context;

use super::paths;
use super::twiml::{self, Stream, Verb};

/// Stands for the company's name in the configured apology.
const COMPANY: &str = "{company}";

/// Open the media stream of a call, and hang up when that is over.
pub(super) fn connect(context: &Context, id: CallId, token: &SecretString) -> HttpResponse {
    let public = &context.public_url;
    let (stream, action, status) = (
        public.websocket(&paths::media(id)),
        public.http(&paths::stream_ended(id)),
        public.http(&paths::stream_status(id)),
    );
    let parameters = [(TOKEN_PARAMETER, token.expose_secret())];
    respond(&[
        Verb::Connect {
            action: Some(&action),
            stream: Stream {
                url: &stream,
                status_callback: Some(&status),
                parameters: &parameters,
            },
        },
        Verb::Hangup,
    ])
}

/// Hang up.
pub(super) fn hang_up() -> HttpResponse {
    respond(&[Verb::Hangup])
}

/// Say that it cannot go on, and hang up. Our own call, whose company is looked up.
pub(super) async fn apology_for(context: &Context, id: CallId) -> HttpResponse {
    let company = match context.apology.contains(COMPANY) {
        true => context.store.company_of_call(id).await.unwrap_or_else(|error| {
            warn!(call.id = %id, %error, "call {id} hears an apology without a name");
            None
        }),
        false => None,
    };
    apology(context, company).await
}

/// The same in the name of a company. An apology without a name is better than none.
pub(super) async fn apology(context: &Context, company: Option<CompanyId>) -> HttpResponse {
    let mut name = None;
    if let Some(company) = company.filter(|_| context.apology.contains(COMPANY)) {
        name = context.store.company_name(company).await.unwrap_or_else(|error| {
            warn!(%company, %error, "company {company} apologises without its name");
            None
        });
    }
    let text = context.apology.replace(COMPANY, name.as_deref().unwrap_or_default());
    respond(&[Verb::Say { text: &text, language: None, voice: None }, Verb::Hangup])
}

fn respond(verbs: &[Verb<'_>]) -> HttpResponse {
    HttpResponse::Ok().content_type(twiml::CONTENT_TYPE).body(twiml::document(verbs))
}
