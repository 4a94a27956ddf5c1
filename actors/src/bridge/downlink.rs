//! Agent → phone: whole frames as they come, marks to learn what was heard, and silence at once
//! when the person interrupts.
//!
//! Twilio plays what it is sent in order, up to ten minutes of it, so audio is forwarded at the
//! speed it comes. An echoed mark says that everything before it was played, unless it belongs to
//! a generation that was cleared: Twilio echoes those too.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::audio::{self, FRAME_SAMPLES, MULAW_SILENCE, SAMPLES_PER_MS};

use super::fifo::Fifo;

/// Most audio in one message: 200 ms, so that little is committed when a person interrupts while
/// the phone's socket is slow.
const MESSAGE_BYTES: usize = 200 * SAMPLES_PER_MS;
/// Audio held here before the agent's socket is left unread: 2 s. It fills only while the phone's
/// socket takes nothing; TCP then slows the agent down.
const HELD_LIMIT_BYTES: usize = 2_000 * SAMPLES_PER_MS;
/// Sent audio between two marks: 500 ms, the precision of "how much was heard".
const MARK_EVERY_BYTES: u64 = 500 * SAMPLES_PER_MS as u64;
/// How long the agent must send nothing before a part of a frame is padded and sent, and the end
/// of what was said is marked.
const PAUSE: Duration = Duration::from_millis(100);

/// Something for the phone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ToPhone<'a> {
    Clear,
    Audio { mulaw: &'a [u8], since: Instant },
    Mark { generation: u32, position_ms: u64 },
}

/// What became of a mark.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// The person has heard this turn up to the mark.
    Heard,
    /// It was cleared. The first one tells how long the clearing took.
    Cleared { since: Option<Instant> },
    /// Not one of ours.
    Unknown,
}

/// What became of the agent's audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DownlinkCounts {
    /// Frames of 20 ms that came.
    pub frames_in: u64,
    /// Frames dropped because the person interrupted.
    pub dropped_interrupted: u64,
}

#[derive(Debug)]
pub(super) struct Downlink {
    /// µ-law that was not sent yet; a part of a frame may be at its end.
    held: Fifo,
    /// When the pieces of `held` came: (arrival, bytes left).
    arrivals: VecDeque<(Instant, usize)>,
    odd_byte: Option<u8>,
    must_clear: bool,
    /// Counts interruptions: audio of different generations never mixes.
    generation: u32,
    /// Bytes of this generation sent to the phone.
    sent_bytes: u64,
    /// Position of the last mark sent, in bytes of this generation.
    marked_bytes: u64,
    /// Position of the last mark that came back.
    heard_bytes: u64,
    /// Where the turn began: everything before it had been played when it came.
    turn_from_bytes: u64,
    /// Set while audio keeps coming; when it passes, the turn is marked.
    pause_at: Option<Instant>,
    mark_due: bool,
    /// When the last clear was asked for, until its echo is in.
    cleared_at: Option<Instant>,
    pub(super) counts: DownlinkCounts,
}

impl Downlink {
    pub(super) fn new() -> Self {
        Downlink {
            held: Fifo::default(),
            arrivals: VecDeque::new(),
            odd_byte: None,
            must_clear: false,
            generation: 0,
            sent_bytes: 0,
            marked_bytes: 0,
            heard_bytes: 0,
            turn_from_bytes: 0,
            pause_at: None,
            mark_due: false,
            cleared_at: None,
            counts: DownlinkCounts::default(),
        }
    }

    /// Takes signed 16-bit samples from the agent, in pieces of any size.
    pub(super) fn audio(&mut self, now: Instant, mut pcm: &[u8]) {
        if self.is_played_out() {
            self.turn_from_bytes = self.sent_bytes;
        }
        let before = self.held.len();
        if let (Some(low), Some((&high, rest))) = (self.odd_byte, pcm.split_first()) {
            self.held.put(1)[0] = audio::encode(i16::from_le_bytes([low, high]));
            self.odd_byte = None;
            pcm = rest;
        }
        let (samples, odd) = pcm.split_at(pcm.len() & !1);
        self.odd_byte = odd.first().copied().or(self.odd_byte);
        audio::encode_to(samples, self.held.put(samples.len() / 2));

        let came = self.held.len() - before;
        self.counts.frames_in += (came as u64).div_ceil(FRAME_SAMPLES as u64);
        self.arrivals.push_back((now, came));
        self.pause_at = Some(now + PAUSE);
    }

    /// The person interrupted. Everything that was not played is to be forgotten; what comes after
    /// this belongs to the next turn. Gives what was dropped and what of this turn had been heard,
    /// in milliseconds.
    pub(super) fn interrupt(&mut self, now: Instant) -> (u64, u64) {
        let dropped = self.held.len() as u64;
        let heard = self.heard_bytes.saturating_sub(self.turn_from_bytes);
        self.counts.dropped_interrupted += dropped.div_ceil(FRAME_SAMPLES as u64);
        self.held.clear();
        self.arrivals.clear();
        self.odd_byte = None;
        self.must_clear = true;
        self.generation += 1;
        if self.marked_bytes > self.heard_bytes {
            self.cleared_at = Some(now);
        }
        self.sent_bytes = 0;
        self.marked_bytes = 0;
        self.heard_bytes = 0;
        self.turn_from_bytes = 0;
        self.pause_at = None;
        self.mark_due = false;
        (dropped / SAMPLES_PER_MS as u64, heard / SAMPLES_PER_MS as u64)
    }

    /// A mark came back.
    pub(super) fn echo(&mut self, name: &str) -> Echo {
        let Some((generation, position_ms)) = parse_mark(name) else { return Echo::Unknown };
        if generation != self.generation {
            return Echo::Cleared { since: self.cleared_at.take() };
        }
        self.heard_bytes = self.heard_bytes.max(position_ms * SAMPLES_PER_MS as u64);
        Echo::Heard
    }

    /// Whether more audio of the agent is welcome.
    pub(super) fn has_room(&self) -> bool {
        self.held.len() < HELD_LIMIT_BYTES
    }

    /// Whether all that came has been sent and the last mark is back.
    pub(super) fn is_played_out(&self) -> bool {
        self.held.is_empty() && self.heard_bytes >= self.sent_bytes
    }

    /// The agent says no more.
    pub(super) fn finish(&mut self, now: Instant) {
        self.odd_byte = None;
        self.end_turn(now);
    }

    /// Fills up the last part of a frame, which counts as having come now, and has the end marked.
    fn end_turn(&mut self, now: Instant) {
        self.pause_at = None;
        let part = self.held.len() % FRAME_SAMPLES;
        if part > 0 {
            self.held.put(FRAME_SAMPLES - part).fill(MULAW_SILENCE);
            // The part is the last that came, and may have come in several pieces.
            let mut left = part;
            while let Some((_, bytes)) = self.arrivals.back_mut().filter(|_| left > 0) {
                let taken = left.min(*bytes);
                *bytes -= taken;
                left -= taken;
                if *bytes == 0 {
                    self.arrivals.pop_back();
                }
            }
            self.arrivals.push_back((now, FRAME_SAMPLES));
        }
        self.mark_due = true;
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.pause_at
    }

    pub(super) fn tick(&mut self, now: Instant) {
        if self.pause_at.is_some_and(|at| at <= now) {
            self.end_turn(now);
        }
    }

    /// The next message for the phone.
    pub(super) fn pop(&mut self) -> Option<ToPhone<'_>> {
        if std::mem::take(&mut self.must_clear) {
            return Some(ToPhone::Clear);
        }
        let unmarked = self.sent_bytes - self.marked_bytes;
        let whole = self.held.len() - self.held.len() % FRAME_SAMPLES;
        if unmarked >= MARK_EVERY_BYTES || (self.mark_due && whole == 0 && unmarked > 0) {
            self.mark_due = self.mark_due && whole > 0;
            self.marked_bytes = self.sent_bytes;
            return Some(ToPhone::Mark {
                generation: self.generation,
                position_ms: self.sent_bytes / SAMPLES_PER_MS as u64,
            });
        }
        if whole == 0 {
            return None;
        }
        let take = whole.min(MESSAGE_BYTES);
        let since = self.arrivals.front().map(|&(at, _)| at).expect("held audio has arrived");
        self.forget_arrivals(take);
        self.sent_bytes += take as u64;
        Some(ToPhone::Audio { mulaw: self.held.take(take), since })
    }

    fn forget_arrivals(&mut self, mut bytes: usize) {
        while let Some((_, left)) = self.arrivals.front_mut() {
            if *left > bytes {
                *left -= bytes;
                return;
            }
            bytes -= *left;
            self.arrivals.pop_front();
        }
    }
}

/// `g2:1500` is the mark after 1,500 ms of generation 2.
fn parse_mark(name: &str) -> Option<(u32, u64)> {
    let (generation, position_ms) = name.strip_prefix('g')?.split_once(':')?;
    Some((generation.parse().ok()?, position_ms.parse().ok()?))
}
