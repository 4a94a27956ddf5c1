//! The two ends of a followed call: what a phone says and hears, and what its agent does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use super::{Clear, Direction, Inner, bump, lock};
use crate::audio::{FRAME_PCM_BYTES, FRAME_SAMPLES};
use crate::load::frame::{self, Found, Mark};

/// The stream of an agent that has not heard its phone yet.
const ANY_STREAM: u32 = u32::MAX;

/// Expects the frames of one stream in order.
#[derive(Debug, Default)]
struct Ear {
    /// The number of the next frame.
    from: u32,
}

impl Ear {
    /// Takes what arrived; a whole frame of this stream in its place is handed back.
    fn hear(
        &mut self,
        probe: &Inner,
        direction: &Direction,
        stream: Option<u32>,
        at: Instant,
        found: Found,
    ) -> Option<Mark> {
        let is_ours = |mark: &Mark| {
            mark.stream == ANY_STREAM || stream.is_none_or(|stream| stream == mark.stream)
        };
        let mark = match found {
            Found::Unmarked => {
                // Where phones pause, silence is what they say.
                if probe.all_speak() {
                    bump(&direction.unmarked);
                }
                return None;
            }
            Found::Whole(mark) if is_ours(&mark) => mark,
            Found::Whole(_) | Found::Damaged => {
                bump(&direction.damaged);
                return None;
            }
        };
        if mark.number < self.from {
            bump(&direction.out_of_order);
            return None;
        }
        if mark.number > self.from {
            direction.skipped.fetch_add((mark.number - self.from).into(), Ordering::Relaxed);
        }
        self.from = mark.number + 1;
        bump(&direction.in_order);
        direction.delay.record(probe.micros(at).saturating_sub(mark.left_micros));
        Some(mark)
    }
}

/// The phone's end of a probe.
#[derive(Debug)]
pub(crate) struct PhoneProbe {
    probe: Arc<Inner>,
    stream: u32,
    ticks: u32,
    next: u32,
    silent: bool,
    ear: Ear,
}

impl PhoneProbe {
    pub(super) fn new(probe: Arc<Inner>, stream: u32) -> Self {
        PhoneProbe { probe, stream, ticks: 0, next: 0, silent: false, ear: Ear::default() }
    }

    /// The next frame to say, due at `due`; None when the phone is to be silent. `scripted` says
    /// whether the phone's script has it speak now.
    pub(crate) fn say(&mut self, due: Instant, scripted: bool) -> Option<[u8; FRAME_SAMPLES]> {
        let now = Instant::now();
        let late = now.saturating_duration_since(due);
        self.probe.lateness.record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
        let tick = self.ticks;
        self.ticks += 1;
        let speaks = !self.silent
            && self.probe.speaking.load(Ordering::Relaxed)
            && self.probe.manner.speaks(self.stream, tick, scripted);
        if !speaks {
            return None;
        }
        let left_micros = self.probe.micros(now);
        let mark = Mark { stream: self.stream, number: self.next, left_micros };
        self.next += 1;
        bump(&self.probe.to_agent.sent);
        Some(frame::ulaw(mark))
    }

    /// Says nothing from now on.
    pub(crate) fn fall_silent(&mut self) {
        self.silent = true;
        self.probe.some_silent.store(true, Ordering::Relaxed);
    }

    /// Hears audio of the service.
    pub(crate) fn hear(&mut self, at: Instant, ulaw: &[u8]) {
        let PhoneProbe { probe, stream, ear, .. } = self;
        for frame in ulaw.chunks(FRAME_SAMPLES) {
            ear.hear(probe, &probe.to_phone, Some(*stream), at, frame::read_ulaw(frame));
        }
    }

    /// Is told to drop what it has not played. What the agent said before it asked for that must
    /// not come any more.
    pub(crate) fn cleared(&mut self, at: Instant) {
        let clear = lock(&self.probe.clears).get_mut(&self.stream).and_then(|all| all.pop_front());
        let Some(Clear { left_micros, next_frame }) = clear else { return };
        self.ear.from = self.ear.from.max(next_frame);
        self.probe.interruptions.record(self.probe.micros(at).saturating_sub(left_micros));
    }
}

/// The agent's end of a probe.
#[derive(Debug)]
pub(crate) struct AgentProbe {
    probe: Arc<Inner>,
    stream: Option<u32>,
    next: u32,
    ear: Ear,
}

impl AgentProbe {
    pub(super) fn new(probe: Arc<Inner>) -> Self {
        AgentProbe { probe, stream: None, next: 0, ear: Ear::default() }
    }

    /// Hears audio of the service.
    pub(crate) fn hear(&mut self, at: Instant, pcm: &[u8]) {
        for frame in pcm.chunks(FRAME_PCM_BYTES) {
            self.hear_frame(at, frame);
        }
    }

    fn hear_frame(&mut self, at: Instant, pcm: &[u8]) -> Option<Mark> {
        let (probe, stream) = (&self.probe, self.stream);
        let mark = self.ear.hear(probe, &probe.to_agent, stream, at, frame::read_pcm(pcm))?;
        self.stream = Some(mark.stream);
        Some(mark)
    }

    /// Hears audio of the service, and gives what is to be sent back.
    pub(crate) fn answer(&mut self, at: Instant, pcm: &[u8]) -> Bytes {
        let mut answer = Vec::with_capacity(FRAME_PCM_BYTES);
        for frame in pcm.chunks(FRAME_PCM_BYTES) {
            let Some(mark) = self.hear_frame(at, frame) else { continue };
            let left_micros = self.probe.micros(Instant::now());
            bump(&self.probe.to_phone.sent);
            answer.extend_from_slice(&frame::pcm(Mark { left_micros, ..mark }));
        }
        answer.into()
    }

    /// Marks what the agent says of its own accord: frames of the same length take its place.
    pub(crate) fn say(&mut self, pcm: Bytes) -> Bytes {
        let is_over = !self.probe.speaking.load(Ordering::Relaxed);
        if is_over || !pcm.len().is_multiple_of(FRAME_PCM_BYTES) {
            return pcm;
        }
        let left_micros = self.probe.micros(Instant::now());
        let stream = self.stream.unwrap_or(ANY_STREAM);
        let mut marked = Vec::with_capacity(pcm.len());
        for _ in 0..pcm.len() / FRAME_PCM_BYTES {
            bump(&self.probe.to_phone.sent);
            marked.extend_from_slice(&frame::pcm(Mark { stream, number: self.next, left_micros }));
            self.next += 1;
        }
        marked.into()
    }

    /// Asks for silence, because the person speaks.
    pub(crate) fn interrupt(&mut self, at: Instant) {
        bump(&self.probe.interruptions_asked);
        let Some(stream) = self.stream else { return };
        let clear = Clear { left_micros: self.probe.micros(at), next_frame: self.next };
        lock(&self.probe.clears).entry(stream).or_default().push_back(clear);
    }
}
