//! How loud a frame of µ-law is; just enough to tell speech from silence.

/// Mean level, of 32,124, above which a frame counts as speech: about −38 dBFS, far above line
/// noise and comfort noise and far below anybody talking.
const SPEECH_LEVEL: u32 = 400;

const MAGNITUDES: [u16; 256] = {
    let mut table = [0; 256];
    let mut code: u16 = 0;
    while code < 256 {
        // G.711: all bits are inverted, then sign, three bits of segment, four of step.
        let segment = (!code >> 4) & 7;
        let step = !code & 15;
        table[code as usize] = (((step << 3) + 0x84) << segment) - 0x84;
        code += 1;
    }
    table
};

/// Distance from zero of one µ-law sample, 0 to 32,124.
#[must_use]
pub fn magnitude(code: u8) -> u16 {
    MAGNITUDES[usize::from(code)]
}

/// Whether there is speech (or a tone) in a frame of µ-law.
#[must_use]
pub fn is_speech(frame: &[u8]) -> bool {
    let sum: u32 = frame.iter().map(|&code| u32::from(magnitude(code))).sum();
    let count = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    count > 0 && sum / count >= SPEECH_LEVEL
}

/// Milliseconds of speech in µ-law audio, counted in frames of 20 ms.
#[must_use]
pub fn speech_ms(audio: &[u8]) -> u64 {
    audio.chunks(160).filter(|frame| is_speech(frame)).count() as u64 * 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_g711() {
        assert_eq!(magnitude(0xFF), 0);
        assert_eq!(magnitude(0x7F), 0);
        assert_eq!(magnitude(0x80), 32_124);
        assert_eq!(magnitude(0x00), 32_124);
        assert_eq!(magnitude(0xFE), 8);
        assert!(!is_speech(&[0xFF; 160]));
        assert!(!is_speech(&[0x7E; 160]));
        assert!(!is_speech(&[]));
        assert!(is_speech(&[0x90; 160]));
    }
}
