//! XML as a tree of elements: the little of it that TwiML needs.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

use super::twiml::{TwimlFault, fault};

/// An element with what is in it. Text between children is joined.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
    pub(crate) text: String,
}

/// Reads one well-formed document.
pub(crate) fn read_tree(xml: &str) -> Result<Element, TwimlFault> {
    let malformed = |why: &dyn std::fmt::Display| fault(12_100, why.to_string());
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut open: Vec<Element> = Vec::new();
    let mut root: Option<Element> = None;
    loop {
        let event = reader.read_event().map_err(|e| malformed(&e))?;
        let closed = match event {
            Event::Start(tag) => {
                open.push(element(&tag)?);
                None
            }
            Event::Empty(tag) => Some(element(&tag)?),
            Event::End(_) => open.pop(),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
            Event::DocType(_) => return Err(malformed(&"a DOCTYPE is not allowed")),
            Event::Text(text) => {
                add_text(&mut open, &text.xml10_content())?;
                None
            }
            Event::CData(text) => {
                add_text(&mut open, &text.xml10_content())?;
                None
            }
            Event::GeneralRef(reference) => {
                let name = reference.xml10_content();
                let resolved = match reference.resolve_char_ref().map_err(|e| malformed(&e))? {
                    Some(c) => c.to_string(),
                    None => quick_xml::escape::resolve_xml_entity(&name)
                        .ok_or_else(|| malformed(&format!("unknown entity &{name};")))?
                        .to_owned(),
                };
                add_text(&mut open, &resolved)?;
                None
            }
        };
        if let Some(element) = closed {
            match open.last_mut() {
                Some(parent) => parent.children.push(element),
                None if root.is_none() => root = Some(element),
                None => return Err(malformed(&"more than one root element")),
            }
        }
    }
    if let Some(unclosed) = open.last() {
        return Err(malformed(&format!("{} is not closed", unclosed.name)));
    }
    root.ok_or_else(|| malformed(&"there is no element"))
}

fn add_text(open: &mut [Element], text: &str) -> Result<(), TwimlFault> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(fault(12_100, "text outside of the root element")),
    }
    Ok(())
}

fn element(tag: &BytesStart<'_>) -> Result<Element, TwimlFault> {
    let mut element = Element { name: tag.name().as_ref().to_owned(), ..Element::default() };
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|e| fault(12_100, e.to_string()))?;
        let value = attribute
            .normalized_value(XmlVersion::Explicit1_0)
            .map_err(|e| fault(12_100, e.to_string()))?;
        element.attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(element)
}
