//! Connections that come in, plain or encrypted.

use std::io;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::{HandshakeCount, Tls};

/// A connection that came in. Boxed, since a plain one has no use for the room that TLS takes.
pub(crate) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Makes of a connection what it is to be, and counts its handshake.
pub(crate) async fn accept(
    tcp: TcpStream,
    tls: Option<&Tls>,
    count: &HandshakeCount,
) -> io::Result<Stream> {
    let Some(tls) = tls else { return Ok(Either::Left(tcp)) };
    let stream = TlsAcceptor::from(tls.server()).accept(tcp).await?;
    count.note(stream.get_ref().1.handshake_kind());
    Ok(Either::Right(Box::new(stream)))
}

/// What a connection is made of.
pub(crate) fn tcp_of(stream: &Stream) -> &TcpStream {
    match stream {
        Either::Left(tcp) => tcp,
        Either::Right(tls) => tls.get_ref().0,
    }
}
