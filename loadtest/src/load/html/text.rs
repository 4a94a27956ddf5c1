//! Text that cannot be mistaken for markup, and tables made of it.

use std::fmt::Write as _;

use serde::Serialize;

/// Text as it may stand between tags and in attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' => escaped.push(char),
            // No document may hold these.
            char if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            char => escaped.push(char),
        }
    }
    escaped
}

/// A value as JSON that may stand in a `<script>`: nothing in it ends the element or begins a
/// comment, and it is the same JSON.
pub(super) fn json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    let mut safe = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            '<'
            | '>'
            | '&'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                write!(safe, "\\u{:04x}", u32::from(char)).expect("a String takes any text");
            }
            char => safe.push(char),
        }
    }
    safe
}

/// A table; the cells of all columns but the first are numbers. Its heading may be empty.
pub(super) fn table(heading: &str, columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = String::from("<div class=\"scroll\"><table>");
    if !heading.is_empty() {
        let _ = write!(out, "<caption>{}</caption>", escape(heading));
    }
    if !columns.is_empty() {
        out.push_str("<thead><tr>");
        for column in columns {
            let _ = write!(out, "<th scope=\"col\">{}</th>", escape(column));
        }
        out.push_str("</tr></thead>");
    }
    out.push_str("<tbody>");
    for row in rows {
        out.push_str("<tr>");
        for (n, cell) in row.iter().enumerate() {
            let cell = escape(cell);
            match n {
                0 => out.push_str(&format!("<th scope=\"row\">{cell}</th>")),
                _ => out.push_str(&format!("<td>{cell}</td>")),
            }
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    out
}

/// Sentences, one below the other, in a box of this kind.
pub(super) fn notes(kind: &str, heading: &str, sentences: &[String]) -> String {
    if sentences.is_empty() {
        return String::new();
    }
    let items = sentences.iter().map(|text| format!("<li>{}</li>", escape(text)));
    let items: String = items.collect();
    format!("<section class=\"note {kind}\"><h2>{}</h2><ul>{items}</ul></section>", escape(heading))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use quick_xml::events::Event;

    /// Fails unless every element is closed in its turn and every entity is known.
    pub(in super::super) fn well_formed(markup: &str) {
        let mut reader = quick_xml::Reader::from_str(markup);
        reader.config_mut().check_end_names = true;
        let mut open = 0_i32;
        loop {
            match reader.read_event() {
                Ok(Event::Start(element)) => {
                    for attribute in element.attributes() {
                        attribute.unwrap_or_else(|error| panic!("{error}: {element:?}"));
                    }
                    open += 1;
                }
                Ok(Event::Empty(element)) => {
                    for attribute in element.attributes() {
                        attribute.unwrap_or_else(|error| panic!("{error}: {element:?}"));
                    }
                }
                Ok(Event::End(_)) => open -= 1,
                Ok(Event::GeneralRef(entity)) => {
                    let name: &str = &entity;
                    let known = ["amp", "lt", "gt", "quot", "#39"];
                    assert!(known.contains(&name), "&{entity:?}; is not known");
                }
                Ok(Event::Eof) => break,
                Ok(_) => {}
                Err(error) => panic!("{error} at {}", reader.error_position()),
            }
        }
        assert_eq!(open, 0, "everything is closed");
    }

    #[test]
    fn text_is_never_markup() {
        assert_eq!(
            escape("<b a='1' c=\"2\">&\u{1}"),
            "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;\u{fffd}"
        );
        let hostile = "</table><script>\0".to_owned();
        let table = table(&hostile, &[&hostile], &[vec![hostile.clone(), hostile.clone()]]);
        well_formed(&table);
        assert!(!table.contains("<script>"));
        let note = notes("bad", &hostile, std::slice::from_ref(&hostile));
        well_formed(&note);
        assert!(!note.contains("<script>"));
        assert_eq!(notes("bad", "x", &[]), "");
    }

    #[test]
    fn embedded_json_stays_what_it_is() {
        let hostile = "</script><!-- <script> ]]> & \u{2028}\u{85} é \\";
        let safe = json(&[hostile]);
        assert!(!safe.contains(['<', '>', '&', '\u{2028}', '\u{85}']), "{safe}");
        let read: [String; 1] = serde_json::from_str(&safe).expect("it is JSON");
        assert_eq!(read, [hostile]);
    }
}
