//! What arrives from the service on a media stream, and what Twilio makes of it.

use std::time::Instant;

use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::call::MarkRecord;
use super::session::{Ending, Session};
use super::validator::{self, FromService};

impl Session {
    /// Ends the stream because of an error of its connection.
    pub(super) fn lose(&mut self, error: &Error) {
        let ending = match error {
            Error::ConnectionClosed | Error::AlreadyClosed => Ending::Closed,
            Error::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
            )
            | Error::Io(_)
            | Error::Tls(_) => Ending::Broken,
            _ => {
                self.call.violation(Some(31_924), error.to_string());
                Ending::Protocol
            }
        };
        self.ending.get_or_insert(ending);
    }

    pub(super) fn receive(&mut self, message: Option<Result<Message, Error>>) {
        match message {
            Some(Ok(Message::Text(text))) => self.receive_text(&text),
            Some(Ok(Message::Binary(bytes))) => {
                let what = format!("a binary message of {} bytes", bytes.len());
                self.call.violation(Some(31_950), what);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(frame))) => {
                let close = frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                self.call.update(|state| state.closes.push(close));
                self.ending = Some(Ending::Closed);
            }
            Some(Err(error)) => self.lose(&error),
            None => self.ending = Some(Ending::Broken),
        }
    }

    fn receive_text(&mut self, message: &str) {
        let now = Instant::now();
        match validator::check(message, self.uplink.stream_sid()) {
            Ok(FromService::Media(audio)) => {
                let options = &self.world.options;
                self.call.update(|state| {
                    state.media_received += 1;
                    state.first_media_at.get_or_insert(now);
                    if options.record {
                        state.received.extend_from_slice(&audio);
                    }
                    if options.stamp_frames {
                        state.heard_at.push((now, audio.len()));
                    }
                });
                if let Some(probe) = &mut self.probe {
                    probe.hear(now, &audio);
                }
                if !self.playback.media(audio) && !self.overflowed {
                    self.overflowed = true;
                    self.call.violation(Some(31_931), "more than 10 minutes of audio are queued");
                }
            }
            Ok(FromService::Mark(name)) => {
                let mark = MarkRecord {
                    name: name.clone(),
                    received_at: now,
                    echoed_at: None,
                    cleared: false,
                };
                self.call.update(|state| state.marks.push(mark));
                if let Some(name) = self.playback.mark(name) {
                    self.echo(name, false);
                }
            }
            Ok(FromService::Clear) => {
                let marks = self.playback.clear();
                self.call.update(|state| state.clears.push(now));
                if let Some(probe) = &mut self.probe {
                    probe.cleared(now);
                }
                for name in marks {
                    self.echo(name, true);
                }
            }
            Err(what) => self.call.violation(Some(31_951), what),
        }
        self.release(now);
        self.set_alarm();
    }
}
