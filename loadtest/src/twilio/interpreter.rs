//! Fetches TwiML and carries it out, verb by verb.

use std::time::Duration;

use url::Url;

use super::call::{Interrupt, Source, TwimlDocument};
use super::call_run::CallRun;
use super::callbacks::{Fields, delivery, field};
use super::status::{CallStatus, Direction};
use super::stream::StreamEnd;
use super::twiml::{self, Document, Verb};
use super::webhook::{Answer, Delivery, NoAnswer};

/// A call that is given more documents than this runs in circles.
const MAX_DOCUMENTS: usize = 100;

/// What Twilio says when there is no TwiML to run.
const APOLOGY: &str = "We are sorry. An application error has occurred. Goodbye.";

enum Flow {
    /// The document is exhausted or says so: hang up.
    End,
    /// Go on with another document.
    Goto(Source, Fields),
    /// The document cannot be had or run.
    Failed { code: u32, url: String },
    /// Something cut it short.
    Interrupted,
}

impl CallRun {
    /// Runs TwiML until the call ends.
    pub(crate) async fn run_twiml(
        &mut self,
        source: Option<Source>,
        mut fallback: Option<Source>,
        mut extra: Fields,
    ) {
        let Some(mut source) = source else { return };
        for _ in 0..MAX_DOCUMENTS {
            let flow = self.run_document(&source, extra).await;
            extra = Fields::new();
            match (self.interrupts.take(), flow) {
                (Some(Interrupt::Redirect { source: next, fallback: other }), _) => {
                    source = next;
                    fallback = other.or(fallback);
                }
                (Some(_), _) | (None, Flow::End | Flow::Interrupted) => return,
                (None, Flow::Goto(next, fields)) => {
                    source = next;
                    extra = fields;
                }
                (None, Flow::Failed { code, url }) => {
                    let Some(next) = fallback.take() else {
                        self.answer();
                        self.call.update(|state| state.say_texts.push(APOLOGY.to_owned()));
                        return;
                    };
                    source = next;
                    extra = vec![field("ErrorCode", code.to_string()), field("ErrorUrl", url)];
                }
            }
        }
        self.call.violation(None, "the call is given TwiML without end");
    }

    async fn run_document(&mut self, source: &Source, extra: Fields) -> Flow {
        let (body, base) = match source {
            Source::Inline(body) => (body.clone(), None),
            Source::Url { url, method } => match self.fetch(url, method, extra).await {
                Some(Ok(body)) => (body, Some(url.clone())),
                Some(Err(error)) => {
                    self.call.notify(error.code, error.what);
                    return Flow::Failed { code: error.code, url: url.clone() };
                }
                None => return Flow::Interrupted,
            },
        };
        let document = TwimlDocument { url: base.clone(), body: body.clone() };
        self.call.update(|state| state.documents.push(document));
        match twiml::parse(&body) {
            Ok(document) => {
                for fault in &document.faults {
                    self.call.violation(Some(fault.code), &*fault.message);
                }
                self.execute(document, base.as_deref()).await
            }
            Err(fault) => {
                self.call.violation(Some(fault.code), format!("{}: {body:?}", fault.message));
                Flow::Failed { code: fault.code, url: base.unwrap_or_default() }
            }
        }
    }

    /// Requests a document; None when that was cut short.
    async fn fetch(
        &mut self,
        url: &str,
        method: &str,
        extra: Fields,
    ) -> Option<Result<String, NoAnswer>> {
        let faults = self.behaviour.webhook.clone();
        if self.pause(faults.delay).await {
            return None;
        }
        let mut fields = self.voice_fields();
        fields.extend(extra);
        fields.extend(faults.extra_field);
        let request = Delivery {
            signature: faults.signature,
            ..delivery(&self.account.options.auth_token, url, method, fields)
        };
        let times = if faults.twice && !self.fetched { 2 } else { 1 };
        self.fetched = true;
        let mut result = Err(NoAnswer { code: 11_200, what: String::new() });
        for _ in 0..times {
            tokio::select! {
                () = self.interrupts.wait() => return None,
                answer = self.world.webhooks.send(&request) => result = answer,
            }
        }
        Some(result.and_then(|answer| self.accept(url, answer)))
    }

    /// Checks what came back before reading it.
    fn accept(&self, url: &str, answer: Answer) -> Result<String, NoAnswer> {
        if !(200..300).contains(&answer.status) {
            let what = format!("{url} answered {}", answer.status);
            return Err(NoAnswer { code: 11_217, what });
        }
        let kind = answer.content_type.unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if answer.body.trim().is_empty() {
            self.call.violation(Some(11_770), format!("{url} answered without TwiML"));
            return Err(NoAnswer { code: 11_770, what: format!("{url} answered nothing") });
        }
        match &*kind {
            "text/xml" | "application/xml" => {}
            "text/html" | "text/plain" => {
                self.call.violation(Some(12_300), format!("{url} serves TwiML as {kind:?}"));
            }
            _ => {
                let what = format!("{url} serves TwiML as {kind:?}");
                self.call.violation(Some(12_300), &*what);
                return Err(NoAnswer { code: 12_300, what });
            }
        }
        if !answer.has_length {
            self.call.violation(None, format!("{url} serves TwiML without Content-Length"));
        }
        Ok(answer.body)
    }

    async fn execute(&mut self, document: Document, base: Option<&str>) -> Flow {
        for verb in document.verbs {
            if self.interrupts.are_pending() {
                return Flow::Interrupted;
            }
            let answers =
                !matches!(verb, Verb::Reject { .. } | Verb::Redirect { .. } | Verb::Hangup);
            if answers && !self.answer() {
                return Flow::End;
            }
            let flow = self.perform(verb, base).await;
            if let Some(flow) = flow {
                return flow;
            }
        }
        Flow::End
    }

    /// Carries out one verb; None to go on with the next.
    async fn perform(&mut self, verb: Verb, base: Option<&str>) -> Option<Flow> {
        match verb {
            Verb::Connect { action, method, mut stream } => {
                if Url::parse(&stream.url).is_err() {
                    // A relative URL leads to the same host, in the scheme of sockets.
                    let absolute = resolve(base, &stream.url);
                    stream.url = absolute.map_or(stream.url, |url| url.replacen("http", "ws", 1));
                }
                if self.run_stream(&stream).await == StreamEnd::Interrupted {
                    return Some(Flow::Interrupted);
                }
                action.map(|action| self.follow(base, &action, method, Fields::new()))
            }
            Verb::Say { text, times } => {
                let characters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
                self.call.update(|state| state.say_texts.push(text));
                self.take_time(self.world.options.say_char * characters.saturating_mul(times)).await
            }
            Verb::Play { what } => {
                self.call.update(|state| state.plays.push(what));
                self.take_time(Duration::from_secs(1)).await
            }
            Verb::Pause { seconds } => self.take_time(Duration::from_secs(seconds.into())).await,
            Verb::Hangup => Some(Flow::End),
            Verb::Redirect { url, method } => Some(self.follow(base, &url, method, Fields::new())),
            Verb::Reject { reason } => {
                if self.call.direction != Direction::Inbound {
                    self.call.violation(None, "Reject on an outbound call");
                }
                let busy = reason == "busy";
                self.call.set_status(if busy { CallStatus::Busy } else { CallStatus::NoAnswer });
                Some(Flow::End)
            }
            Verb::Dial { to, action, method } => {
                self.call.update(|state| state.dials.push(to));
                let fields = vec![field("DialCallStatus", "completed")];
                action.map(|action| self.follow(base, &action, method, fields))
            }
        }
    }

    fn follow(&self, base: Option<&str>, url: &str, method: String, fields: Fields) -> Flow {
        match resolve(base, url) {
            Some(url) => Flow::Goto(Source::Url { url, method }, fields),
            None => {
                self.call.violation(Some(11_100), format!("{url:?} is not a URL"));
                Flow::Failed { code: 11_100, url: url.to_owned() }
            }
        }
    }

    /// Passes the nominal time of a verb.
    async fn take_time(&mut self, time: Duration) -> Option<Flow> {
        let time = time.mul_f64(self.world.options.verb_time.max(0.0));
        self.pause(time).await.then_some(Flow::Interrupted)
    }
}

/// Makes a URL of a document absolute. Overrides in the fragment stay.
fn resolve(base: Option<&str>, url: &str) -> Option<String> {
    if Url::parse(url).is_ok() {
        return Some(url.to_owned());
    }
    let base = Url::parse(base?).ok()?;
    base.join(url).ok().map(String::from)
}
