//! µ-law, from the definition in ITU-T G.711 (11/88), table 2.
//!
//! A code is a sign, a three-bit segment and a four-bit step, all bits inverted on the line.
//! Magnitudes are 14 bits wide there; samples here have 16, so values are scaled by four.

/// What G.711 adds to a magnitude so that every segment starts at a power of two.
const BIAS: u16 = 33;
/// The largest magnitude that has a code, less the bias: the upper edge of the last segment.
const LARGEST: u16 = 8_191 - BIAS;

/// The sample a code stands for.
pub fn decode(code: u8) -> i16 {
    let bits = !code;
    let segment = (bits >> 4) & 7;
    let step = i16::from(bits & 15);
    let magnitude = ((2 * step + 33) << segment) - 33;
    let value = magnitude * 4;
    if bits & 0x80 == 0 { value } else { -value }
}

/// The code whose interval holds `sample`.
pub fn encode(sample: i16) -> u8 {
    let magnitude = (sample.unsigned_abs() / 4).min(LARGEST) + BIAS;
    let segment = magnitude.ilog2() - 5;
    let step = (magnitude >> (segment + 1)) & 15;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let bits = sign | u8::try_from(segment << 4 | u32::from(step)).expect("seven bits");
    !bits
}

/// Every code's sample.
pub fn decode_all(codes: &[u8]) -> Vec<i16> {
    codes.iter().map(|&code| decode(code)).collect()
}

/// Every sample's code.
pub fn encode_all(samples: &[i16]) -> Vec<u8> {
    samples.iter().map(|&sample| encode(sample)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_have_the_standard_values() {
        for (code, sample) in [
            (0x00, -32_124),
            (0x80, 32_124),
            (0xFF, 0),
            (0x7F, 0),
            (0xFE, 8),
            (0x7E, -8),
            (0xF0, 120),
            (0xEF, 132),
            (0x8F, 16_764),
            (0x0F, -16_764),
        ] {
            assert_eq!(decode(code), sample, "code {code:#04x}");
        }
    }

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for code in 0..=u8::MAX {
            let back = encode(decode(code));
            // Minus zero has a code of its own, and no sample.
            let expected = if code == 0x7F { 0xFF } else { code };
            assert_eq!(back, expected, "code {code:#04x}");
        }
    }

    #[test]
    fn codes_change_at_the_decision_values_of_table_2() {
        for (decision, below, from) in [
            (1, 0xFF, 0xFE),
            (3, 0xFE, 0xFD),
            (31, 0xF0, 0xEF),
            (95, 0xE0, 0xDF),
            (223, 0xD0, 0xCF),
            (479, 0xC0, 0xBF),
            (991, 0xB0, 0xAF),
            (2_015, 0xA0, 0x9F),
            (4_063, 0x90, 0x8F),
            (7_903, 0x81, 0x80),
        ] {
            let sample = decision * 4;
            assert_eq!((encode(sample - 1), encode(sample)), (below, from), "at {decision}");
            let negative = (encode(1 - sample), encode(-sample));
            assert_eq!(negative, (below & 0x7F, from & 0x7F), "at -{decision}");
        }
        assert_eq!((encode(i16::MAX), encode(i16::MIN)), (0x80, 0x00));
    }

    #[test]
    fn louder_samples_never_get_quieter_codes() {
        let decoded: Vec<i16> = (i16::MIN..=i16::MAX).map(|s| decode(encode(s))).collect();
        assert!(decoded.is_sorted());
    }
}
