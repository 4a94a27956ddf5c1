//! Reads TwiML as strictly as it is documented.
//!
//! A document that Twilio could not run is an error. One that it would run in spite of something
//! undocumented parses, and every such thing is reported as a fault.

use super::xml::{Element, read_tree};

/// What is wrong with a document: Twilio's code and an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwimlFault {
    /// Twilio's error or warning code.
    pub code: u32,
    /// What it is about.
    pub message: String,
}

pub(crate) fn fault(code: u32, message: impl Into<String>) -> TwimlFault {
    TwimlFault { code, message: message.into() }
}

/// A document that can be run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// What to do, in order.
    pub verbs: Vec<Verb>,
    /// What should not be in it.
    pub faults: Vec<TwimlFault>,
}

/// One instruction.
#[derive(Debug, PartialEq, Eq)]
pub enum Verb {
    /// `<Connect><Stream>`
    Connect {
        /// Requested when the stream is over.
        action: Option<String>,
        /// Method of that request.
        method: String,
        /// The stream.
        stream: StreamNoun,
    },
    /// `<Say>`
    Say {
        /// Text to speak.
        text: String,
        /// How often.
        times: u32,
    },
    /// `<Play>`
    Play {
        /// Audio URL, or digits.
        what: String,
    },
    /// `<Pause>`
    Pause {
        /// For how long.
        seconds: u32,
    },
    /// `<Hangup>`
    Hangup,
    /// `<Redirect>`
    Redirect {
        /// Where the next document is.
        url: String,
        /// How to request it.
        method: String,
    },
    /// `<Reject>`
    Reject {
        /// `rejected` or `busy`.
        reason: String,
    },
    /// `<Dial>`
    Dial {
        /// The number or numbers.
        to: Vec<String>,
        /// Requested afterwards.
        action: Option<String>,
        /// Method of that request.
        method: String,
    },
}

/// `<Stream>` in `<Connect>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamNoun {
    /// Where to connect.
    pub url: String,
    /// Its name, when it has one.
    pub name: Option<String>,
    /// Told of start, end and errors.
    pub status_callback: Option<String>,
    /// Method of that request.
    pub status_callback_method: String,
    /// Go into `start.customParameters`.
    pub parameters: Vec<(String, String)>,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| &**v)
    }

    fn method(&self, name: &str, faults: &mut Vec<TwimlFault>) -> String {
        let method = self.attribute(name).unwrap_or("POST");
        if !["GET", "POST"].contains(&method) {
            faults.push(fault(12_200, format!("{}@{name} is {method:?}", self.name)));
        }
        method.to_owned()
    }

    /// Reports attributes, children and text that the element must not have.
    fn allows(
        &self,
        attributes: &[&str],
        children: &[&str],
        text: bool,
        faults: &mut Vec<TwimlFault>,
    ) {
        for (name, _) in &self.attributes {
            if !attributes.contains(&&**name) {
                faults.push(fault(12_200, format!("unknown attribute {}@{name}", self.name)));
            }
        }
        for child in &self.children {
            if !children.contains(&&*child.name) {
                faults.push(fault(12_200, format!("unknown {} in {}", child.name, self.name)));
            }
        }
        if !text && !self.text.trim().is_empty() {
            faults.push(fault(12_200, format!("text in {}: {:?}", self.name, self.text.trim())));
        }
    }
}

/// Parses a document.
///
/// # Errors
/// With 12100 when it is not well-formed XML, 12102 when its root is not `<Response>`.
pub fn parse(xml: &str) -> Result<Document, TwimlFault> {
    let root = read_tree(xml)?;
    if root.name != "Response" {
        return Err(fault(12_102, format!("the root element is {}", root.name)));
    }
    let mut document = Document::default();
    let faults = &mut document.faults;
    let verbs: Vec<&str> = root.children.iter().map(|child| &*child.name).collect();
    root.allows(&[], &verbs, false, faults);
    for (at, element) in root.children.iter().enumerate() {
        if let Some(verb) = read_verb(element, faults) {
            let ends = matches!(verb, Verb::Hangup | Verb::Redirect { .. } | Verb::Reject { .. });
            if ends && at + 1 < root.children.len() {
                faults.push(fault(12_200, format!("nothing runs after {}", element.name)));
            }
            document.verbs.push(verb);
        }
    }
    Ok(document)
}

fn read_verb(element: &Element, faults: &mut Vec<TwimlFault>) -> Option<Verb> {
    Some(match &*element.name {
        "Connect" => {
            element.allows(&["action", "method"], &["Stream"], false, faults);
            let [stream] = &element.children[..] else {
                faults.push(fault(12_200, "Connect needs exactly one Stream"));
                return None;
            };
            Verb::Connect {
                action: element.attribute("action").map(str::to_owned),
                method: element.method("method", faults),
                stream: read_stream(stream, faults),
            }
        }
        "Say" => {
            element.allows(&["voice", "language", "loop"], &[], true, faults);
            if element.text.trim().is_empty() {
                faults.push(fault(13_520, "Say has no text"));
            }
            Verb::Say {
                text: element.text.trim().to_owned(),
                times: number(element, "loop", 1, faults),
            }
        }
        "Play" => {
            element.allows(&["loop", "digits"], &[], true, faults);
            let what = element.attribute("digits").unwrap_or(element.text.trim());
            Verb::Play { what: what.to_owned() }
        }
        "Pause" => {
            element.allows(&["length"], &[], false, faults);
            Verb::Pause { seconds: number(element, "length", 1, faults) }
        }
        "Hangup" => {
            element.allows(&[], &[], false, faults);
            Verb::Hangup
        }
        "Redirect" => {
            element.allows(&["method"], &[], true, faults);
            Verb::Redirect {
                url: element.text.trim().to_owned(),
                method: element.method("method", faults),
            }
        }
        "Reject" => {
            element.allows(&["reason"], &[], false, faults);
            let reason = element.attribute("reason").unwrap_or("rejected");
            if !["rejected", "busy"].contains(&reason) {
                faults.push(fault(12_200, format!("Reject@reason is {reason:?}")));
            }
            Verb::Reject { reason: reason.to_owned() }
        }
        "Dial" => {
            let known = [
                "action",
                "method",
                "timeout",
                "timeLimit",
                "callerId",
                "answerOnBridge",
                "record",
            ];
            element.allows(&known, &["Number", "Sip", "Client"], true, faults);
            let mut to: Vec<String> =
                element.children.iter().map(|n| n.text.trim().to_owned()).collect();
            if to.is_empty() {
                to.push(element.text.trim().to_owned());
            }
            Verb::Dial {
                to,
                action: element.attribute("action").map(str::to_owned),
                method: element.method("method", faults),
            }
        }
        other => {
            faults.push(fault(12_200, format!("unknown verb {other}")));
            return None;
        }
    })
}

fn read_stream(element: &Element, faults: &mut Vec<TwimlFault>) -> StreamNoun {
    let known = ["url", "name", "track", "statusCallback", "statusCallbackMethod"];
    element.allows(&known, &["Parameter"], false, faults);
    if element.attribute("track").is_some_and(|track| track != "inbound_track") {
        faults.push(fault(31_941, "Connect streams the inbound track only"));
    }
    let mut stream = StreamNoun {
        url: element.attribute("url").unwrap_or_default().to_owned(),
        name: element.attribute("name").map(str::to_owned),
        status_callback: element.attribute("statusCallback").map(str::to_owned),
        status_callback_method: element.method("statusCallbackMethod", faults),
        parameters: Vec::new(),
    };
    for parameter in element.children.iter().filter(|child| child.name == "Parameter") {
        parameter.allows(&["name", "value"], &[], false, faults);
        let (Some(name), Some(value)) = (parameter.attribute("name"), parameter.attribute("value"))
        else {
            faults.push(fault(12_200, "Parameter needs a name and a value"));
            continue;
        };
        if name.chars().count() + value.chars().count() >= 500 {
            faults.push(fault(12_200, format!("parameter {name} has 500 characters or more")));
        }
        if stream.parameters.iter().any(|(n, _)| n == name) {
            faults.push(fault(12_200, format!("parameter {name} is there twice")));
        }
        stream.parameters.push((name.to_owned(), value.to_owned()));
    }
    stream
}

fn number(element: &Element, name: &str, default: u32, faults: &mut Vec<TwimlFault>) -> u32 {
    let Some(raw) = element.attribute(name) else { return default };
    match raw.parse() {
        Ok(number) if number > 0 => number,
        _ => {
            faults.push(fault(12_200, format!("{}@{name} is {raw:?}", element.name)));
            default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_document_is_understood() {
        let document = parse(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <!-- what the service answers -->
            <Response>
              <Connect action="https://b.example/ended?a=1&amp;b=2">
                <Stream url="wss://b.example/media" statusCallback="https://b.example/s">
                  <Parameter name="token" value="a&lt;b&quot;&#233;"/>
                  <Parameter name="callRef" value="job-42"/>
                </Stream>
              </Connect>
              <Say voice="alice">Good &amp; bye</Say>
              <Pause length="2"/>
              <Hangup/>
            </Response>"#,
        )
        .expect("a document");
        assert_eq!(document.faults, []);
        assert_eq!(
            document.verbs,
            [
                Verb::Connect {
                    action: Some("https://b.example/ended?a=1&b=2".into()),
                    method: "POST".into(),
                    stream: StreamNoun {
                        url: "wss://b.example/media".into(),
                        name: None,
                        status_callback: Some("https://b.example/s".into()),
                        status_callback_method: "POST".into(),
                        parameters: vec![
                            ("token".into(), "a<b\"é".into()),
                            ("callRef".into(), "job-42".into()),
                        ],
                    },
                },
                Verb::Say { text: "Good & bye".into(), times: 1 },
                Verb::Pause { seconds: 2 },
                Verb::Hangup,
            ]
        );
    }

    #[test]
    fn what_is_not_twiml_is_refused() {
        for (xml, code) in [
            ("", 12_100),
            ("{}", 12_100),
            ("<Response>", 12_100),
            ("<Response></response>", 12_100),
            ("<Response/><Response/>", 12_100),
            ("<Response><Say>&nbsp;</Say></Response>", 12_100),
            ("<Response><Pause length=1/></Response>", 12_100),
            ("<!DOCTYPE x><Response/>", 12_100),
            ("<response/>", 12_102),
        ] {
            assert_eq!(parse(xml).expect_err(xml).code, code, "{xml}");
        }
    }

    #[test]
    fn undocumented_things_are_reported() {
        for xml in [
            "<Response><Shout>x</Shout></Response>",
            "<Response>x</Response>",
            "<Response version=\"1\"/>",
            "<Response><Hangup/><Say>never</Say></Response>",
            "<Response><Pause length=\"0\"/></Response>",
            "<Response><Connect/></Response>",
            r#"<Response><Connect><Stream url="wss://x/" statuscallback="y"/></Connect></Response>"#,
            r#"<Response><Connect><Stream url="wss://x/" track="both_tracks"/></Connect></Response>"#,
            r#"<Response><Connect><Stream url="wss://x/"><Parameter name="a"/></Stream></Connect></Response>"#,
        ] {
            assert_eq!(parse(xml).expect(xml).faults.len(), 1, "{xml}");
        }
    }
}
