//! The names of things: each kind of id is its own type, so one cannot be passed for another.
//!
//! Twilio's ids are documented as a prefix and 32 hex digits. We read them more liberally (any
//! ASCII letters and digits, up to 64) because nothing here depends on the digits, and a call must
//! not be lost over a vendor's new id format.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A string that is not an id of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: {raw:?}")]
pub struct InvalidId {
    kind: &'static str,
    raw: String,
}

impl InvalidId {
    fn new(kind: &'static str, raw: &str) -> Self {
        InvalidId { kind, raw: raw.chars().take(80).collect() }
    }
}

macro_rules! vendor_sid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The id as the vendor writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(raw: &str) -> Result<Self, InvalidId> {
                match raw.strip_prefix($prefix) {
                    Some(rest)
                        if (1..=64).contains(&rest.len())
                            && rest.bytes().all(|b| b.is_ascii_alphanumeric()) =>
                    {
                        Ok($name(raw.into()))
                    }
                    _ => Err(InvalidId::new($kind, raw)),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(raw: String) -> Result<Self, InvalidId> {
                raw.parse()
            }
        }

        impl From<$name> for String {
            fn from(sid: $name) -> String {
                sid.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

vendor_sid!(
    /// Twilio's id of one phone call: `CA` and 32 hex digits.
    CallSid, "CA", "call sid"
);
vendor_sid!(
    /// Twilio's id of one media stream: `MZ` and 32 hex digits.
    StreamSid, "MZ", "stream sid"
);
vendor_sid!(
    /// Twilio's id of an account: `AC` and 32 hex digits.
    AccountSid, "AC", "account sid"
);

/// Our id of one call, made before any vendor knows of it. Sorts by the time it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallId(Uuid);

impl CallId {
    /// A new id (UUID version 7).
    pub fn generate() -> Self {
        CallId(Uuid::now_v7())
    }
}

impl FromStr for CallId {
    type Err = InvalidId;

    fn from_str(raw: &str) -> Result<Self, InvalidId> {
        Uuid::parse_str(raw).map(CallId).map_err(|_| InvalidId::new("call id", raw))
    }
}

impl TryFrom<String> for CallId {
    type Error = InvalidId;

    fn try_from(raw: String) -> Result<Self, InvalidId> {
        raw.parse()
    }
}

impl From<CallId> for String {
    fn from(id: CallId) -> String {
        id.to_string()
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Our id of one campaign. Sorts by the time it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CampaignId(Uuid);

impl CampaignId {
    /// A new id (UUID version 7).
    pub fn generate() -> Self {
        CampaignId(Uuid::now_v7())
    }
}

impl FromStr for CampaignId {
    type Err = InvalidId;

    fn from_str(raw: &str) -> Result<Self, InvalidId> {
        Uuid::parse_str(raw).map(CampaignId).map_err(|_| InvalidId::new("campaign id", raw))
    }
}

impl fmt::Display for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Our id of one agent: 1 to 100 ASCII letters, digits, hyphens and underscores.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentId(Box<str>);

impl AgentId {
    /// A new id, `agent_` and the hex digits of a UUID version 7.
    pub fn generate() -> Self {
        AgentId(format!("agent_{}", Uuid::now_v7().simple()).into())
    }

    /// The id as clients write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AgentId {
    type Err = InvalidId;

    fn from_str(raw: &str) -> Result<Self, InvalidId> {
        let is_good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if (1..=100).contains(&raw.len()) && raw.bytes().all(is_good) {
            Ok(AgentId(raw.into()))
        } else {
            Err(InvalidId::new("agent id", raw))
        }
    }
}

impl TryFrom<String> for AgentId {
    type Error = InvalidId;

    fn try_from(raw: String) -> Result<Self, InvalidId> {
        raw.parse()
    }
}

impl From<AgentId> for String {
    fn from(id: AgentId) -> String {
        id.0.into()
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a company: whose credentials a call uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CompanyId(pub i64);

impl fmt::Display for CompanyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A phone number in international format: `+` and 7 to 17 digits.
///
/// `Debug` and `Display` hide the middle, so that numbers do not leak into logs;
/// [`as_str`](Self::as_str) gives the whole.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhoneNumber(Box<str>);

/// Why a string is not a phone number we can dial. Never repeats the string, which may be private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPhoneNumber {
    /// The first character is not `+`.
    #[error("must be in international format, starting with '+' and the country code")]
    NoPlus,
    /// Something other than a digit follows the `+`.
    #[error("must have digits only after the '+'")]
    NotDigits,
    /// Fewer than 8 or more than 18 characters.
    #[error("must be 8 to 18 characters long including the '+', this one has {got_chars}")]
    Length {
        /// How many characters the string has.
        got_chars: usize,
    },
}

impl PhoneNumber {
    /// The whole number. Keep it out of logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PhoneNumber {
    type Err = InvalidPhoneNumber;

    fn from_str(raw: &str) -> Result<Self, InvalidPhoneNumber> {
        let digits = raw.strip_prefix('+').ok_or(InvalidPhoneNumber::NoPlus)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidPhoneNumber::NotDigits);
        }
        if !(8..=18).contains(&raw.len()) {
            return Err(InvalidPhoneNumber::Length { got_chars: raw.len() });
        }
        Ok(PhoneNumber(raw.into()))
    }
}

impl TryFrom<String> for PhoneNumber {
    type Error = InvalidPhoneNumber;

    fn try_from(raw: String) -> Result<Self, InvalidPhoneNumber> {
        raw.parse()
    }
}

impl From<PhoneNumber> for String {
    fn from(number: PhoneNumber) -> String {
        number.0.into()
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.len() - 4;
        write!(f, "{}•••{}", &self.0[..2], &self.0[last..])
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who is at one end of a call, as Twilio names them: a phone number as a rule, but callers may be
/// `anonymous`, `sip:alice@example.com`, `client:alice`, a short code, or nothing at all.
///
/// `Debug` and `Display` hide who it is; [`as_str`](Self::as_str) gives the whole.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Party(Box<str>);

impl Party {
    /// As many characters as are kept of a name that is no number.
    pub const MAX_CHARS: usize = 200;

    /// The whole name. Keep it out of logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number, where it is one that can be called.
    pub fn phone_number(&self) -> Option<PhoneNumber> {
        self.0.parse().ok()
    }
}

impl From<&str> for Party {
    /// Takes whatever there is: a caller must not be turned away over a strange name. Control
    /// characters are left out, and what is longer than [`Party::MAX_CHARS`] is cut.
    fn from(raw: &str) -> Self {
        let kept = raw.trim().chars().filter(|c| !c.is_control()).take(Party::MAX_CHARS);
        Party(kept.collect::<String>().into())
    }
}

impl FromStr for Party {
    type Err = std::convert::Infallible;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        Ok(raw.into())
    }
}

impl From<PhoneNumber> for Party {
    fn from(number: PhoneNumber) -> Self {
        Party(number.0)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.phone_number() {
            return number.fmt(f);
        }
        match self.0.split_once(':') {
            Some((scheme @ ("sip" | "sips" | "client"), _)) => write!(f, "{scheme}:•••"),
            _ if self.0.is_empty() => f.write_str("nobody known"),
            _ => f.write_str("•••"),
        }
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_calls_has_a_name_that_does_not_reach_the_log() {
        for (raw, printed, is_number) in [
            ("+12125550123", "+1•••0123", true),
            ("+266696687", "+2•••6687", true),
            ("anonymous", "•••", false),
            ("12345", "•••", false),
            ("sip:alice@example.com", "sip:•••", false),
            ("client:alice", "client:•••", false),
            ("alice:secret", "•••", false),
            ("", "nobody known", false),
        ] {
            let party = Party::from(raw);
            assert_eq!((party.as_str(), party.phone_number().is_some()), (raw, is_number));
            assert_eq!(format!("{party} {party:?}"), format!("{printed} {printed}"));
        }
        let long = Party::from(format!("sip:\0\n{}", "é".repeat(1_000)).as_str());
        assert_eq!(long.as_str().chars().count(), Party::MAX_CHARS);
        assert!(long.as_str().starts_with("sip:é"));
    }

    #[test]
    fn a_call_sid_needs_its_prefix() {
        assert!("CA00000000000000000000000000000001".parse::<CallSid>().is_ok());
        assert!("MZ00000000000000000000000000000001".parse::<CallSid>().is_err());
        assert!("CA".parse::<CallSid>().is_err());
        assert!("CA'; drop table calls".parse::<CallSid>().is_err());
    }

    #[test]
    fn an_agent_id_is_letters_digits_hyphens_and_underscores() {
        for good in ["a", "agent_123456", "-", "Ab-9_", &"x".repeat(100)] {
            assert_eq!(good.parse::<AgentId>().expect("good").as_str(), good);
        }
        for bad in ["", "a b", "agent/1", "ägent", "a\0", "../calls", &"x".repeat(101)] {
            assert!(bad.parse::<AgentId>().is_err(), "{bad:?}");
        }
        let made = AgentId::generate();
        assert_ne!(made, AgentId::generate());
        assert_eq!(made.to_string().parse(), Ok(made.clone()));
        assert!(made.as_str().starts_with("agent_") && made.as_str().len() == 38, "{made}");
    }

    #[test]
    fn phone_numbers_follow_the_documented_rule() {
        for good in
            ["+1234567890", "+0987654321", "+441234567890", "+1234567", "+12345678901234567"]
        {
            assert!(good.parse::<PhoneNumber>().is_ok(), "{good}");
        }
        let cases = [
            ("12125550123", InvalidPhoneNumber::NoPlus),
            ("", InvalidPhoneNumber::NoPlus),
            ("+1", InvalidPhoneNumber::Length { got_chars: 2 }),
            ("+123456", InvalidPhoneNumber::Length { got_chars: 7 }),
            ("+123456789012345678", InvalidPhoneNumber::Length { got_chars: 19 }),
            ("+1212555CALL", InvalidPhoneNumber::NotDigits),
            ("+1 212 555 0123", InvalidPhoneNumber::NotDigits),
            ("+١٢٣٤٥٦٧٨", InvalidPhoneNumber::NotDigits),
        ];
        for (raw, why) in cases {
            assert_eq!(raw.parse::<PhoneNumber>(), Err(why), "{raw}");
        }
    }

    #[test]
    fn a_phone_number_prints_without_its_middle() {
        let number: PhoneNumber = "+12125550123".parse().expect("valid");
        assert_eq!(format!("{number} {number:?}"), "+1•••0123 +1•••0123");
    }
}
