//! What all pages have: their head, their style, their heading, and their data.

use serde::Serialize;

use super::text::{escape, json};

const STYLE: &str = include_str!("style.css");

/// How a test ended, at one glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Badge {
    Good,
    Bad,
    Doubtful,
}

/// One page.
pub(super) struct Document<'a> {
    pub(super) title: &'a str,
    /// Small print under the title.
    pub(super) about: Vec<String>,
    pub(super) badge: (Badge, &'a str),
    /// Markup.
    pub(super) body: String,
}

impl Document<'_> {
    /// The whole page, with the data that it shows.
    pub(super) fn with_data(&self, data: &impl Serialize) -> String {
        let title = escape(self.title);
        let about = self.about.iter().filter(|line| !line.is_empty());
        let about: String = about.map(|line| format!("<p>{}</p>", escape(line))).collect();
        let (badge, verdict) = self.badge;
        let kind = match badge {
            Badge::Good => "good",
            Badge::Bad => "bad",
            Badge::Doubtful => "doubtful",
        };
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
             <meta name=\"color-scheme\" content=\"light dark\"/>\
             <meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\
             <title>{title}</title><style>{STYLE}</style></head><body><main>\
             <header><div><h1>{title}</h1>{about}</div>\
             <strong class=\"badge {kind}\">{}</strong></header>{}\
             <footer>The figures are in this page as JSON, too: see its source, at the end.</footer>\
             </main><script type=\"application/json\" id=\"data\">{}</script></body></html>\n",
            escape(verdict),
            self.body,
            json(data),
        )
    }
}

/// A figure that deserves to be large, and a few words beside it.
pub(super) struct Tile {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) beside: String,
}

pub(super) fn tiles(tiles: &[Tile]) -> String {
    let one = |tile: &Tile| {
        let (number, unit) = tile.value.split_once(' ').unwrap_or((&tile.value, ""));
        format!(
            "<div class=\"tile\"><dt>{}</dt><dd><b>{}</b> <span>{}</span><small>{}</small></dd>\
             </div>",
            escape(tile.name),
            escape(number),
            escape(unit),
            escape(&tile.beside),
        )
    };
    format!("<dl class=\"tiles\">{}</dl>", tiles.iter().map(one).collect::<String>())
}

/// A plot or a sentence in its place, with a heading.
pub(super) fn figure(title: &str, note: &str, content: &str) -> String {
    let note = if note.is_empty() { String::new() } else { format!("<p>{}</p>", escape(note)) };
    format!("<figure><figcaption><h3>{}</h3>{note}</figcaption>{content}</figure>", escape(title))
}
