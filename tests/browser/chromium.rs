//! A headless Chromium, driven over the Chrome DevTools Protocol, version 1.3.

use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::harness::soon;

/// A running browser. Killed when dropped.
pub(crate) struct Browser {
    child: Child,
    url: String,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        let profile = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(&program);
        command
            // Its sandbox does not work for root, and it sees no page but ours.
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(["--remote-debugging-port=0", "about:blank"])
            .kill_on_drop(true)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let listening = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(url) = line.strip_prefix("DevTools listening on ") {
                    return url.to_owned();
                }
            }
            panic!("{program} ended before it listened");
        };
        let url = soon("the browser", listening).await;
        // It must not block on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Browser { child, url, _profile: profile }
    }

    /// Opens an empty page.
    pub(crate) async fn page(&self) -> Page {
        let (socket, _) = soon("the browser", connect_async(&self.url)).await.expect("a socket");
        let mut page = Page {
            socket,
            session: None,
            last_id: 0,
            requested: Vec::new(),
            complaints: Vec::new(),
        };
        let target = page.ask("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = page.ask("Target.attachToTarget", attach).await;
        page.session = Some(session["sessionId"].as_str().expect("an id").to_owned());
        for domain in ["Page", "Network", "Runtime", "Log"] {
            page.ask(&format!("{domain}.enable"), json!({})).await;
        }
        page
    }

    pub(crate) async fn stop(mut self) {
        self.child.kill().await.expect("a process");
    }
}

/// One page of a browser, and what happened in it.
pub(crate) struct Page {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    last_id: u64,
    requested: Vec<String>,
    complaints: Vec<String>,
}

impl Page {
    pub(crate) async fn go_to(&mut self, url: &str) {
        let went = self.ask("Page.navigate", json!({ "url": url })).await;
        assert_eq!(went["errorText"], Value::Null, "{url}");
    }

    /// Runs a script and gives its value.
    pub(crate) async fn run(&mut self, script: &str) -> Value {
        let result = self.evaluate(script).await;
        assert_eq!(result["exceptionDetails"], Value::Null, "{script}");
        result["result"]["value"].clone()
    }

    /// Waits until a script says true. One that fails has not found what it looks for yet.
    pub(crate) async fn wait_for(&mut self, script: &str) {
        let found = async {
            while self.evaluate(script).await["result"]["value"] != true {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        soon(script, found).await;
    }

    /// The addresses of everything it loaded.
    pub(crate) fn requested(&self) -> &[String] {
        &self.requested
    }

    /// Errors in its console, and scripts that failed.
    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    async fn evaluate(&mut self, script: &str) -> Value {
        let parameters = json!({ "expression": script, "returnByValue": true });
        self.ask("Runtime.evaluate", parameters).await
    }

    /// Sends a command and waits for its result.
    async fn ask(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.send(method, parameters).await;
        loop {
            let message = soon(method, self.socket.next()).await;
            let message = message.expect("the browser runs").expect("a message");
            let Message::Text(text) = message else { continue };
            let message: Value = serde_json::from_str(&text).expect("JSON");
            if message["id"] == id {
                assert_eq!(message["error"], Value::Null, "{method}");
                return message["result"].clone();
            }
            self.keep(&message);
        }
    }

    async fn send(&mut self, method: &str, parameters: Value) -> u64 {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(command.to_string())).await.expect("the browser runs");
        self.last_id
    }

    fn keep(&mut self, event: &Value) {
        let about = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                let url = about["request"]["url"].as_str().expect("a URL");
                self.requested.push(url.to_owned());
            }
            "Runtime.exceptionThrown" => self.complaints.push(about.to_string()),
            "Runtime.consoleAPICalled" if about["type"] == "error" => {
                self.complaints.push(about["args"].to_string());
            }
            "Log.entryAdded" if about["entry"]["level"] == "error" => {
                self.complaints.push(about["entry"].to_string());
            }
            _ => {}
        }
    }
}
