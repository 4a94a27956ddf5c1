//! Base64 as Twilio's messages have it, by the widest instructions the machine has.

use ::base64::engine::general_purpose::PAD;
use ::base64::{DecodeError, DecodeSliceError, Engine as _};

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static ENGINE: std::sync::LazyLock<::base64::engine::Simd> =
    std::sync::LazyLock::new(|| ::base64::engine::Simd::standard(PAD));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static ENGINE: ::base64::engine::GeneralPurpose =
    ::base64::engine::GeneralPurpose::new(&::base64::alphabet::STANDARD, PAD);

/// How long `bytes` bytes are when they are encoded.
pub(crate) fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// Appends `bytes`.
pub(crate) fn encode_to(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + encoded_len(bytes.len()), 0);
    ENGINE.encode_slice(bytes, &mut out[start..]).expect("the room was made for it");
}

/// Decodes into `out`; gives how many bytes these are, or `None` when they do not fit.
pub(crate) fn decode_slice(text: &str, out: &mut [u8]) -> Result<Option<usize>, DecodeError> {
    match ENGINE.decode_slice(text, out) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(DecodeSliceError::OutputSliceTooSmall) => Ok(None),
        Err(DecodeSliceError::DecodeError(error)) => Err(error),
    }
}

/// Decodes text of any length.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    ENGINE.decode(text)
}
