//! The REST API: routes, the key, injected faults, and the log of requests.

mod agents;
mod calls;
mod lists;

use std::{net::TcpListener, sync::Arc, sync::mpsc, time::Instant};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::ServerHandle,
    http::{Method, StatusCode, header},
    web,
};
use serde_json::{Value, json};

use super::{
    options::{Fault, On},
    shared::{RecordedRequest, Shared},
};

/// Largest request body that is read.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Serves the API until the handle that it tells stops it. `alive` is dropped with the last thing
/// that could still answer a request: workers outlive the server that stops them.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    tell: mpsc::Sender<std::io::Result<ServerHandle>>,
    alive: mpsc::Sender<()>,
) {
    let tls = shared.options.tls.clone();
    let app = move || {
        App::new()
            .app_data(web::Data::from(shared.clone()))
            .app_data(web::PayloadConfig::new(BODY_LIMIT))
            .app_data(alive.clone())
            .default_service(web::to(answer))
    };
    let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(0);
    let listening = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls.server_config()),
        None => server.listen(listener),
    };
    match listening {
        Ok(server) => {
            let server = server.run();
            // Whoever starts the server waits for this.
            let _ = tell.send(Ok(server.handle()));
            if let Err(error) = server.await {
                tracing::error!(%error, "the simulated Ultravox API ended badly");
            }
        }
        Err(error) => {
            let _ = tell.send(Err(error));
        }
    }
}

/// A request, its body read.
pub(crate) struct Asked<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) query: Vec<(String, String)>,
    /// Null when there was none.
    pub(crate) body: Value,
}

impl Asked<'_> {
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Records every problem, and refuses the request if there is one.
    pub(crate) fn refuse_if(&self, problems: Vec<String>) -> Result<(), Answer> {
        if problems.is_empty() {
            return Ok(());
        }
        for problem in &problems {
            self.shared.violation(None, problem.clone());
        }
        Err(Answer::new(400, json!({ "detail": problems.join("; ") })))
    }
}

/// A status and a JSON body; null stands for none.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Answer { status, body }
    }

    pub(crate) fn not_found() -> Self {
        Answer::new(404, json!({"detail": "Not found."}))
    }

    fn into_response(self, retry_after: Option<u64>) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        if let Some(seconds) = retry_after {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if self.body.is_null() { response.finish() } else { response.json(self.body) }
    }
}

async fn answer(shared: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let shared = shared.into_inner();
    let parsed = match body.as_ref() {
        [] => Ok(Value::Null),
        bytes => serde_json::from_slice(bytes),
    };
    let record = || RecordedRequest {
        at: Instant::now(),
        method: request.method().to_string(),
        path: request.path().to_owned(),
        query: request.query_string().to_owned(),
        body: parsed.as_ref().cloned().unwrap_or_default(),
    };
    if shared.options.keep_requests {
        shared.state().requests.push(record());
    }
    let key = request.headers().get("X-API-Key").and_then(|key| key.to_str().ok());
    if key != Some(shared.api_key.as_str()) {
        let refused = json!({"detail": "Invalid API key"});
        return Answer::new(shared.options.bad_key_status, refused).into_response(None);
    }
    let segments: Vec<&str> = request.path().trim_start_matches('/').split('/').collect();
    let Some((kind, route)) = Route::of(request.method(), &segments) else {
        shared.violation(None, format!("{} {}: no such route", request.method(), request.path()));
        return Answer::not_found().into_response(None);
    };
    let fault = shared.fault(kind);
    match &fault {
        Some(Fault::Answer { status, body, retry_after }) => {
            return Answer::new(*status, body.clone()).into_response(*retry_after);
        }
        Some(Fault::Garbage) => return HttpResponse::Ok().body("<html>upstream error</html>"),
        Some(Fault::NeverAnswers) => return std::future::pending().await,
        Some(Fault::Slow(delay)) => actix_rt::time::sleep(*delay).await,
        Some(Fault::AnswerLost | Fault::NoJoinUrl) | None => {}
    }
    let Ok(body) = parsed else {
        shared.violation(None, "a request body that is not JSON");
        let refused = json!({"detail": "JSON parse error"});
        return Answer::new(400, refused).into_response(None);
    };
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let is_json = |kind: &header::HeaderValue| kind.as_bytes().starts_with(b"application/json");
    if !body.is_null() && !content_type.is_some_and(is_json) {
        shared.violation(None, format!("a JSON body sent as {content_type:?}"));
    }
    let query = url::form_urlencoded::parse(request.query_string().as_bytes());
    let asked = Asked { shared: &shared, query: query.into_owned().collect(), body };
    let mut answer = route.answer(&asked);
    match fault {
        Some(Fault::AnswerLost) => return std::future::pending().await,
        Some(Fault::NoJoinUrl) if answer.status == 201 => answer.body["joinUrl"] = Value::Null,
        _ => {}
    }
    answer.into_response(None)
}

/// The routes that exist here.
enum Route {
    CreateCall,
    ListCalls,
    Call(String),
    DeleteCall(String),
    Messages(String),
    SendDataMessage(String),
    CreateAgent,
    ListAgents,
    Agent(String),
    ChangeAgent(String),
    DeleteAgent(String),
    CallAgent(String),
    AgentCalls(String),
    Account,
    Models,
    Voices,
}

impl Route {
    fn of(method: &Method, path: &[&str]) -> Option<(On, Route)> {
        let (get, post) = (method == Method::GET, method == Method::POST);
        let own = |id: &str| id.to_owned();
        let found = match path {
            ["api", "calls"] if post => (On::CreateCall, Route::CreateCall),
            ["api", "calls"] if get => (On::ReadCalls, Route::ListCalls),
            ["api", "calls", id] if get => (On::ReadCalls, Route::Call(own(id))),
            ["api", "calls", id] if method == Method::DELETE => {
                (On::DeleteCall, Route::DeleteCall(own(id)))
            }
            ["api", "calls", id, "messages"] if get => (On::ReadCalls, Route::Messages(own(id))),
            ["api", "calls", id, "send_data_message"] if post => {
                (On::SendDataMessage, Route::SendDataMessage(own(id)))
            }
            ["api", "agents"] if post => (On::Agents, Route::CreateAgent),
            ["api", "agents"] if get => (On::Agents, Route::ListAgents),
            ["api", "agents", id] if get => (On::Agents, Route::Agent(own(id))),
            ["api", "agents", id] if method == Method::PATCH => {
                (On::Agents, Route::ChangeAgent(own(id)))
            }
            ["api", "agents", id] if method == Method::DELETE => {
                (On::Agents, Route::DeleteAgent(own(id)))
            }
            ["api", "agents", id, "calls"] if post => (On::CreateCall, Route::CallAgent(own(id))),
            ["api", "agents", id, "calls"] if get => (On::ReadCalls, Route::AgentCalls(own(id))),
            ["api", "accounts", "me"] if get => (On::Account, Route::Account),
            ["api", "models"] if get => (On::Account, Route::Models),
            ["api", "voices"] if get => (On::Account, Route::Voices),
            _ => return None,
        };
        Some(found)
    }

    fn answer(&self, asked: &Asked<'_>) -> Answer {
        let answer = match self {
            Route::CreateCall => calls::create(asked),
            Route::ListCalls => calls::list(asked),
            Route::Call(id) => calls::read(asked, id),
            Route::DeleteCall(id) => calls::delete(asked, id),
            Route::Messages(id) => calls::messages(asked, id),
            Route::SendDataMessage(id) => calls::send_data_message(asked, id),
            Route::CreateAgent => agents::create(asked),
            Route::ListAgents => agents::list(asked),
            Route::Agent(id) => agents::read(asked, id),
            Route::ChangeAgent(id) => agents::change(asked, id),
            Route::DeleteAgent(id) => agents::delete(asked, id),
            Route::CallAgent(id) => agents::call(asked, id),
            Route::AgentCalls(id) => agents::calls(asked, id),
            Route::Account => Ok(lists::account(asked)),
            Route::Models => lists::models(asked),
            Route::Voices => lists::voices(asked),
        };
        answer.unwrap_or_else(|refused| refused)
    }
}
