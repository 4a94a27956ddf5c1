//! TwiML: what Twilio is told to do with a call.
//!
//! Only the verbs this service uses. Whatever is put into a document comes out as text: it can
//! neither add a verb nor break the XML.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

/// The content type of a TwiML document. Send its length too: an old page of Twilio's says that
/// chunked answers may be cut short.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// One thing to do. They are done from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb<'a> {
    /// `<Connect><Stream>`: audio goes to and comes from a WebSocket, until that closes.
    Connect {
        /// Asked for more TwiML when the stream is over.
        action: Option<&'a str>,
        /// The stream.
        stream: Stream<'a>,
    },
    /// `<Say>`: a voice of Twilio's speaks.
    Say {
        /// What it says.
        text: &'a str,
        /// Its language, such as `en-US`.
        language: Option<&'a str>,
        /// Its name.
        voice: Option<&'a str>,
    },
    /// `<Dial><Number>`: the call is joined to another phone.
    Dial {
        /// Who is called.
        number: &'a str,
        /// What that phone shows.
        caller_id: Option<&'a str>,
        /// How long it rings.
        timeout_seconds: Option<u32>,
        /// Asked for more TwiML when that call is over.
        action: Option<&'a str>,
    },
    /// `<Redirect>`: go on with the TwiML found there. Nothing after it is done.
    Redirect {
        /// Where.
        url: &'a str,
    },
    /// `<Hangup>`: the call is over.
    Hangup,
}

/// A bidirectional media stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream<'a> {
    /// `wss://…`, without a query: Twilio does not allow one.
    pub url: &'a str,
    /// Told when the stream starts, stops or fails.
    pub status_callback: Option<&'a str>,
    /// Handed over with the stream's `start`. Name and value together have to stay under 500
    /// characters.
    pub parameters: &'a [(&'a str, &'a str)],
}

/// Writes a document. One that does not end with `<Hangup>` or `<Redirect>` is given a `<Hangup>`,
/// so that no call is left on a silent line; no verbs at all make an empty response, which a status
/// callback is answered with.
pub fn document(verbs: &[Verb<'_>]) -> String {
    let mut xml = Xml(Writer::new(Vec::new()));
    xml.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
    if verbs.is_empty() {
        xml.empty("Response", &[]);
    } else {
        xml.open("Response", &[]);
        for verb in verbs {
            xml.verb(verb);
        }
        if !matches!(verbs.last(), Some(Verb::Hangup | Verb::Redirect { .. })) {
            xml.verb(&Verb::Hangup);
        }
        xml.close("Response");
    }
    String::from_utf8(xml.0.into_inner()).expect("only text was written")
}

type Attribute<'a> = (&'a str, Option<&'a str>);

struct Xml(Writer<Vec<u8>>);

impl Xml {
    fn verb(&mut self, verb: &Verb<'_>) {
        match verb {
            Verb::Connect { action, stream } => {
                self.open("Connect", &[("action", *action)]);
                self.stream(stream);
                self.close("Connect");
            }
            Verb::Say { text, language, voice } => {
                self.open("Say", &[("language", *language), ("voice", *voice)]);
                self.text(text);
                self.close("Say");
            }
            Verb::Dial { number, caller_id, timeout_seconds, action } => {
                let timeout = timeout_seconds.map(|seconds| seconds.to_string());
                let attributes = [
                    ("action", *action),
                    ("callerId", *caller_id),
                    ("timeout", timeout.as_deref()),
                ];
                self.open("Dial", &attributes);
                self.open("Number", &[]);
                self.text(number);
                self.close("Number");
                self.close("Dial");
            }
            Verb::Redirect { url } => {
                self.open("Redirect", &[]);
                self.text(url);
                self.close("Redirect");
            }
            Verb::Hangup => self.empty("Hangup", &[]),
        }
    }

    fn stream(&mut self, stream: &Stream<'_>) {
        let attributes = [("url", Some(stream.url)), ("statusCallback", stream.status_callback)];
        if stream.parameters.is_empty() {
            self.empty("Stream", &attributes);
            return;
        }
        self.open("Stream", &attributes);
        for (name, value) in stream.parameters {
            self.empty("Parameter", &[("name", Some(name)), ("value", Some(value))]);
        }
        self.close("Stream");
    }

    fn open(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        self.event(Event::Start(tag(name, attributes)));
    }

    fn empty(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        self.event(Event::Empty(tag(name, attributes)));
    }

    fn close(&mut self, name: &str) {
        self.event(Event::End(BytesEnd::new(name)));
    }

    fn text(&mut self, text: &str) {
        self.event(Event::Text(BytesText::new(&allowed(text))));
    }

    fn event(&mut self, event: Event<'_>) {
        self.0.write_event(event).expect("writing to memory does not fail");
    }
}

fn tag<'a>(name: &'a str, attributes: &[Attribute<'_>]) -> BytesStart<'a> {
    let mut tag = BytesStart::new(name);
    for (name, value) in attributes {
        if let Some(value) = value {
            tag.push_attribute((*name, allowed(value).as_str()));
        }
    }
    tag
}

/// The text without the characters XML 1.0 cannot hold, escaped or not.
fn allowed(text: &str) -> String {
    text.chars()
        .filter(|c| {
            matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use quick_xml::Reader;

    use super::*;

    const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

    fn body(verbs: &[Verb<'_>]) -> String {
        let document = document(verbs);
        document.strip_prefix(DECLARATION).expect("a declaration comes first").to_owned()
    }

    fn say(text: &str) -> Verb<'_> {
        Verb::Say { text, language: None, voice: None }
    }

    #[test]
    fn a_stream_is_connected_and_followed_by_an_end() {
        let connect = Verb::Connect {
            action: Some("https://bridge.example.com/twilio/stream-ended?call=1&x=2"),
            stream: Stream {
                url: "wss://bridge.example.com/media",
                status_callback: Some("https://bridge.example.com/twilio/stream-status"),
                parameters: &[("token", "0b1c"), ("call", "job-42")],
            },
        };
        assert_eq!(
            body(&[connect]),
            "<Response>\
             <Connect action=\"https://bridge.example.com/twilio/stream-ended?call=1&amp;x=2\">\
             <Stream url=\"wss://bridge.example.com/media\" \
             statusCallback=\"https://bridge.example.com/twilio/stream-status\">\
             <Parameter name=\"token\" value=\"0b1c\"/>\
             <Parameter name=\"call\" value=\"job-42\"/>\
             </Stream></Connect><Hangup/></Response>"
        );
    }

    #[test]
    fn each_verb_is_written() {
        let bare = Stream { url: "wss://x/m", status_callback: None, parameters: &[] };
        let connect = Verb::Connect { action: None, stream: bare };
        let dial = Verb::Dial {
            number: "+12125550123",
            caller_id: Some("+12125550100"),
            timeout_seconds: Some(30),
            action: Some("/done"),
        };
        let polly = Verb::Say { text: "Hi", language: Some("en-GB"), voice: Some("Polly.Amy") };
        let redirect = Verb::Redirect { url: "https://x/?a=b&c=d" };
        let cases: [(&[Verb<'_>], &str); 6] = [
            (&[], "<Response/>"),
            (&[Verb::Hangup], "<Response><Hangup/></Response>"),
            (
                &[connect],
                "<Response><Connect><Stream url=\"wss://x/m\"/></Connect><Hangup/></Response>",
            ),
            (
                &[polly, redirect],
                "<Response><Say language=\"en-GB\" voice=\"Polly.Amy\">Hi</Say>\
                 <Redirect>https://x/?a=b&amp;c=d</Redirect></Response>",
            ),
            (
                &[say("Sorry."), dial],
                "<Response><Say>Sorry.</Say>\
                 <Dial action=\"/done\" callerId=\"+12125550100\" timeout=\"30\">\
                 <Number>+12125550123</Number></Dial><Hangup/></Response>",
            ),
            (&[say("")], "<Response><Say></Say><Hangup/></Response>"),
        ];
        for (verbs, expected) in cases {
            assert_eq!(body(verbs), expected);
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "</Say>&\"'<![CDATA[<Dial>]]>\u{0}\u{8}\u{b}\u{1b}\u{fffe}\u{ffff}é\u{1f600}";
        assert_eq!(
            body(&[say(hostile)]),
            "<Response><Say>&lt;/Say&gt;&amp;&quot;&apos;&lt;![CDATA[&lt;Dial&gt;]]&gt;é\u{1f600}\
             </Say><Hangup/></Response>"
        );
        let parameters = [("a\"/><Dial>", "\"'<&>\u{1}")];
        let stream = Stream { url: "wss://x\"><y", status_callback: None, parameters: &parameters };
        let text = body(&[Verb::Connect { action: Some("<&\">"), stream }]);
        assert!(!text.contains("<Dial") && !text.contains("<y"), "{text}");
        let value = "value=\"&quot;&apos;&lt;&amp;&gt;\"";
        assert!(text.contains(value), "{text}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_makes_a_document_with_the_same_verbs(text: String) {
            let parameters = [("name", text.as_str())];
            let stream = Stream { url: &text, status_callback: Some(&text), parameters: &parameters };
            let verbs = [
                Verb::Connect { action: Some(&text), stream },
                say(&text),
                Verb::Redirect { url: &text },
            ];
            let document = document(&verbs);
            let mut reader = Reader::from_str(&document);
            let mut names = Vec::new();
            loop {
                match reader.read_event() {
                    Ok(Event::Start(tag) | Event::Empty(tag)) => {
                        for attribute in tag.attributes() {
                            proptest::prop_assert!(attribute.is_ok());
                        }
                        names.push(format!("{tag:?}"));
                    }
                    Ok(Event::Eof) => break,
                    Ok(_) => {}
                    Err(error) => proptest::prop_assert!(false, "{error}: {document}"),
                }
            }
            proptest::prop_assert_eq!(names.len(), 6);
        }
    }
}
