//! What is known of one call, shared by the task that runs it, the REST API and the tests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::status::{CallStatus, Direction};
use super::stream::MediaCommand;

/// Something the service did that Twilio's documentation does not allow.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The call, unless it was a REST request.
    pub call_sid: Option<String>,
    /// Twilio's code for it, when it has one.
    pub code: Option<u32>,
    /// What was wrong.
    pub what: String,
    /// When it was noticed.
    pub at: Instant,
}

/// An entry of Twilio's debugger: something happened that may be nobody's fault.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Twilio's error or warning code.
    pub code: u32,
    /// Details.
    pub what: String,
    /// When it happened.
    pub at: Instant,
}

/// Where TwiML comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Url { url: String, method: String },
    Inline(String),
}

/// TwiML that a call was given.
#[derive(Clone, Debug)]
pub struct TwimlDocument {
    /// Where it came from; None for inline TwiML.
    pub url: Option<String>,
    /// The document.
    pub body: String,
}

/// What a call is to do when its current activity is cut short.
#[derive(Debug)]
pub(crate) enum Interrupt {
    Redirect {
        source: Source,
        fallback: Option<Source>,
    },
    /// Ended over REST.
    End,
    /// The person hangs up.
    PhoneHangsUp,
    /// `TimeLimit` is over.
    TimeLimit,
}

/// What the request that placed the call asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallPlan {
    pub(crate) source: Option<Source>,
    pub(crate) fallback: Option<Source>,
    pub(crate) status_callback: Option<String>,
    pub(crate) status_callback_method: String,
    pub(crate) status_events: Vec<String>,
    pub(crate) timeout: Duration,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) detection: Option<Detection>,
}

/// Answering machine detection, as asked for.
#[derive(Clone, Debug)]
pub(crate) struct Detection {
    /// `DetectMessageEnd`: a machine is not reported before its greeting is over.
    pub(crate) awaits_end: bool,
    /// Where the verdict is reported; without it the TwiML waits for the verdict.
    pub(crate) later: Option<LateVerdict>,
}

impl Detection {
    /// The verdict as this mode words it.
    pub(crate) fn verdict(&self, answered_by: &str) -> String {
        let words = match (self.awaits_end, answered_by) {
            (true, "machine_start") => "machine_end_other",
            (false, machine) if machine.starts_with("machine_end") => "machine_start",
            _ => answered_by,
        };
        words.to_owned()
    }
}

/// Asynchronous detection: the call goes on, and the verdict is a callback.
#[derive(Clone, Debug)]
pub(crate) struct LateVerdict {
    pub(crate) callback: Option<String>,
    pub(crate) method: String,
}

/// A mark the service sent.
#[derive(Clone, Debug)]
pub struct MarkRecord {
    /// Its name.
    pub name: String,
    /// When it arrived.
    pub received_at: Instant,
    /// When it was echoed.
    pub echoed_at: Option<Instant>,
    /// Whether it was echoed because a `clear` removed it.
    pub cleared: bool,
}

/// Both sides of a call as µ-law, on one timeline of 20 ms ticks that begins with the first
/// stream.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What the phone's microphone picked up.
    pub said: Vec<u8>,
    /// What the phone's ear heard.
    pub heard: Vec<u8>,
}

/// A field of the call resource that changes, with the time it did.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) since: Instant,
    pub(crate) status: CallStatus,
    pub(crate) date_created: Option<Timestamp>,
    pub(crate) start_time: Option<Timestamp>,
    pub(crate) end_time: Option<Timestamp>,
    pub(crate) answered_by: Option<String>,
    pub(crate) duration_s: Option<u64>,
}

pub(crate) struct CallState {
    pub(crate) history: Vec<Snapshot>,
    pub(crate) answered_at: Option<Instant>,
    /// The task that runs the call has finished.
    pub(crate) over: bool,
    /// All its callbacks have been delivered or given up.
    pub(crate) settled: bool,
    pub(crate) stream_sids: Vec<String>,
    pub(crate) open_streams: usize,
    pub(crate) started_streams: usize,
    pub(crate) streaming_since: Option<Instant>,
    pub(crate) last_stream: Option<(String, Vec<(String, String)>)>,
    pub(crate) recording: Recording,
    pub(crate) sent: Vec<u8>,
    pub(crate) received: Vec<u8>,
    pub(crate) heard_speech_ms: u64,
    pub(crate) speech_last_heard_at: Option<Instant>,
    pub(crate) first_media_at: Option<Instant>,
    pub(crate) sent_at: Vec<Instant>,
    pub(crate) heard_at: Vec<(Instant, usize)>,
    pub(crate) frames_sent: u64,
    pub(crate) media_received: u64,
    pub(crate) marks: Vec<MarkRecord>,
    pub(crate) clears: Vec<Instant>,
    pub(crate) keys: Vec<char>,
    pub(crate) say_texts: Vec<String>,
    pub(crate) plays: Vec<String>,
    pub(crate) dials: Vec<Vec<String>>,
    pub(crate) documents: Vec<TwimlDocument>,
    pub(crate) closes: Vec<Option<(u16, String)>>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) notifications: Vec<Notification>,
}

/// One call.
pub(crate) struct Call {
    pub(crate) sid: String,
    pub(crate) account_sid: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) direction: Direction,
    pub(crate) queue_time: Duration,
    pub(crate) plan: Mutex<CallPlan>,
    state: Mutex<CallState>,
    changes: watch::Sender<u64>,
    /// Unbounded: only tests and the REST API send here, a handful of times a call.
    pub(crate) interrupts: mpsc::UnboundedSender<Interrupt>,
    /// Unbounded for the same reason.
    pub(crate) media: mpsc::UnboundedSender<MediaCommand>,
}

/// The receiving ends of a call's lines, for the task that runs it.
pub(crate) struct CallLines {
    pub(crate) interrupts: mpsc::UnboundedReceiver<Interrupt>,
    pub(crate) media: mpsc::UnboundedReceiver<MediaCommand>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Call {
    pub(crate) fn new(
        account_sid: &str,
        (from, to): (&str, &str),
        direction: Direction,
        queue_time: Duration,
        plan: CallPlan,
    ) -> (Self, CallLines) {
        let (interrupts, interrupts_rx) = mpsc::unbounded_channel();
        let (media, media_rx) = mpsc::unbounded_channel();
        let call = Call {
            sid: new_sid("CA"),
            account_sid: account_sid.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            direction,
            queue_time,
            plan: Mutex::new(plan),
            state: Mutex::new(CallState {
                history: vec![Snapshot {
                    since: Instant::now(),
                    status: CallStatus::Queued,
                    date_created: None,
                    start_time: None,
                    end_time: None,
                    answered_by: None,
                    duration_s: None,
                }],
                answered_at: None,
                over: false,
                settled: false,
                stream_sids: Vec::new(),
                open_streams: 0,
                started_streams: 0,
                streaming_since: None,
                last_stream: None,
                recording: Recording::default(),
                sent: Vec::new(),
                received: Vec::new(),
                heard_speech_ms: 0,
                speech_last_heard_at: None,
                first_media_at: None,
                sent_at: Vec::new(),
                heard_at: Vec::new(),
                frames_sent: 0,
                media_received: 0,
                marks: Vec::new(),
                clears: Vec::new(),
                keys: Vec::new(),
                say_texts: Vec::new(),
                plays: Vec::new(),
                dials: Vec::new(),
                documents: Vec::new(),
                closes: Vec::new(),
                violations: Vec::new(),
                notifications: Vec::new(),
            }),
            changes: watch::Sender::new(0),
            interrupts,
            media,
        };
        (call, CallLines { interrupts: interrupts_rx, media: media_rx })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, CallState> {
        lock(&self.state)
    }

    /// Changes the state and wakes whoever waits for a change.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut CallState) -> T) -> T {
        let value = change(&mut self.state());
        if self.changes.receiver_count() > 0 {
            self.changes.send_modify(|version| *version += 1);
        }
        value
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits until the state yields something.
    pub(crate) async fn when<T>(&self, mut found: impl FnMut(&CallState) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(value) = found(&self.state()) {
                return value;
            }
            if changes.changed().await.is_err() {
                // Cannot happen: the sender lives in `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    pub(crate) fn status(&self) -> CallStatus {
        self.state().status()
    }

    /// Moves the call on. A call that has ended stays as it is; says whether it moved.
    pub(crate) fn set_status(&self, status: CallStatus) -> bool {
        self.update(|state| {
            if state.status().is_final() {
                return false;
            }
            let now = Timestamp::now();
            let answered_at = state.answered_at;
            state.change(|next| {
                next.status = status;
                next.date_created.get_or_insert(now);
                if matches!(status, CallStatus::Ringing | CallStatus::InProgress) {
                    next.start_time.get_or_insert(now);
                }
                if status.is_final() {
                    next.end_time = Some(now);
                    next.duration_s = Some(answered_at.map_or(0, |at| at.elapsed().as_secs()));
                }
            });
            if status == CallStatus::InProgress {
                state.answered_at = Some(Instant::now());
            }
            true
        })
    }

    pub(crate) fn violation(&self, code: Option<u32>, what: impl Into<String>) {
        let what = what.into();
        tracing::warn!(call.sid = %self.sid, code, "the service broke a rule: {what}");
        let call_sid = Some(self.sid.clone());
        self.update(|state| {
            state.violations.push(Violation { call_sid, code, what, at: Instant::now() });
        });
    }

    pub(crate) fn notify(&self, code: u32, what: impl Into<String>) {
        let what = what.into();
        tracing::debug!(call.sid = %self.sid, code, "{what}");
        self.update(|state| {
            state.notifications.push(Notification { code, what, at: Instant::now() })
        });
    }
}

impl CallState {
    pub(crate) fn now(&self) -> &Snapshot {
        self.history.last().expect("a call has a status from the beginning")
    }

    pub(crate) fn status(&self) -> CallStatus {
        self.now().status
    }

    /// The call as it was some time ago, or as it was created.
    pub(crate) fn seen(&self, delay: Duration) -> &Snapshot {
        let known = |snapshot: &&Snapshot| snapshot.since.elapsed() >= delay;
        self.history.iter().rev().find(known).unwrap_or(&self.history[0])
    }

    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Snapshot)) {
        let mut next = self.now().clone();
        next.since = Instant::now();
        change(&mut next);
        self.history.push(next);
    }
}

/// A new id: two letters and 32 lower-case hex digits.
pub(crate) fn new_sid(prefix: &str) -> String {
    format!("{prefix}{}", uuid::Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_worded_as_the_mode_allows() {
        let verdict = |awaits_end, by: &str| Detection { awaits_end, later: None }.verdict(by);
        assert_eq!(verdict(false, "machine_end_beep"), "machine_start");
        assert_eq!(verdict(true, "machine_end_beep"), "machine_end_beep");
        assert_eq!(verdict(true, "machine_start"), "machine_end_other");
        for by in ["human", "fax", "unknown"] {
            assert_eq!((verdict(false, by), verdict(true, by)), (by.to_owned(), by.to_owned()));
        }
    }
}
