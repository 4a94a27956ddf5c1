//! The vectors were computed with Twilio's own libraries (PyPI `twilio` 9.13.0, npm `twilio`
//! 6.2.0); A1 is the one printed in its security guide.

use super::*;

const SHORT_TOKEN: &str = "12345";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const AC: &str = "AC00000000000000000000000000000001";
const CA: &str = "CA00000000000000000000000000000001";
const MZ: &str = "MZ00000000000000000000000000000001";

const CALLER_BODY: &str = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234\
    &From=%2B14158675309&To=%2B18005551212";

const VOICE_BODY: &str = "AccountSid=AC00000000000000000000000000000001&ApiVersion=2010-04-01\
    &CallSid=CA00000000000000000000000000000001&CallStatus=in-progress&Called=%2B15558675310\
    &CalledCity=&CalledCountry=US&CalledState=CA&CalledZip=&Caller=%2B15017122661&CallerCity=\
    &CallerCountry=US&CallerState=CA&CallerZip=&Direction=outbound-api&From=%2B15017122661\
    &FromCity=&FromCountry=US&FromState=CA&FromZip=&To=%2B15558675310&ToCity=&ToCountry=US\
    &ToState=CA&ToZip=";

const STATUS_BODY: &str = "AccountSid=AC00000000000000000000000000000001&ApiVersion=2010-04-01\
    &CallSid=CA00000000000000000000000000000001&CallStatus=completed&CallDuration=42&Duration=1\
    &CallbackSource=call-progress-events&SequenceNumber=3\
    &Timestamp=Tue%2C%2006%20Oct%202026%2012%3A00%3A42%20%2B0000&Direction=outbound-api\
    &From=%2B15017122661&To=%2B15558675310&SipResponseCode=200";

fn checked(
    token: &str,
    public_url: &str,
    path_and_query: &str,
    body: SignedBody<'_>,
    signature: &str,
) -> Result<(), BadSignature> {
    let public_url: PublicUrl = public_url.parse().expect("a public URL");
    check(&SecretString::from(token), &public_url, path_and_query, body, Some(signature))
}

fn form(body: &str) -> SignedBody<'_> {
    SignedBody::Form(body.as_bytes())
}

#[test]
fn the_vectors_of_twilios_guide_and_libraries_hold() {
    let a1 = "CallSid=CA1234567890ABCDE&Caller=%2B14158675310&Digits=1234&From=%2B14158675310\
        &To=%2B18005551212";
    let a6 = "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234";
    let path = "/myapp.php?foo=1&bar=2";
    let cases = [
        ("A1", "https://example.com", a1, "L/OH5YylLD5NRKLltdqwSvS0BnU="),
        ("A2", "https://mycompany.com", CALLER_BODY, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("A3", "https://mycompany.com:443", CALLER_BODY, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("A4", "http://mycompany.com:1234", CALLER_BODY, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        ("A5", "http://mycompany.com:80", CALLER_BODY, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        ("A6", "https://mycompany.com", a6, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
    ];
    for (name, public_url, body, signature) in cases {
        assert_eq!(checked(SHORT_TOKEN, public_url, path, form(body), signature), Ok(()), "{name}");
        let bare = sign(
            &SecretString::from(SHORT_TOKEN),
            &format!("{public_url}{path}"),
            &FormParams::parse(body.as_bytes()),
        );
        assert_eq!(bare, signature, "{name}");
    }
}

#[test]
fn a_json_body_is_signed_by_its_hash() {
    let a7 = (
        "https://mycompany.com",
        "/myapp.php?foo=1&bar=2&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
        r#"{"property": "value", "boolean": true}"#,
        "a9nBmqA0ju/hNViExpshrM61xv4=",
    );
    let a8 = (
        "https://example.com",
        "/myapp?bodySHA256=5ccde7145dfb8f56479710896586cb9d5911809d83afbe34627818790db0aec9",
        r#"{"CallSid":"CA1234567890ABCDE","Caller":"+12349013030"}"#,
        "hPXmLwIy3Fgqv1i9KPmH/HhQ6zo=",
    );
    for (public_url, path, body, signature) in [a7, a8] {
        let with = |path, body: &str| {
            checked(SHORT_TOKEN, public_url, path, SignedBody::Other(body.as_bytes()), signature)
        };
        assert_eq!(with(path, body), Ok(()));
        assert_eq!(with(path, &body.replace(':', ": ")), Err(BadSignature::BodyHash));
        assert_eq!(with("/myapp", body), Err(BadSignature::BodyHash));
    }
}

#[test]
fn what_twilio_sends_to_a_bridge_is_accepted() {
    let bridge = "https://bridge.example.com";
    let b5 = format!(
        "AccountSid={AC}&CallSid={CA}&StreamSid={MZ}&StreamName={MZ}&StreamEvent=stream-started\
         &Timestamp=2026-10-06T12%3A00%3A00.602648368Z"
    );
    let b9 = format!("/twilio/voice?CallSid={CA}&From=%2B15017122661&To=%2B15558675310");
    let b10 = format!("CallSid={CA}&CallerName=Jos%C3%A9+%C3%91&from=x&From=y");
    let status = "/twilio/status";
    let up = SignedBody::Upgrade;
    let cases = [
        (
            "B1",
            bridge,
            "/twilio/voice?call=abc%20123",
            form(VOICE_BODY),
            "FdsQpD4pk0SIzsrAq1uMhTTaNOc=",
        ),
        ("B2", bridge, status, form(STATUS_BODY), "S5nfQMORmUyttEAn1svjHw3OUNk="),
        (
            "B3",
            "http://bridge.example.com:8080",
            status,
            form(STATUS_BODY),
            "fyopgoyxKBrAeT6fl6CscsYwDsM=",
        ),
        (
            "B4",
            "https://bridge.example.com:443",
            status,
            form(STATUS_BODY),
            "yKgTM9r2i+pWnIZz7PXHJfNdyDQ=",
        ),
        ("B5", bridge, "/twilio/stream-status", form(&b5), "853hKSDl2DoTxqMR34AmxQ8ntAY="),
        ("B6", bridge, "/media", up, "Qpzl6q5jZ70q4PJ9t9TfCYrZVgI="),
        ("B7", bridge, "/media/", up, "cOh2Hk7SsPZuzxezQ1lTc4qbdG0="),
        ("B8", "https://bridge.example.com:8443", "/media", up, "W8Lm/TbDLnS6Sqj1d8rPBHuP4eI="),
        ("B9", bridge, &b9, SignedBody::Empty, "yo0GYwAiWlUwRBekbLXacMlzYSo="),
        ("B10", bridge, "/twilio/voice", form(&b10), "IVXA3piFky4B5ykracRE5NN/5pw="),
    ];
    for (name, public_url, path, body, signature) in cases {
        assert_eq!(checked(TOKEN, public_url, path, body, signature), Ok(()), "{name}");
    }
}

#[test]
fn a_port_or_a_slash_more_or_less_is_forgiven() {
    let status = |public_url, signature| {
        checked(TOKEN, public_url, "/twilio/status", form(STATUS_BODY), signature)
    };
    let (plain, with_443) = ("S5nfQMORmUyttEAn1svjHw3OUNk=", "yKgTM9r2i+pWnIZz7PXHJfNdyDQ=");
    assert_eq!(status("https://bridge.example.com", with_443), Ok(()));
    assert_eq!(status("https://bridge.example.com:8443", plain), Ok(()), "HTTPS drops the port");
    assert_eq!(status("https://bridge.example.com/", plain), Ok(()));
    assert_eq!(status("https://user:pass@bridge.example.com", plain), Ok(()));
    assert_eq!(status("http://bridge.example.com", plain), Err(BadSignature::Wrong));
    assert_eq!(status("https://other.example.com", plain), Err(BadSignature::Wrong));

    let (bare, slash) = ("Qpzl6q5jZ70q4PJ9t9TfCYrZVgI=", "cOh2Hk7SsPZuzxezQ1lTc4qbdG0=");
    for path in ["/media", "/media/"] {
        for signature in [bare, slash] {
            let upgrade = SignedBody::Upgrade;
            let bridge = "https://bridge.example.com";
            assert_eq!(checked(TOKEN, bridge, path, upgrade, signature), Ok(()));
            let get = checked(TOKEN, bridge, path, SignedBody::Empty, signature);
            assert_eq!(get, Err(BadSignature::Wrong), "wss is not https");
        }
    }
}

#[test]
fn a_prefix_may_be_taken_off_by_a_proxy_or_not() {
    let token = SecretString::from(TOKEN);
    let signature = sign(&token, "https://gw.example/bridge/twilio/voice", &FormParams::default());
    for path in ["/twilio/voice", "/bridge/twilio/voice"] {
        let public_url = "https://gw.example/bridge/";
        assert_eq!(checked(TOKEN, public_url, path, SignedBody::Empty, &signature), Ok(()));
    }
}

#[test]
fn anything_changed_is_refused() {
    let bridge = "https://bridge.example.com";
    let good = "S5nfQMORmUyttEAn1svjHw3OUNk=";
    let with = |token, path, body, signature| checked(token, bridge, path, form(body), signature);
    let wrong = Err(BadSignature::Wrong);

    assert_eq!(with(TOKEN, "/twilio/status", STATUS_BODY, good), Ok(()));
    let tampered = STATUS_BODY.replace("CallDuration=42", "CallDuration=43");
    assert_eq!(with(TOKEN, "/twilio/status", &tampered, good), wrong);
    let extra = format!("{STATUS_BODY}&Extra=1");
    assert_eq!(with(TOKEN, "/twilio/status", &extra, good), wrong);
    assert_eq!(with(TOKEN, "/twilio/status?x=1", STATUS_BODY, good), wrong);
    assert_eq!(with(TOKEN, "/twilio/Status", STATUS_BODY, good), wrong);
    assert_eq!(
        with("0123456789abcdef0123456789abcdee", "/twilio/status", STATUS_BODY, good),
        wrong
    );
    for header in
        ["not base64 !", "S5nfQMORmUyttEAn1svjHw3OUNk", "====", "é", "s5nfQMORmUyttEAn1svjHw3OUNk="]
    {
        assert_eq!(with(TOKEN, "/twilio/status", STATUS_BODY, header), wrong, "{header}");
    }
    assert_eq!(with(TOKEN, "/twilio/status", STATUS_BODY, ""), Err(BadSignature::Missing));
    let public_url = bridge.parse().expect("a URL");
    let unsigned = check(&SecretString::from(TOKEN), &public_url, "/x", SignedBody::Empty, None);
    assert_eq!(unsigned, Err(BadSignature::Missing));
}

#[test]
fn an_empty_token_verifies_nothing() {
    let signature = sign(&SecretString::from(""), "https://x.example/y", &FormParams::default());
    let result = checked("", "https://x.example", "/y", SignedBody::Empty, &signature);
    assert_eq!(result, Err(BadSignature::Wrong));
}

#[test]
fn form_bodies_are_read_exactly() {
    let body = b"a=1+2&b=%2B1%20x&a=%C3%A9&empty=&flag&&bad=%ff%zz&q=a=b";
    let params = FormParams::parse(body);
    let read: Vec<_> = params.iter().collect();
    assert_eq!(
        read,
        [
            ("a", "1 2"),
            ("b", "+1 x"),
            ("a", "é"),
            ("empty", ""),
            ("flag", ""),
            ("bad", "\u{fffd}%zz"),
            ("q", "a=b"),
        ]
    );
    assert_eq!(params.get("a"), Some("1 2"));
    assert_eq!(params.get("empty"), None);
    assert_eq!(params.get("absent"), None);
}

#[test]
fn a_public_url_is_kept_as_written() {
    let url: PublicUrl = "https://Bridge.example.com:8443/x/".parse().expect("a URL");
    assert_eq!(url.to_string(), "https://Bridge.example.com:8443/x");
    assert_eq!(url.http("/twilio/voice?a=b"), "https://Bridge.example.com:8443/x/twilio/voice?a=b");
    assert_eq!(url.websocket("/media"), "wss://Bridge.example.com:8443/x/media");
    let local: PublicUrl = "http://[::1]".parse().expect("a URL");
    assert_eq!(
        (local.websocket("/media").as_str(), local.is_secure()),
        ("ws://[::1]/media", false)
    );
    assert_eq!(without_port("[::1]"), "[::1]");
    assert_eq!(without_port("[::1]:8000"), "[::1]");
    for bad in
        ["", "bridge.example.com", "ftp://x", "https://", "https://x/?q", "https://x/#f", "https:x"]
    {
        assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
    }
}
