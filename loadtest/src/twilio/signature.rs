//! `X-Twilio-Signature`, as the sender computes it.
//!
//! Kept apart from the service's own check on purpose: a mistake made here and there alike would
//! never be found.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Signs a URL and the form fields that go with it.
///
/// The URL is taken as it is: see [`signed_form_of`] for what Twilio makes of a configured URL.
/// Names are sorted by code point; a name that occurs several times contributes each of its
/// distinct values, sorted.
#[must_use]
pub fn sign(auth_token: &str, url: &str, fields: &[(String, String)]) -> String {
    let mut sorted: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut mac =
        Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The form of a configured webhook URL that is signed: no fragment, no user and password, and
/// for `https` no port. The rest is kept byte for byte.
#[must_use]
pub fn signed_form_of(url: &str) -> String {
    let url = url.split_once('#').map_or(url, |(before, _)| before);
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((name, port)) if scheme == "https" && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN_A: &str = "12345";
    const TOKEN_B: &str = "0123456789abcdef0123456789abcdef";
    const STATUS_BODY: &str = "AccountSid=AC00000000000000000000000000000001&ApiVersion=2010-04-01&CallSid=CA00000000000000000000000000000001&CallStatus=completed&CallDuration=42&Duration=1&CallbackSource=call-progress-events&SequenceNumber=3&Timestamp=Tue%2C%2006%20Oct%202026%2012%3A00%3A42%20%2B0000&Direction=outbound-api&From=%2B15017122661&To=%2B15558675310&SipResponseCode=200";
    const VOICE_BODY: &str = "AccountSid=AC00000000000000000000000000000001&ApiVersion=2010-04-01&CallSid=CA00000000000000000000000000000001&CallStatus=in-progress&Called=%2B15558675310&CalledCity=&CalledCountry=US&CalledState=CA&CalledZip=&Caller=%2B15017122661&CallerCity=&CallerCountry=US&CallerState=CA&CallerZip=&Direction=outbound-api&From=%2B15017122661&FromCity=&FromCountry=US&FromState=CA&FromZip=&To=%2B15558675310&ToCity=&ToCountry=US&ToState=CA&ToZip=";

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    fn form(body: &str) -> Vec<(String, String)> {
        serde_urlencoded::from_str(body).expect("a form")
    }

    fn example(number: &str) -> Vec<(String, String)> {
        fields(&[
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", number),
            ("Digits", "1234"),
            ("From", number),
            ("To", "+18005551212"),
        ])
    }

    #[test]
    fn the_published_vectors_hold() {
        let a = example("+14158675309");
        let duplicates = fields(&[
            ("Sid", "CA123"),
            ("SidAccount", "AC123"),
            ("Digits", "5678"),
            ("Digits", "1234"),
            ("Digits", "1234"),
        ]);
        for (url, fields, expected) in [
            (
                "https://example.com/myapp.php?foo=1&bar=2",
                &example("+14158675310"),
                "L/OH5YylLD5NRKLltdqwSvS0BnU=",
            ),
            ("https://mycompany.com/myapp.php?foo=1&bar=2", &a, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
            ("https://mycompany.com:443/myapp.php?foo=1&bar=2", &a, "kvajT1Ptam85bY51eRf/AJRuM3w="),
            ("http://mycompany.com:1234/myapp.php?foo=1&bar=2", &a, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
            ("http://mycompany.com:80/myapp.php?foo=1&bar=2", &a, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
            (
                "https://mycompany.com/myapp.php?foo=1&bar=2",
                &duplicates,
                "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
            ),
        ] {
            assert_eq!(sign(TOKEN_A, url, fields), expected, "{url}");
        }
    }

    #[test]
    fn webhooks_callbacks_and_upgrades_are_signed_as_the_sdks_expect() {
        let status = form(STATUS_BODY);
        let stream = fields(&[
            ("AccountSid", "AC00000000000000000000000000000001"),
            ("CallSid", "CA00000000000000000000000000000001"),
            ("StreamSid", "MZ00000000000000000000000000000001"),
            ("StreamName", "MZ00000000000000000000000000000001"),
            ("StreamEvent", "stream-started"),
            ("Timestamp", "2026-10-06T12:00:00.602648368Z"),
        ]);
        let names = fields(&[
            ("CallSid", "CA00000000000000000000000000000001"),
            ("CallerName", "José Ñ"),
            ("From", "y"),
            ("from", "x"),
        ]);
        let none = Vec::new();
        for (url, fields, expected) in [
            (
                "https://bridge.example.com/twilio/voice?call=abc%20123",
                &form(VOICE_BODY),
                "FdsQpD4pk0SIzsrAq1uMhTTaNOc=",
            ),
            ("https://bridge.example.com/twilio/status", &status, "S5nfQMORmUyttEAn1svjHw3OUNk="),
            (
                "http://bridge.example.com:8080/twilio/status",
                &status,
                "fyopgoyxKBrAeT6fl6CscsYwDsM=",
            ),
            (
                "https://bridge.example.com:443/twilio/status",
                &status,
                "yKgTM9r2i+pWnIZz7PXHJfNdyDQ=",
            ),
            (
                "https://bridge.example.com/twilio/stream-status",
                &stream,
                "853hKSDl2DoTxqMR34AmxQ8ntAY=",
            ),
            ("wss://bridge.example.com/media", &none, "Qpzl6q5jZ70q4PJ9t9TfCYrZVgI="),
            ("wss://bridge.example.com/media/", &none, "cOh2Hk7SsPZuzxezQ1lTc4qbdG0="),
            ("wss://bridge.example.com:8443/media", &none, "W8Lm/TbDLnS6Sqj1d8rPBHuP4eI="),
            (
                "https://bridge.example.com/twilio/voice?CallSid=CA00000000000000000000000000000001&From=%2B15017122661&To=%2B15558675310",
                &none,
                "yo0GYwAiWlUwRBekbLXacMlzYSo=",
            ),
            ("https://bridge.example.com/twilio/voice", &names, "IVXA3piFky4B5ykracRE5NN/5pw="),
        ] {
            assert_eq!(sign(TOKEN_B, url, fields), expected, "{url}");
        }
    }

    #[test]
    fn credentials_fragments_and_https_ports_are_not_signed() {
        assert_eq!(
            signed_form_of("https://u:p@host:8443/a?b=c%20d#rc=2"),
            "https://host/a?b=c%20d"
        );
        assert_eq!(signed_form_of("http://u:p@host:8080/a"), "http://host:8080/a");
        assert_eq!(signed_form_of("http://host:8080?x=1"), "http://host:8080?x=1");
    }
}
