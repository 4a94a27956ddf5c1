//! G.711 µ-law and back, by table, bit-exact to ITU-T G.711.
//!
//! The tables are computed from the definition at compile time. Negative samples are compared by
//! their ones' complement, as ITU-T's reference implementation (G.191, `ulaw_compress`) does.

/// What each of the 256 codes stands for, on the 16-bit scale.
static DECODED: [i16; 256] = {
    let mut table = [0; 256];
    let mut code: u8 = 0;
    loop {
        table[code as usize] = expand(code);
        match code.checked_add(1) {
            Some(next) => code = next,
            None => break table,
        }
    }
};

/// The code for each 14-bit sample, indexed by its two's complement. The two lowest of 16 bits do
/// not influence the code.
static ENCODED: [u8; 1 << 14] = {
    let mut table = [0; 1 << 14];
    let mut index: u16 = 0;
    while index < 1 << 14 {
        table[index as usize] = compress((index << 2).cast_signed());
        index += 1;
    }
    table
};

const fn expand(code: u8) -> i16 {
    let bits = !code;
    let exponent = (bits >> 4) & 0x07;
    let mantissa = (bits & 0x0F) as i16;
    let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

const fn compress(sample: i16) -> u8 {
    let (sign, magnitude) = if sample < 0 { (0x00, !sample) } else { (0x80, sample) };
    let mut biased = (magnitude >> 2) + 33;
    if biased > 0x1FFF {
        biased = 0x1FFF;
    }
    let mut segment: u8 = 0;
    while biased >> (segment + 6) != 0 {
        segment += 1;
    }
    let step = ((biased >> (segment + 1)) & 0x0F).to_le_bytes()[0];
    sign | ((7 - segment) << 4) | (0x0F - step)
}

/// The 16-bit sample a code stands for.
pub fn decode(code: u8) -> i16 {
    DECODED[usize::from(code)]
}

/// The code for a 16-bit sample.
pub fn encode(sample: i16) -> u8 {
    ENCODED[usize::from(sample.cast_unsigned() >> 2)]
}

/// Writes the samples of `mulaw` as signed 16-bit little-endian; `pcm` is twice as long.
pub fn decode_to(mulaw: &[u8], pcm: &mut [u8]) {
    debug_assert_eq!(pcm.len(), 2 * mulaw.len());
    for (sample, &code) in pcm.chunks_exact_mut(2).zip(mulaw) {
        sample.copy_from_slice(&decode(code).to_le_bytes());
    }
}

/// Writes the codes of signed 16-bit little-endian samples; `mulaw` is half as long.
pub fn encode_to(pcm: &[u8], mulaw: &mut [u8]) {
    debug_assert_eq!(pcm.len(), 2 * mulaw.len());
    for (code, sample) in mulaw.iter_mut().zip(pcm.chunks_exact(2)) {
        *code = encode(i16::from_le_bytes([sample[0], sample[1]]));
    }
}

/// The loudest sample's distance from zero.
pub fn peak(mulaw: &[u8]) -> i16 {
    // Without the sign, the code of a sample is the lower the louder it is.
    let loudest = mulaw.iter().fold(0x7F, |loudest, code| (code & 0x7F).min(loudest));
    DECODED[usize::from(loudest)].saturating_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_that_of_the_samples() {
        assert_eq!(peak(&[]), 0);
        for code in 0..=255 {
            assert_eq!(peak(&[0xFF, code, 0x7F]), decode(code).abs(), "{code:#04x}");
        }
        assert_eq!(peak(&[encode(500), encode(-9_000), encode(8_000)]), 8_828);
    }

    /// Decision and output values printed in ITU-T G.711, table 2 (positive half), scaled from
    /// 14 to 16 bits.
    #[test]
    fn known_values_of_the_standard() {
        for (code, sample) in
            [(0x80, 32_124), (0x8F, 16_764), (0x90, 15_996), (0xF0, 120), (0xFE, 8), (0xFF, 0)]
        {
            assert_eq!(decode(code), sample, "{code:#04x}");
            assert_eq!(decode(code & 0x7F), -sample, "{:#04x}", code & 0x7F);
        }
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in 0..=255 {
            // There are two codes for zero; the negative one becomes the positive.
            let expected = if code == 0x7F { 0xFF } else { code };
            assert_eq!(encode(decode(code)), expected, "{code:#04x}");
        }
    }

    #[test]
    fn every_sample_gets_the_code_of_its_segment() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(encode(sample), compress(sample), "{sample}");
        }
        assert_eq!(encode(i16::MAX), 0x80);
        assert_eq!(encode(i16::MIN), 0x00);
        assert_eq!(encode(-1), 0x7F);
    }

    #[test]
    fn encoding_is_monotonic_in_loudness() {
        let mut last = i16::MIN;
        for sample in i16::MIN..=i16::MAX {
            let heard = decode(encode(sample));
            assert!(heard >= last, "{sample} is heard as {heard}, after {last}");
            last = heard;
        }
    }

    #[test]
    fn slices_are_coded_sample_by_sample() {
        let codes: Vec<u8> = (0..=255).filter(|&code| code != 0x7F).collect();
        let mut pcm = vec![0; 2 * codes.len()];
        decode_to(&codes, &mut pcm);
        let mut again = vec![0; codes.len()];
        encode_to(&pcm, &mut again);
        assert_eq!(again, codes);
    }
}
