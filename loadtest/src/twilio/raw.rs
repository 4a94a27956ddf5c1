//! A media socket worked by hand, for tests that do what Twilio never would.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::handshake::{self, HandshakeError, Line, Socket};
use super::signature;

/// A WebSocket to the service that sends nothing by itself. Works on the runtime of its caller.
pub struct RawStream {
    socket: Socket,
}

impl RawStream {
    /// Connects with the headers of Twilio. The upgrade is signed with `auth_token`, when given,
    /// over the URL as it is.
    ///
    /// # Errors
    /// When the service does not accept the upgrade.
    pub async fn connect(url: &str, auth_token: Option<&str>) -> Result<Self, HandshakeError> {
        Self::connect_with(url, auth_token, &[]).await
    }

    /// Like [`connect`](Self::connect), with more headers.
    ///
    /// # Errors
    /// When the service does not accept the upgrade.
    pub async fn connect_with(
        url: &str,
        auth_token: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<Self, HandshakeError> {
        super::server::install_crypto_provider();
        let signature = auth_token.map(|token| signature::sign(token, url, &[]));
        let headers: Vec<_> =
            headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let patience = Duration::from_secs(10);
        let line = Line { tls: None, receive_buffer: None, private_only: false, patience };
        let socket = handshake::open(url, signature.as_deref(), &headers, line).await?;
        Ok(RawStream { socket })
    }

    /// Sends a text message.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), Error> {
        self.socket.send(handshake::text(text)).await
    }

    /// Sends any message.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.socket.send(message).await
    }

    /// Writes bytes past the WebSocket layer.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let stream = self.socket.get_mut();
        stream.write_all(bytes).await?;
        stream.flush().await
    }

    /// The next message; None when the connection has ended in whatever way.
    pub async fn recv(&mut self) -> Option<Message> {
        self.socket.next().await.and_then(Result::ok)
    }

    /// Reads on until the connection ends; the code the service closed it with, if it sent one.
    pub async fn wait_until_closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(message) = self.recv().await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code
    }

    /// Closes with a code and waits for the answer.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub async fn close(mut self, code: u16) -> Result<(), Error> {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.socket.close(Some(frame)).await?;
        while self.recv().await.is_some() {}
        Ok(())
    }

    /// Resets the TCP connection.
    pub fn reset(self) {
        handshake::reset_on_drop(&self.socket);
    }
}
