//! Reports as HTML pages that need nothing else: no script, no font, no network.
//!
//! Each page is one file with its plots as SVG and its data as JSON inside, follows the reader's
//! light or dark, and prints. Every text in it is escaped, since failures quote what peers said.

mod axis;
mod charts;
mod comparison;
mod document;
mod page;
mod plot;
mod scale;
mod summary;
mod text;

pub(crate) use comparison::comparison_page;
pub(crate) use page::page;
pub(crate) use scale::scale_page;
