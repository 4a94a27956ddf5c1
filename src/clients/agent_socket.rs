//! The WebSocket an agent is joined by.
//!
//! The join URL is a credential: whoever holds it can take the call. No error here contains it.
//! What comes back is a WebSocket that its owner polls; nothing runs in the background.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actors::protocol::websocket::Role;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::client::{Response, generate_request};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse as _;
use tokio_tungstenite::tungstenite::http::{StatusCode, header};
use url::{Host, Url};

use super::tls::{self, TlsSetupError};
use crate::ws::{Connection, Socket};

/// A joined agent.
pub type AgentSocket = Socket;

/// For DNS, TCP and TLS together, as for the REST APIs.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For the answer to the upgrade. Ultravox starts the agent in this time.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// The answer to the upgrade, headers and all, has a few hundred bytes.
const ANSWER_BYTES_MOST: usize = 16 * 1024;

/// What the system may hold of audio that was written and not sent: about half a second. The
/// usual limit of megabytes is minutes of speech, which a connection that stalls would deliver
/// late; the bridge, which keeps the newest second only, must feel at once that it waits. The
/// kernel doubles it and counts its own overhead. No network has a second of audio under way at
/// a time, so nothing is slowed down.
const SEND_BUFFER_BYTES: u32 = 16 * 1024;

/// With a client buffer of 30 s (see `ultravox`) a burst of agent audio may be 480 kB, perhaps in
/// one message. Twice that, and no more: the peer must not be able to fill our memory.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// An agent's socket could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentSocketError {
    /// The URL is not one we can join: `wss://` (or `ws://`) and a host.
    #[error("the join URL is not usable: {0}")]
    BadUrl(&'static str),
    /// The URL was not shown to anybody yet: trying again is safe.
    #[error("the agent cannot be reached: {0}")]
    Unreachable(String),
    /// The server answered the upgrade with an error.
    #[error("the agent's server refused the join (HTTP {status})")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// The answer to the upgrade was no answer to it, or the connection broke meanwhile. The URL
    /// may be used up.
    #[error("joining the agent failed: {0}")]
    Protocol(String),
    /// The upgrade was sent and not answered in time. The URL may be used up.
    #[error("the agent's server did not answer the join in time")]
    Timeout,
}

/// Opens agents' sockets: TLS setup and time limits, shared by all calls.
#[derive(Clone)]
pub struct AgentConnector {
    tls: Arc<ClientConfig>,
    connect_timeout: Duration,
    upgrade_timeout: Duration,
}

impl std::fmt::Debug for AgentConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentConnector").finish_non_exhaustive()
    }
}

/// Joins an agent with the usual settings. `client_version` shows up at the vendor as the call's
/// `clientVersion`.
pub async fn connect(
    join_url: &SecretString,
    client_version: &str,
) -> Result<AgentSocket, AgentSocketError> {
    let connector =
        AgentConnector::new().map_err(|error| AgentSocketError::Unreachable(error.to_string()))?;
    connector.connect(join_url, client_version).await
}

impl AgentConnector {
    /// Trusts the roots of this machine.
    pub fn new() -> Result<Self, TlsSetupError> {
        Ok(Self::with_tls(tls::shared()?))
    }

    /// Uses this TLS setup.
    pub fn with_tls(tls: Arc<ClientConfig>) -> Self {
        AgentConnector { tls, connect_timeout: CONNECT_TIMEOUT, upgrade_timeout: UPGRADE_TIMEOUT }
    }

    /// The same with other time limits: for reaching the server, and for its answer.
    pub fn with_timeouts(mut self, connect: Duration, upgrade: Duration) -> Self {
        self.connect_timeout = connect;
        self.upgrade_timeout = upgrade;
        self
    }

    /// Joins an agent.
    pub async fn connect(
        &self,
        join_url: &SecretString,
        client_version: &str,
    ) -> Result<AgentSocket, AgentSocketError> {
        let url = join_target(join_url, client_version)?;
        let deadline = Instant::now() + self.connect_timeout;
        let mut connection = self.reach(&url, deadline).await?;

        match tokio::time::timeout(self.upgrade_timeout, upgrade(&mut *connection, &url)).await {
            Ok(early) => Ok(Socket::new(connection, Role::Client, MAX_MESSAGE_BYTES, early?)),
            Err(_) => Err(AgentSocketError::Timeout),
        }
    }

    /// TCP and, for `wss`, TLS. Nothing about the call is sent yet.
    async fn reach(
        &self,
        url: &Url,
        deadline: Instant,
    ) -> Result<Box<dyn Connection>, AgentSocketError> {
        let tcp = tcp_connect(url, deadline).await?;
        // Frames are small and must not wait for each other.
        tcp.set_nodelay(true).map_err(unreachable)?;
        if url.scheme() == "ws" {
            return Ok(Box::new(tcp));
        }
        let name = match url.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned())
                .map_err(|_| AgentSocketError::BadUrl("its host is not a name"))?,
            Some(Host::Ipv4(ip)) => ServerName::from(std::net::IpAddr::from(ip)),
            Some(Host::Ipv6(ip)) => ServerName::from(std::net::IpAddr::from(ip)),
            None => return Err(AgentSocketError::BadUrl("it has no host")),
        };
        let connect = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp);
        match timeout_at(deadline, connect).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(unreachable(error)),
            Err(_) => Err(too_late("TLS")),
        }
    }
}

/// Asks for the upgrade; gives what came right after the answer. Offers no extension and no
/// subprotocol: compressing noise costs and gains nothing.
async fn upgrade(connection: &mut dyn Connection, url: &Url) -> Result<Vec<u8>, AgentSocketError> {
    let request = url.as_str().into_client_request().map_err(refusal)?;
    let (request, key) = generate_request(request).map_err(refusal)?;
    connection.write_all(&request).await.map_err(broken)?;
    connection.flush().await.map_err(broken)?;
    let mut answer = Vec::new();
    while answer.len() < ANSWER_BYTES_MOST {
        let mut piece = [0; 1024];
        let count = connection.read(&mut piece).await.map_err(broken)?;
        if count == 0 {
            return Err(protocol("the connection closed during the upgrade"));
        }
        answer.extend_from_slice(&piece[..count]);
        if let Some((head_bytes, response)) = Response::try_parse(&answer).map_err(refusal)? {
            check_answer(&response, &key)?;
            return Ok(answer.split_off(head_bytes));
        }
    }
    Err(protocol("the answer to the upgrade has no end"))
}

/// Whether it is the answer to our request (RFC 6455, 4.1).
fn check_answer(response: &Response, key: &str) -> Result<(), AgentSocketError> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(AgentSocketError::Refused { status: response.status().as_u16() });
    }
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let upgrade = header(header::UPGRADE).unwrap_or_default();
    let mut connection = header(header::CONNECTION).unwrap_or_default().split(',');
    if !upgrade.eq_ignore_ascii_case("websocket")
        || !connection.any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
    {
        return Err(protocol("the answer to the upgrade is none"));
    }
    if header(header::SEC_WEBSOCKET_ACCEPT) != Some(&derive_accept_key(key.as_bytes())) {
        return Err(protocol("the answer to the upgrade is not to our request"));
    }
    Ok(())
}

/// The URL to join: query kept, our version added.
fn join_target(join_url: &SecretString, client_version: &str) -> Result<Url, AgentSocketError> {
    // The parser's error text does not repeat the URL, but "which host" is all a person can use.
    let mut url = Url::parse(join_url.expose_secret())
        .map_err(|_| AgentSocketError::BadUrl("it is not a URL"))?;
    if !matches!(url.scheme(), "ws" | "wss") {
        return Err(AgentSocketError::BadUrl("it is not a WebSocket URL"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(AgentSocketError::BadUrl("it has no host"));
    }
    url.set_fragment(None);
    if !client_version.is_empty() {
        url.query_pairs_mut().append_pair("clientVersion", client_version);
    }
    Ok(url)
}

/// Tries every address of the host in turn, each with its share of the time left.
async fn tcp_connect(url: &Url, deadline: Instant) -> Result<TcpStream, AgentSocketError> {
    let port = url.port_or_known_default().ok_or(AgentSocketError::BadUrl("it has no port"))?;
    let addresses: Vec<SocketAddr> = match url.host() {
        Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
        Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
        Some(Host::Domain(name)) => {
            match timeout_at(deadline, tokio::net::lookup_host((name, port))).await {
                Ok(Ok(addresses)) => addresses.collect(),
                Ok(Err(error)) => return Err(unreachable(error)),
                Err(_) => return Err(too_late("DNS")),
            }
        }
        None => return Err(AgentSocketError::BadUrl("it has no host")),
    };
    let mut last = AgentSocketError::Unreachable("its host has no address".into());
    for (tried, &address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let untried = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match tokio::time::timeout(left / untried, tcp_open(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = unreachable(error),
            Err(_) => last = too_late("TCP"),
        }
    }
    Err(last)
}

async fn tcp_open(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.connect(address).await
}

fn unreachable(error: std::io::Error) -> AgentSocketError {
    AgentSocketError::Unreachable(error.to_string())
}

fn too_late(what: &str) -> AgentSocketError {
    AgentSocketError::Unreachable(format!("{what} took too long"))
}

fn broken(error: std::io::Error) -> AgentSocketError {
    AgentSocketError::Protocol(error.to_string())
}

fn protocol(what: &str) -> AgentSocketError {
    AgentSocketError::Protocol(what.to_owned())
}

/// Only texts that cannot contain the URL are passed on.
fn refusal(error: WsError) -> AgentSocketError {
    match error {
        WsError::Protocol(error) => AgentSocketError::Protocol(error.to_string()),
        WsError::Url(_) | WsError::HttpFormat(_) => {
            AgentSocketError::BadUrl("it is no request target")
        }
        _ => protocol("the answer to the upgrade cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<String, AgentSocketError> {
        join_target(&SecretString::from(url), "callspan/1 é").map(String::from)
    }

    #[test]
    fn the_query_of_the_join_url_is_kept() {
        assert_eq!(
            target("wss://host/calls/1/server_web_socket?sig=a%2Bb&x=1#frag").as_deref(),
            Ok(
                "wss://host/calls/1/server_web_socket?sig=a%2Bb&x=1&clientVersion=callspan%2F1+%C3%A9"
            )
        );
        assert_eq!(
            target("ws://127.0.0.1:9/x").as_deref(),
            Ok("ws://127.0.0.1:9/x?clientVersion=callspan%2F1+%C3%A9")
        );
    }

    #[test]
    fn only_a_websocket_url_is_joined_and_no_error_shows_it() {
        for bad in ["", "s3cret", "https://host/s3cret", "wss://", "file:///s3cret"] {
            let error = target(bad).expect_err(bad);
            assert!(matches!(error, AgentSocketError::BadUrl(_)), "{bad}: {error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
    }
}
