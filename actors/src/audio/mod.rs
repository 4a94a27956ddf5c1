//! Telephone audio: G.711 µ-law, 8 kHz, mono, in frames of 20 ms.

mod mulaw;

pub use mulaw::{decode, decode_to, encode, encode_to, peak};

/// Samples a second, on both legs.
pub const PHONE_RATE_HZ: u32 = 8_000;
/// What Twilio sends at a time, and what we forward whole.
pub const FRAME_MS: u64 = 20;
/// Samples in a frame; as µ-law also its bytes.
pub const FRAME_SAMPLES: usize = 160;
/// Bytes of a frame as signed 16-bit samples.
pub const FRAME_PCM_BYTES: usize = 2 * FRAME_SAMPLES;
/// Samples (and µ-law bytes) in a millisecond.
pub const SAMPLES_PER_MS: usize = 8;
/// µ-law for "no sound": it decodes to 0.
pub const MULAW_SILENCE: u8 = 0xFF;
