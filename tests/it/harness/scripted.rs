//! A service that fails by plan, for the commands that ask one.

use std::collections::VecDeque;
use std::process::Output;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use serde_json::{Value, json};

use super::ADMIN_KEY;
use super::process::run;

/// A service that gives these answers in their order, and keeps what it was asked.
pub(crate) struct Scripted {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    server: actix_web::dev::ServerHandle,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) key: Option<String>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) company: Option<String>,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) text: String,
}

impl Scripted {
    /// Starts it on a free port.
    pub(crate) fn start(answers: Vec<(u16, Value)>) -> Self {
        let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let kept = asked.clone();
        let answer = move |request: HttpRequest, body: Bytes| {
            let header = |name: &str| {
                let value = request.headers().get(name)?;
                Some(value.to_str().expect("text").to_owned())
            };
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(Asked {
                line: format!("{} {}", request.method(), request.path()),
                key: header("X-API-Key"),
                idempotency_key: header("Idempotency-Key"),
                company: header("X-Company-Id"),
                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                text: String::from_utf8_lossy(&body).into_owned(),
            });
            let next = answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let (status, body) = next.unwrap_or((500, json!({ "message": "asked too often" })));
            let status = StatusCode::from_u16(status).expect("a status");
            let mut answer = HttpResponse::build(status);
            if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
                answer.insert_header(("Retry-After", "0"));
            }
            std::future::ready(answer.json(body))
        };
        let server = HttpServer::new(move || {
            let limit = web::PayloadConfig::new(16 * 1024 * 1024);
            App::new().app_data(limit).default_service(web::to(answer.clone()))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .expect("a free port");
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Scripted { url, asked, server: handle }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Runs the program against it, to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        run(args, &[("CALLSPAN_API_KEY", ADMIN_KEY), ("CALLSPAN_URL", &self.url)]).await
    }

    /// Stops it, and gives what it was asked.
    pub(crate) async fn finish(self) -> Vec<Asked> {
        self.server.stop(true).await;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
