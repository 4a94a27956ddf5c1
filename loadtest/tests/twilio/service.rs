//! The least that can take a call: webhooks that answer what a test tells them to, and a socket
//! for media streams that the test works by hand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use callspan_loadtest::twilio::{Message, SimCall, SimTwilio, TwilioOptions, signature};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{
    Callback, ErrorResponse, Request, Response,
};

/// A webhook request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) path: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) headers: HashMap<String, String>,
}

impl Hook {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

#[derive(Default)]
struct Answers {
    by_path: HashMap<String, (u16, String, String)>,
    hooks: Vec<Hook>,
}

/// The service under the simulator's test.
pub(crate) struct Service {
    pub(crate) twilio: SimTwilio,
    pub(crate) http: String,
    pub(crate) ws: String,
    answers: Arc<Mutex<Answers>>,
    streams: mpsc::UnboundedReceiver<Stream>,
    client: reqwest::Client,
    server: actix_web::dev::ServerHandle,
}

impl Service {
    pub(crate) async fn start(options: TwilioOptions) -> Self {
        let twilio = SimTwilio::start(options).expect("a free port");
        let answers = Arc::new(Mutex::new(Answers::default()));
        let data = web::Data::from(answers.clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let http = format!("http://{}", listener.local_addr().expect("an address"));
        let app = move || App::new().app_data(data.clone()).default_service(web::to(hook));
        let server = HttpServer::new(app)
            .workers(1)
            .disable_signals()
            .listen(listener)
            .expect("a listening socket")
            .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);

        let sockets = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let ws = format!("ws://{}", sockets.local_addr().expect("an address"));
        let (accepted, streams) = mpsc::unbounded_channel();
        actix_web::rt::spawn(async move {
            while let Ok((tcp, _)) = sockets.accept().await {
                let seen = Arc::new(Mutex::new(HashMap::new()));
                let look = Look(seen.clone());
                if let Ok(socket) = tokio_tungstenite::accept_hdr_async(tcp, look).await {
                    let headers = seen.lock().expect("no panic").clone();
                    let stream = Stream { socket, headers, sid: String::new() };
                    if accepted.send(stream).is_err() {
                        break;
                    }
                }
            }
        });
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Service { twilio, http, ws, answers, streams, client, server: handle }
    }

    /// What a path answers from now on. Paths without an answer say 204.
    pub(crate) fn serve(&self, path: &str, status: u16, kind: &str, body: &str) {
        let answer = (status, kind.to_owned(), body.to_owned());
        self.answers.lock().expect("no panic").by_path.insert(path.to_owned(), answer);
    }

    pub(crate) fn serve_twiml(&self, path: &str, verbs: &str) {
        self.serve(path, 200, "text/xml", &format!("<Response>{verbs}</Response>"));
    }

    /// TwiML that streams to this service and then goes on with `rest`.
    pub(crate) fn stream_verb(&self) -> String {
        format!(
            r#"<Connect><Stream url="{}/media" statusCallback="{}/stream"><Parameter name="token" value="t&amp;1"/></Stream></Connect>"#,
            self.ws, self.http
        )
    }

    /// Webhooks that came to a path.
    pub(crate) fn hooks(&self, path: &str) -> Vec<Hook> {
        let answers = self.answers.lock().expect("no panic");
        answers.hooks.iter().filter(|hook| hook.path == path).cloned().collect()
    }

    /// The next media stream.
    pub(crate) async fn stream(&mut self) -> Stream {
        self.streams.recv().await.expect("the socket server runs")
    }

    /// A POST to the REST API.
    pub(crate) async fn post(
        &self,
        path: &str,
        form: &[(&str, &str)],
    ) -> reqwest::Result<reqwest::Response> {
        let sid = self.twilio.account_sid();
        let url = format!("{}/2010-04-01/Accounts/{sid}/{path}", self.twilio.api_url());
        let request = self.client.post(url).basic_auth(sid, Some(self.twilio.auth_token()));
        request.form(form).send().await
    }

    /// A GET from the REST API.
    pub(crate) async fn get(&self, uri: &str) -> (u16, Value) {
        let url = format!("{}{uri}", self.twilio.api_url());
        let token = self.twilio.auth_token();
        let request = self.client.get(url).basic_auth(self.twilio.account_sid(), Some(token));
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    /// Places a call with this service's webhooks.
    pub(crate) async fn place(&self, to: &str, more: &[(&str, &str)]) -> SimCall {
        let (voice, status) = (format!("{}/voice", self.http), format!("{}/status", self.http));
        let mut form = vec![
            ("To", to),
            ("From", self.twilio.phone_number()),
            ("Url", &*voice),
            ("StatusCallback", &*status),
            ("StatusCallbackEvent", "initiated"),
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
        ];
        form.extend_from_slice(more);
        let response = self.post("Calls.json", &form).await.expect("an answer");
        assert_eq!(response.status(), 201, "{:?}", response.text().await);
        self.twilio.wait_for_call(to).await
    }

    /// Places a call and opens its stream.
    pub(crate) async fn streaming(&mut self, to: &str, after: &str) -> (SimCall, Stream) {
        self.serve_twiml("/voice", &format!("{}{after}", self.stream_verb()));
        let call = self.place(to, &[]).await;
        let mut stream = self.stream().await;
        stream.start().await;
        (call, stream)
    }

    /// `CallStatus` of the status callbacks, in order of arrival.
    pub(crate) fn reported(&self) -> Vec<String> {
        self.hooks("/status").iter().map(|hook| hook.field("CallStatus").to_owned()).collect()
    }

    /// Whether a webhook's signature is right.
    pub(crate) fn assert_signed(&self, hook: &Hook) {
        let url = format!("{}{}", self.http, hook.path);
        let expected = signature::sign(self.twilio.auth_token(), &url, &hook.fields);
        assert_eq!(hook.headers.get("x-twilio-signature"), Some(&expected), "{hook:?}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Stops in its own time; the test is over.
        drop(self.server.stop(false));
    }
}

async fn hook(
    answers: web::Data<Mutex<Answers>>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let headers = request.headers().iter();
    let headers = headers.map(|(n, v)| (n.to_string(), v.to_str().unwrap_or("").to_owned()));
    let mut answers = answers.lock().expect("no panic");
    answers.hooks.push(Hook {
        path: request.path().to_owned(),
        fields: serde_urlencoded::from_bytes(&body).expect("a form"),
        headers: headers.collect(),
    });
    match answers.by_path.get(request.path()) {
        Some((status, kind, body)) => {
            let status = StatusCode::from_u16(*status).expect("a status");
            HttpResponse::build(status).content_type(kind.clone()).body(body.clone())
        }
        None => HttpResponse::NoContent().finish(),
    }
}

struct Look(Arc<Mutex<HashMap<String, String>>>);

impl Callback for Look {
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        let mut seen = self.0.lock().expect("no panic");
        for (name, value) in request.headers() {
            seen.insert(name.to_string(), value.to_str().unwrap_or("").to_owned());
        }
        if request.uri().path() == "/refused" {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = tokio_tungstenite::tungstenite::http::StatusCode::FORBIDDEN;
            return Err(refusal);
        }
        Ok(response)
    }
}

/// The service's end of a media stream.
pub(crate) struct Stream {
    socket: WebSocketStream<TcpStream>,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) sid: String,
}

impl Stream {
    /// The next message as JSON; None once the stream has ended.
    pub(crate) async fn recv(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).expect("JSON"));
                }
                // Reading on is what answers a close frame.
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// Reads `connected` and `start`; returns the latter.
    pub(crate) async fn start(&mut self) -> Value {
        let connected = self.recv().await.expect("connected");
        assert_eq!(connected, json!({"event":"connected","protocol":"Call","version":"1.0.0"}));
        let start = self.recv().await.expect("start");
        assert_eq!(start["event"], "start");
        self.sid = start["streamSid"].as_str().expect("a string").to_owned();
        start
    }

    /// The next message of this kind; None once the stream has ended without.
    pub(crate) async fn recv_event(&mut self, event: &str) -> Option<Value> {
        loop {
            let message = self.recv().await?;
            if message["event"] == event {
                return Some(message);
            }
        }
    }

    pub(crate) async fn send_json(&mut self, json: Value) {
        self.send(Message::text(json.to_string())).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.expect("an open stream");
    }

    pub(crate) async fn send_media(&mut self, payload: &str) {
        let sid = self.sid.clone();
        self.send_json(json!({"event":"media","streamSid":sid,"media":{"payload":payload}})).await;
    }

    pub(crate) async fn send_mark(&mut self, name: &str) {
        let sid = self.sid.clone();
        self.send_json(json!({"event":"mark","streamSid":sid,"mark":{"name":name}})).await;
    }

    pub(crate) async fn send_clear(&mut self) {
        let sid = self.sid.clone();
        self.send_json(json!({"event":"clear","streamSid":sid})).await;
    }

    pub(crate) async fn close(mut self) {
        self.socket.close(None).await.expect("an open stream");
        while self.recv().await.is_some() {}
    }

    pub(crate) fn socket(&mut self) -> &mut WebSocketStream<TcpStream> {
        &mut self.socket
    }
}
