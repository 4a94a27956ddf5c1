//! Phone → agent: every frame in order, and one second of audio a second, silence included.
//!
//! Twilio leaves frames out while a person is muted or the network suppresses silence, and TCP
//! delivers late frames in a burst. A gap in Twilio's timestamps is filled with silence at once; a
//! stall is filled as it goes on. When the frames a stall held back turn out to be late rather
//! than missing, the silence that stood in for them was too much: they are still delivered, and
//! the surplus is taken back from the quiet frames that follow, so no word is lost. Late frames
//! are told by coming faster than they are spoken; Twilio's timestamps do not tell them from those
//! of a phone that made no audio at all, whose silence was just right.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::audio::{self, FRAME_MS, FRAME_PCM_BYTES, SAMPLES_PER_MS};

use super::fifo::Fifo;

const FRAME: Duration = Duration::from_millis(FRAME_MS);
/// How late audio may be before silence takes its place: four frames, more than ordinary jitter
/// and far less than the 384 ms pause after which an agent takes its turn.
const PATIENCE_FRAMES: u64 = 4;
/// The longest piece of audio after which another such piece is waited for, before that.
const PIECE_FRAMES_MOST: u64 = 25;
/// A tick this late means that it was we who stood still: what the phone sent meanwhile may be there
/// to be read, and is given one more frame's time to be.
const OWN_STALL: Duration = Duration::from_millis(5);
/// The longest gap of timestamps that is filled; a longer one is a jump of Twilio's clock.
const MAX_GAP_MS: u64 = 10_000;
/// What is kept for an agent that does not read: the newest second, as frames.
pub(super) const QUEUE_FRAMES: usize = 50;
/// Samples below this are no speech: -40 dB of full scale.
const QUIET_PEAK: i16 = 328;

/// One piece of audio for the agent, and when it came from the phone.
#[derive(Debug)]
pub(super) struct Chunk {
    /// How much of [`Uplink::held`] it is. None of it for silence, which is a frame.
    mulaw_bytes: usize,
    /// `None` for silence we made.
    pub(super) since: Option<Instant>,
}

/// What became of the phone's audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UplinkCounts {
    /// Frames (of 20 ms, rounded up) that came.
    pub frames_in: u64,
    /// Frames of silence put in.
    pub silence_frames: u64,
    /// Frames dropped because the agent's socket did not take them.
    pub dropped_slow: u64,
    /// Frames dropped because silence had already taken their place.
    pub dropped_late: u64,
}

/// The silence of the last stall that Twilio's clock does not account for, and the audio since.
#[derive(Debug)]
struct Suspects {
    frames: u64,
    /// How many of them were found to be too much.
    proven: u64,
    /// When the last of them was due.
    since: Instant,
    came: Duration,
}

impl Suspects {
    /// Takes note of audio after the stall; gives how many more frames it proves too much.
    fn prove(&mut self, now: Instant, came: Duration) -> u64 {
        self.came += came;
        let ahead = self.came.saturating_sub(now.saturating_duration_since(self.since));
        let late = (ahead + FRAME / 2).as_millis() / FRAME.as_millis();
        let late = u64::try_from(late).unwrap_or(u64::MAX).min(self.frames);
        let more = late.saturating_sub(self.proven);
        self.proven += more;
        more
    }
}

#[derive(Debug)]
pub(super) struct Uplink {
    queue: VecDeque<Chunk>,
    /// The µ-law of what is in the queue.
    held: Fifo,
    /// Where the next frame begins by Twilio's clock, if it follows the last.
    expected_ms: Option<u64>,
    /// When the next silent frame is due, unless audio comes before.
    silence_at: Instant,
    /// Frames missed by `silence_at`, if no audio comes before.
    owed_frames: u64,
    /// Whether the wait for the next audio was made longer because we stood still.
    has_waited_longer: bool,
    /// Silent frames sent since the last audio.
    stall_frames: u64,
    /// Silent frames that were too much if the audio after them is late.
    suspects: Suspects,
    /// Silent frames sent too much.
    surplus_frames: u64,
    /// When the person was last heard to speak.
    last_voice: Option<Instant>,
    pub(super) counts: UplinkCounts,
}

impl Uplink {
    /// An uplink that begins to keep time now.
    pub(super) fn new(now: Instant) -> Self {
        let mut uplink = Uplink {
            queue: VecDeque::new(),
            held: Fifo::default(),
            expected_ms: None,
            silence_at: now,
            owed_frames: 0,
            has_waited_longer: false,
            stall_frames: 0,
            suspects: Suspects { frames: 0, proven: 0, since: now, came: Duration::ZERO },
            surplus_frames: 0,
            last_voice: None,
            counts: UplinkCounts::default(),
        };
        uplink.wait_for_next(now, FRAME_MS);
        uplink
    }

    /// When the person was last heard to speak.
    pub(super) fn last_voice(&self) -> Option<Instant> {
        self.last_voice
    }

    /// Takes µ-law audio from the phone.
    pub(super) fn audio(&mut self, now: Instant, mulaw: &[u8], timestamp_ms: Option<u64>) {
        let duration_ms = (mulaw.len() / SAMPLES_PER_MS) as u64;
        self.counts.frames_in += (mulaw.len() as u64).div_ceil(audio::FRAME_SAMPLES as u64);

        let missing = self.missing_frames(timestamp_ms);
        if self.stall_frames > 0 {
            let frames = self.stall_frames.saturating_sub(missing);
            let since = self.silence_at.checked_sub(FRAME).unwrap_or(self.silence_at);
            self.suspects = Suspects { frames, proven: 0, since, came: Duration::ZERO };
        }
        let mut came = Duration::from_micros(1_000 * mulaw.len() as u64 / SAMPLES_PER_MS as u64);
        for _ in self.stall_frames..missing {
            self.push_silence();
            came += FRAME;
        }
        self.surplus_frames += self.suspects.prove(now, came);
        self.stall_frames = 0;
        self.wait_for_next(now, duration_ms);
        self.expected_ms = timestamp_ms.map(|at| at + duration_ms);

        let peak = audio::peak(mulaw);
        if peak >= QUIET_PEAK {
            self.last_voice = Some(now);
        }
        let frames = duration_ms / FRAME_MS;
        let too_late = self.surplus_frames > QUEUE_FRAMES as u64;
        if frames > 0 && self.surplus_frames >= frames && (peak < QUIET_PEAK || too_late) {
            self.surplus_frames -= frames;
            self.counts.dropped_late += frames;
            return;
        }
        self.held.put(mulaw.len()).copy_from_slice(mulaw);
        self.push(Chunk { mulaw_bytes: mulaw.len(), since: Some(now) });
    }

    /// Another piece as long as the last is due when that one has been spoken.
    fn wait_for_next(&mut self, now: Instant, duration_ms: u64) {
        let piece = duration_ms.div_ceil(FRAME_MS).clamp(1, PIECE_FRAMES_MOST);
        self.owed_frames = piece + PATIENCE_FRAMES;
        self.has_waited_longer = false;
        self.silence_at = now + Duration::from_millis(self.owed_frames * FRAME_MS);
    }

    /// Frames that Twilio's clock says lie between the last audio and this.
    fn missing_frames(&self, timestamp_ms: Option<u64>) -> u64 {
        match (self.expected_ms, timestamp_ms) {
            (Some(expected), Some(at)) => {
                let gap_ms = at.saturating_sub(expected).min(MAX_GAP_MS);
                // Stamps wobble by a few milliseconds around whole frames.
                (gap_ms + FRAME_MS / 2) / FRAME_MS
            }
            _ => 0,
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn next_deadline(&self) -> Instant {
        self.silence_at
    }

    /// Fills a stall up to now. The first time, that includes the frames missed while waiting.
    pub(super) fn tick(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.silence_at);
        if late > OWN_STALL && self.stall_frames == 0 && !self.has_waited_longer {
            self.has_waited_longer = true;
            let frames = (late + FRAME).as_millis() / FRAME.as_millis();
            self.owed_frames += u64::try_from(frames).unwrap_or(u64::MAX);
            self.silence_at = now + FRAME;
            return;
        }
        while self.silence_at <= now {
            let owed = if self.stall_frames == 0 { self.owed_frames } else { 1 };
            for _ in 0..owed {
                self.push_silence();
            }
            self.stall_frames += owed;
            self.silence_at += FRAME;
        }
    }

    /// Appends the next piece for the agent to `pcm`.
    pub(super) fn pop(&mut self, pcm: &mut Vec<u8>) -> Option<Chunk> {
        let chunk = self.queue.pop_front()?;
        let start = pcm.len();
        match chunk.since {
            Some(_) => {
                pcm.resize(start + 2 * chunk.mulaw_bytes, 0);
                audio::decode_to(self.held.take(chunk.mulaw_bytes), &mut pcm[start..]);
            }
            None => pcm.resize(start + FRAME_PCM_BYTES, 0),
        }
        Some(chunk)
    }

    fn push_silence(&mut self) {
        self.counts.silence_frames += 1;
        self.push(Chunk { mulaw_bytes: 0, since: None });
    }

    fn push(&mut self, chunk: Chunk) {
        if self.queue.len() >= QUEUE_FRAMES
            && let Some(oldest) = self.queue.pop_front()
        {
            self.held.take(oldest.mulaw_bytes);
            self.counts.dropped_slow += 1;
        }
        self.queue.push_back(chunk);
    }
}
