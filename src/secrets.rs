//! Sealing of secrets, so that a copy of the database gives none away.
//!
//! A sealed value is `v1.<key id>.<base64url(nonce ‖ ciphertext)>`, XChaCha20-Poly1305 under a
//! 32-byte key. It is bound to the [`Place`] it is stored in: copied to another column or row it
//! does not open. Of several keys the first seals and all open, which is how a key is rotated.
//!
//! Where keys come from is the business of [`key_file`].

pub mod key_file;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, Generate, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

const VERSION: &str = "v1";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// Why a list of keys cannot be used. Never repeats a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// Nothing in the list.
    #[error("holds no key; make one with `openssl rand -base64 32`")]
    Empty,
    /// One of them is not base64.
    #[error("key {position} is not base64; make one with `openssl rand -base64 32`")]
    NotBase64 {
        /// Counted from 1.
        position: usize,
    },
    /// One of them is too short or too long.
    #[error("key {position} is {got_bytes} bytes long, not 32")]
    Length {
        /// Counted from 1.
        position: usize,
        /// How long it is.
        got_bytes: usize,
    },
    /// The same key twice, or two that cannot be told apart.
    #[error("keys {first} and {second} are the same")]
    Repeated {
        /// Counted from 1.
        first: usize,
        /// Counted from 1.
        second: usize,
    },
}

/// Why a sealed value does not open. Names the key and the place, never the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was not made by a [`Sealer`].
    #[error("the value of {place} is not a sealed one")]
    NotSealed {
        /// Where it is stored.
        place: String,
    },
    /// It was sealed under a key we do not have.
    #[error(
        "the value of {place} was sealed under key {key_id}, which is not among the keys given"
    )]
    UnknownKey {
        /// Where it is stored.
        place: String,
        /// The key that is missing.
        key_id: String,
    },
    /// It was changed, or copied from elsewhere.
    #[error(
        "the value of {place}, sealed under key {key_id}, was altered or belongs to another row"
    )]
    Altered {
        /// Where it is stored.
        place: String,
        /// The key it claims.
        key_id: String,
    },
}

/// Where a sealed value is stored: table, column and row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// The place of one value.
    pub fn new(table: &str, column: &str, row: impl fmt::Display) -> Self {
        Place(format!("{table}.{column}:{row}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// First 8 hex digits of a key's SHA-256: tells keys apart and gives nothing away.
pub type KeyId = String;

/// Seals and opens secrets. `Debug` shows key ids only.
#[derive(Clone)]
pub struct Sealer {
    keys: Vec<(KeyId, XChaCha20Poly1305)>,
}

impl Sealer {
    /// From one or more base64 keys of 32 bytes, comma-separated.
    pub fn from_keys(list: &SecretString) -> Result<Self, InvalidKeys> {
        let mut keys: Vec<(KeyId, XChaCha20Poly1305)> = Vec::new();
        let parts = list.expose_secret().split(',').map(str::trim).filter(|part| !part.is_empty());
        for (index, part) in parts.enumerate() {
            let position = index + 1;
            // Whoever wrote the key may have used either alphabet, with padding or without.
            let bytes = STANDARD
                .decode(part)
                .or_else(|_| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')))
                .map_err(|_| InvalidKeys::NotBase64 { position })?;
            let cipher = XChaCha20Poly1305::new_from_slice(&bytes)
                .map_err(|_| InvalidKeys::Length { position, got_bytes: bytes.len() })?;
            let id = key_id(&bytes);
            if let Some(same) = keys.iter().position(|(other, _)| *other == id) {
                return Err(InvalidKeys::Repeated { first: same + 1, second: position });
            }
            keys.push((id, cipher));
        }
        if keys.is_empty() { Err(InvalidKeys::Empty) } else { Ok(Sealer { keys }) }
    }

    /// The id of the key that seals.
    pub fn first_key_id(&self) -> &str {
        &self.keys[0].0
    }

    /// The ids of all keys, the sealing one first.
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.keys.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Seals a secret for one place.
    pub fn seal(&self, place: &Place, secret: &SecretString) -> String {
        let (id, cipher) = &self.keys[0];
        let nonce = XNonce::generate();
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: place.0.as_bytes() };
        let sealed = cipher.encrypt(&nonce, payload).expect("a secret is far shorter than 256 GiB");
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        format!("{VERSION}.{id}.{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: &Place, sealed: &str) -> Result<SecretString, SealError> {
        let not_sealed = || SealError::NotSealed { place: place.to_string() };
        let (id, body) = split(sealed).ok_or_else(not_sealed)?;
        let (_, cipher) = self.keys.iter().find(|(known, _)| known == id).ok_or_else(|| {
            SealError::UnknownKey { place: place.to_string(), key_id: id.to_owned() }
        })?;
        let altered = || SealError::Altered { place: place.to_string(), key_id: id.to_owned() };
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| altered())?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES).ok_or_else(altered)?;
        let nonce = XNonce::try_from(nonce).expect("split at the length of a nonce");
        let payload = Payload { msg: sealed, aad: place.0.as_bytes() };
        let opened = cipher.decrypt(&nonce, payload).map_err(|_| altered())?;
        String::from_utf8(opened).map(SecretString::from).map_err(|_| altered())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("key_ids", &self.key_ids()).finish_non_exhaustive()
    }
}

/// The id of the key a value was sealed under; `None` when it is not a sealed value.
pub fn sealed_under(sealed: &str) -> Option<&str> {
    split(sealed).map(|(id, _)| id)
}

fn split(sealed: &str) -> Option<(&str, &str)> {
    sealed.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')
}

fn key_id(key: &[u8]) -> KeyId {
    Sha256::digest(key)[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(fill: u8) -> String {
        STANDARD.encode([fill; KEY_BYTES])
    }

    fn sealer(list: &str) -> Sealer {
        Sealer::from_keys(&SecretString::from(list)).expect("good keys")
    }

    fn token_of(row: i64) -> Place {
        Place::new("twilio_config", "auth_token", row)
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_at_its_place_only(secret in ".*", row in 0..1000i64) {
            let sealer = sealer(&key(1));
            let sealed = sealer.seal(&token_of(row), &SecretString::from(secret.as_str()));
            prop_assert!(secret.len() < 4 || !sealed.contains(&secret));
            let opened = sealer.open(&token_of(row), &sealed).expect("opens");
            prop_assert_eq!(opened.expose_secret(), &secret);

            let elsewhere = sealer.open(&token_of(row + 1), &sealed);
            prop_assert!(matches!(elsewhere, Err(SealError::Altered { .. })), "{elsewhere:?}");
        }

        #[test]
        fn a_changed_value_does_not_open(secret in ".{1,40}", at in any::<prop::sample::Index>()) {
            let sealer = sealer(&key(1));
            let sealed = sealer.seal(&token_of(1), &SecretString::from(secret));
            let mut chars: Vec<char> = sealed.chars().collect();
            let at = at.index(chars.len());
            chars[at] = if chars[at] == 'A' { 'B' } else { 'A' };
            let changed: String = chars.into_iter().collect();
            prop_assert!(sealer.open(&token_of(1), &changed).is_err());
        }

        #[test]
        fn nothing_that_was_never_sealed_opens_or_panics(text in ".*") {
            prop_assert!(sealer(&key(1)).open(&token_of(1), &text).is_err());
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let before = sealer(&key(1));
        let sealed = before.seal(&token_of(1), &SecretString::from("hush"));

        let during = sealer(&format!("{}, {}", key(2), key(1)));
        assert_eq!(during.open(&token_of(1), &sealed).expect("old key").expose_secret(), "hush");
        let resealed = during.seal(&token_of(1), &SecretString::from("hush"));
        assert_eq!(sealed_under(&resealed), Some(during.first_key_id()));

        let after = sealer(&key(2));
        assert!(after.open(&token_of(1), &resealed).is_ok());
        let error = after.open(&token_of(1), &sealed).expect_err("its key is gone");
        assert!(error.to_string().contains(before.first_key_id()), "{error}");
    }

    #[test]
    fn a_secret_is_never_sealed_the_same_way_twice() {
        let sealer = sealer(&key(1));
        let secret = SecretString::from("hush");
        assert_ne!(sealer.seal(&token_of(1), &secret), sealer.seal(&token_of(1), &secret));
    }

    #[test]
    fn bad_keys_are_refused_without_repeating_them() {
        let refused = |list: &str| Sealer::from_keys(&SecretString::from(list)).expect_err("bad");
        assert_eq!(refused(" , "), InvalidKeys::Empty);
        assert_eq!(refused("not base64!"), InvalidKeys::NotBase64 { position: 1 });
        let short = format!("{},{}", key(1), STANDARD.encode([1; 31]));
        assert_eq!(refused(&short), InvalidKeys::Length { position: 2, got_bytes: 31 });
        let twice = format!("{},{}", key(1), key(1));
        assert_eq!(refused(&twice), InvalidKeys::Repeated { first: 1, second: 2 });
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = format!("{:?}", sealer(&key(7)));
        assert!(!shown.contains(&key(7)) && !shown.contains("7, 7"), "{shown}");
    }
}
