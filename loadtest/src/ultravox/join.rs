//! The join sockets: who may join which call, and what happens at the door.

use std::{
    net::{TcpListener as StdListener, TcpStream as StdStream},
    sync::Arc,
};

use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        handshake::server::{ErrorResponse, Request, Response},
        http::StatusCode,
        protocol::WebSocketConfig,
    },
};

use super::{
    agent::Command,
    call::CallState,
    options::{JoinFault, UnknownCall},
    session,
    shared::Shared,
    socket::{Socket, reset_on_drop},
};
use crate::{crew::Crew, tls};

/// Many calls on one thread want small buffers; a frame of audio is 320 bytes.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Accepts connections until told to stop, one task for each.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: StdListener,
    crew: Arc<Crew>,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the join sockets cannot be served"),
    };
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match crew.next() {
                    None => {
                        sessions.spawn(admit(shared.clone(), stream));
                    }
                    Some(thread) => {
                        sessions.spawn_on(take_over(shared.clone(), stream.into_std()), thread);
                    }
                },
                Err(error) => tracing::warn!(%error, "a connection was not accepted"),
            },
            Some(_) = sessions.join_next() => {}
            // An error means that nobody is left to say stop.
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
    }
    // Dropping the set ends every session where it stands.
}

/// Admits a connection on another thread than the one that accepted it.
async fn take_over(shared: Arc<Shared>, stream: std::io::Result<StdStream>) {
    match stream.and_then(TcpStream::from_std) {
        Ok(stream) => admit(shared, stream).await,
        Err(error) => tracing::warn!(%error, "a connection was not taken over"),
    }
}

/// What the upgrade request asked for.
enum Visitor {
    /// The one who may speak with the agent of this call.
    Joins(Arc<CallState>, mpsc::UnboundedReceiver<Command>),
    /// Closed with this code.
    Rejected(u16, &'static str),
}

async fn admit(shared: Arc<Shared>, tcp: TcpStream) {
    let open = Counted::new(shared.clone());
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::warn!(%error, "a socket may be slow");
    }
    let secured = tls::accept(tcp, shared.options.tls.as_ref(), &shared.handshakes).await;
    let mut stream = match secured {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "TLS failed on a join socket: {error}"),
    };
    let fault = shared.join_fault();
    match &fault {
        Some(JoinFault::Reset) => return reset_on_drop(&stream),
        Some(JoinFault::NeverAnswers) => {
            // Holds the connection until the client gives up.
            let mut unheard = [0; 1_024];
            while let Ok(1..) = stream.read(&mut unheard).await {}
            return;
        }
        Some(JoinFault::Slow(delay)) => tokio::time::sleep(*delay).await,
        Some(JoinFault::Refuse(_) | JoinFault::Close(_)) | None => {}
    }
    let mut visitor = None;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    #[expect(clippy::result_large_err, reason = "tungstenite's own signature")]
    let at_the_door = |request: &Request, response: Response| {
        if let Some(JoinFault::Refuse(status)) = fault {
            return Err(refusal(status));
        }
        let found = match fault {
            Some(JoinFault::Close(code)) => Visitor::Rejected(code, "refused"),
            _ => look_up(&shared, request)?,
        };
        visitor = Some(found);
        Ok(response)
    };
    let accepted = accept_hdr_async_with_config(stream, at_the_door, Some(config)).await;
    match (accepted, visitor) {
        (Ok(stream), Some(Visitor::Joins(call, inbox))) => {
            session::run(shared, call, inbox, Socket::new(stream), open).await;
        }
        (Ok(stream), Some(Visitor::Rejected(code, reason))) => {
            session::reject(Socket::new(stream), code, reason).await;
        }
        (Ok(_), None) => {}
        // The client went away or was refused; a claimed call has lost its one connection.
        (Err(_), Some(Visitor::Joins(call, _))) => session::lost(shared, call),
        (Err(_), _) => {}
    }
}

#[expect(clippy::result_large_err, reason = "tungstenite's own signature")]
fn look_up(shared: &Shared, request: &Request) -> Result<Visitor, ErrorResponse> {
    let path = request.uri().path();
    let id = path.strip_prefix("/calls/").and_then(|rest| rest.split('/').next());
    let Some(call) = id.and_then(|id| shared.call(id)) else {
        return unknown(shared);
    };
    if !call.join_url.ends_with(path) || path.ends_with("/webrtc") {
        let what = format!("{path} cannot be joined by a server");
        shared.violation(Some(&call.id), what);
        return unknown(shared);
    }
    let mut version = None;
    for (name, value) in url::form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes())
    {
        match &*name {
            "clientVersion" => version = Some(value.into_owned()),
            "apiVersion" if value == "1" => {}
            "experimentalMessages" | "additionalMessages" => {}
            _ => shared.violation(Some(&call.id), format!("join with unknown {name}={value}")),
        }
    }
    let mut log = call.log();
    if log.claimed {
        drop(log);
        shared.violation(Some(&call.id), "the call was joined a second time");
        return Ok(Visitor::Rejected(4409, "the call has been joined already"));
    }
    if log.end_reason.is_some() {
        drop(log);
        return unknown(shared);
    }
    let Some(inbox) = log.inbox.take() else {
        drop(log);
        return unknown(shared);
    };
    log.claimed = true;
    log.client_version = version;
    drop(log);
    Ok(Visitor::Joins(call, inbox))
}

#[expect(clippy::result_large_err, reason = "tungstenite's own signature")]
fn unknown(shared: &Shared) -> Result<Visitor, ErrorResponse> {
    match shared.options.unknown_call {
        UnknownCall::Close => Ok(Visitor::Rejected(4404, "no such call")),
        UnknownCall::Http404 => Err(refusal(404)),
    }
}

fn refusal(status: u16) -> ErrorResponse {
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
    response
}

/// Counts one open connection for as long as it lives.
pub(crate) struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        shared.live_sockets.send_modify(|live| *live += 1);
        Counted(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.live_sockets.send_modify(|live| *live -= 1);
    }
}
