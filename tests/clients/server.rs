//! Servers that answer from a script and remember what they were asked, and the settings and
//! witnesses the tests share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use actors::ports::{TwilioAccount, UltravoxAccount, Vendor};
use callspan::clients::{HttpSettings, RequestObserver};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::form_urlencoded;

/// Long enough for a loaded machine wherever an answer is expected.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

pub(crate) const AC: &str = "AC00000000000000000000000000000001";
pub(crate) const CA: &str = "CA00000000000000000000000000000001";
pub(crate) const TOKEN: &str = "t0ken-s3cret";
pub(crate) const KEY: &str = "aBCDef12.k3y-s3cret";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Takes the request and says nothing, ever.
    Silence,
}

pub(crate) fn reply(status: u16, body: impl Into<String>) -> Reply {
    Reply::Answer { status, headers: Vec::new(), body: body.into() }
}

impl Reply {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Reply::Answer { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }
}

/// An HTTP server that gives its replies in order, the last one forever.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
}

impl Stub {
    pub(crate) fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::on(listener, replies)
    }

    pub(crate) fn on(
        listener: std::net::TcpListener,
        replies: impl IntoIterator<Item = Reply>,
    ) -> Self {
        let address = listener.local_addr().expect("an address");
        let stub = Stub {
            url: format!("http://{address}"),
            seen: Arc::default(),
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
        };
        let data = stub.clone();
        let server = HttpServer::new(move || {
            App::new().app_data(web::Data::new(data.clone())).default_service(web::to(answer))
        });
        let server = server.workers(1).disable_signals().listen(listener).expect("listening");
        actix_web::rt::spawn(server.run());
        stub
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// The only request.
    pub(crate) fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.remove(0)
    }

    fn next(&self) -> Reply {
        let mut replies = self.replies.lock().expect("not poisoned");
        if replies.len() > 1 {
            return replies.pop_front().expect("more than one");
        }
        replies.front().cloned().expect("a reply in the script")
    }
}

async fn answer(request: HttpRequest, body: web::Bytes, stub: web::Data<Stub>) -> HttpResponse {
    let headers = request.headers().iter();
    let seen = Seen {
        method: request.method().to_string(),
        path: request.path().to_owned(),
        query: form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect(),
        headers: headers
            .map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect(),
        body: body.to_vec(),
    };
    stub.seen.lock().expect("not poisoned").push(seen);
    match stub.next() {
        Reply::Silence => std::future::pending().await,
        Reply::Answer { status, headers, body } => {
            let status = actix_web::http::StatusCode::from_u16(status).expect("a status");
            let mut response = HttpResponse::build(status);
            for (name, value) in headers {
                response.insert_header((name, value));
            }
            response.body(body)
        }
    }
}

/// What a raw server does with each connection, once the head of a request has arrived.
#[derive(Clone, Debug)]
pub(crate) enum Raw {
    /// Sends these bytes and closes.
    Bytes(Vec<u8>),
    /// Sends these bytes, then `x` for as long as anybody reads.
    Endless(Vec<u8>),
    /// Breaks the connection off.
    Reset,
    /// Waits until the other side goes.
    Silence,
}

/// A TCP server that answers every connection alike, and counts them.
pub(crate) struct RawServer {
    pub(crate) address: String,
    connections: Arc<Mutex<usize>>,
}

impl RawServer {
    pub(crate) async fn start(behaviour: Raw) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let connections = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&connections);
        actix_web::rt::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *counted.lock().expect("not poisoned") += 1;
                actix_web::rt::spawn(behave(stream, behaviour.clone()));
            }
        });
        RawServer { address, connections }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().expect("not poisoned")
    }
}

async fn behave(mut stream: TcpStream, behaviour: Raw) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_buf(&mut head).await {
            Ok(1..) => {}
            _ => return,
        }
    }
    match behaviour {
        Raw::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            // Read to the end: closing with unread bytes would reset the connection.
            while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {}
        }
        Raw::Endless(bytes) => {
            let _ = stream.write_all(&bytes).await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
        Raw::Reset => stream.set_zero_linger().expect("linger"),
        Raw::Silence => while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {},
    }
}

/// A port nobody listens on.
pub(crate) fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

type Reaction = Box<dyn Fn(&str) + Send + Sync>;

/// Remembers what was reported, and may react to it.
#[derive(Default)]
pub(crate) struct Witness {
    reports: Mutex<Vec<String>>,
    reaction: Option<Reaction>,
}

impl Witness {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn reacting(reaction: impl Fn(&str) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Witness { reports: Mutex::default(), reaction: Some(Box::new(reaction)) })
    }

    /// Each attempt as `vendor operation status`.
    pub(crate) fn reports(&self) -> Vec<String> {
        self.reports.lock().expect("not poisoned").clone()
    }
}

impl RequestObserver for Witness {
    fn request(&self, vendor: Vendor, operation: &'static str, status: &str, _: Duration) {
        let report = format!("{} {operation} {status}", vendor.label());
        self.reports.lock().expect("not poisoned").push(report);
        if let Some(reaction) = &self.reaction {
            reaction(status);
        }
    }
}

/// Patient, but quick to repeat.
pub(crate) fn settings() -> HttpSettings {
    HttpSettings {
        connect_timeout: PATIENT,
        request_timeout: PATIENT,
        backoff: Duration::from_millis(1),
        ..HttpSettings::default()
    }
}

/// For requests that get no answer.
pub(crate) fn impatient() -> HttpSettings {
    HttpSettings { request_timeout: Duration::from_millis(500), ..settings() }
}

pub(crate) fn twilio_account() -> TwilioAccount {
    TwilioAccount {
        account_sid: AC.parse().expect("a sid"),
        auth_token: SecretString::from(TOKEN),
        phone_number: "+15017122661".parse().expect("a number"),
    }
}

pub(crate) fn ultravox_account(api_url: Option<&str>) -> UltravoxAccount {
    UltravoxAccount { api_key: SecretString::from(KEY), api_url: api_url.map(str::to_owned) }
}
