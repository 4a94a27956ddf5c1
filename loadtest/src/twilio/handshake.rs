//! Opening a media socket as Twilio does.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::HandshakeKind;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};
use url::Url;

use crate::load::private;
use crate::tls::{self, Tls};

/// A media socket.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A media socket could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {what}")]
pub struct HandshakeError {
    /// Twilio's code for it: 31901, 31902, 31910, 31920 or 31923.
    pub code: u32,
    /// HTTP status of the refusal, if there was an HTTP answer.
    pub status: Option<u16>,
    /// Details.
    pub what: String,
}

impl HandshakeError {
    pub(crate) fn new(code: u32, what: impl ToString) -> Self {
        HandshakeError { code, status: None, what: what.to_string() }
    }

    /// What a stream status callback says about it.
    pub(crate) fn stream_error(&self) -> &'static str {
        match self.code {
            31_901 => "Stream - Connection - Timeout",
            31_902 => "Stream - Connection - Refused",
            31_910 => "Stream - SSL - Protocol Error",
            31_922 => "Stream - Websocket - URL Schema Not Supported",
            31_923 => "Stream - Websocket - Malformed URL",
            _ => "Stream - Websocket - Handshake Error",
        }
    }
}

/// How a media socket is connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Whom it trusts, unless it is whomever the machine trusts.
    pub(crate) tls: Option<&'a Tls>,
    /// Size of the receive buffer, unless the system is to choose.
    pub(crate) receive_buffer: Option<usize>,
    /// Connects to loopback and private addresses only.
    pub(crate) private_only: bool,
    /// Longest wait for the answer.
    pub(crate) patience: Duration,
}

/// Connects and upgrades. `headers` come after the ones that Twilio always sends.
pub(crate) async fn open(
    url: &str,
    signature: Option<&str>,
    headers: &[(String, String)],
    line: Line<'_>,
) -> Result<Socket, HandshakeError> {
    let opening = connect_and_upgrade(url, signature, headers, line);
    tokio::time::timeout(line.patience, opening)
        .await
        .unwrap_or_else(|_| Err(HandshakeError::new(31_901, format!("{url} does not answer"))))
}

async fn connect_and_upgrade(
    raw_url: &str,
    signature: Option<&str>,
    headers: &[(String, String)],
    line: Line<'_>,
) -> Result<Socket, HandshakeError> {
    let malformed =
        |why: &dyn std::fmt::Display| HandshakeError::new(31_923, format!("{raw_url}: {why}"));
    let url = Url::parse(raw_url).map_err(|e| malformed(&e))?;
    let host = url.host_str().ok_or_else(|| malformed(&"no host"))?;
    let port = url.port_or_known_default().ok_or_else(|| malformed(&"no port"))?;
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));

    let mut request = Request::builder()
        .uri(url.as_str())
        .header("host", authority)
        .header("user-agent", "Twilio.TmeWs/1.0")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", generate_key())
        .header("sec-websocket-version", "13");
    if let Some(signature) = signature {
        request = request.header("x-twilio-signature", signature);
    }
    request = request.header("accept-encoding", "gzip");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(()).map_err(|e| malformed(&e))?;

    let refused = |e: std::io::Error| HandshakeError::new(31_902, format!("{raw_url}: {e}"));
    let bare_host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = lookup_host((bare_host, port)).await.map_err(refused)?.collect();
    if line.private_only {
        private::check(host, addresses.iter().map(SocketAddr::ip))
            .map_err(|error| HandshakeError::new(31_902, error))?;
    }
    let tcp = dial(addresses, line.receive_buffer).await.map_err(refused)?;
    let config = WebSocketConfig::default()
        // Eagerly allocated: with hundreds of streams, the default 128 KiB would add up.
        .read_buffer_size(4 * 1024)
        // Each frame goes out at once.
        .write_buffer_size(0)
        .max_message_size(Some(16 * 1024 * 1024));
    let connector = line.tls.map(|tls| Connector::Rustls(tls.client()));
    let (socket, _) = client_async_tls_with_config(request, tcp, Some(config), connector)
        .await
        .map_err(|error| describe(raw_url, &error))?;
    Ok(socket)
}

async fn dial(
    addresses: Vec<SocketAddr>,
    receive_buffer: Option<usize>,
) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::other("the name has no address");
    for address in addresses {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(u32::try_from(bytes).unwrap_or(u32::MAX))?;
        }
        match socket.connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn describe(url: &str, error: &Error) -> HandshakeError {
    match error {
        Error::Http(response) => HandshakeError {
            code: 31_920,
            status: Some(response.status().as_u16()),
            what: format!("{url} answered {} instead of 101", response.status()),
        },
        Error::Tls(_) => HandshakeError::new(31_910, format!("{url}: {error}")),
        _ if tls::cause(error).is_some() => HandshakeError::new(31_910, format!("{url}: {error}")),
        Error::Url(_) => HandshakeError::new(31_923, format!("{url}: {error}")),
        _ => HandshakeError::new(31_920, format!("{url}: {error}")),
    }
}

/// How TLS came about on it, if it did.
pub(crate) fn kind(socket: &Socket) -> Option<HandshakeKind> {
    match socket.get_ref() {
        MaybeTlsStream::Rustls(tls) => tls.get_ref().1.handshake_kind(),
        _ => None,
    }
}

/// Makes the operating system answer with a reset when the socket is dropped.
pub(crate) fn reset_on_drop(socket: &Socket) {
    let tcp = match socket.get_ref() {
        MaybeTlsStream::Plain(tcp) => tcp,
        MaybeTlsStream::Rustls(tls) => tls.get_ref().0,
        _ => return,
    };
    if let Err(error) = socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO)) {
        tracing::warn!(%error, "the media socket cannot be reset");
    }
}

/// Converts what a test wants on the wire.
pub(crate) fn text(text: impl Into<String>) -> Message {
    Message::text(text.into())
}
