//! Tables of phone numbers as people have them: CSV out of spreadsheets and exports.
//!
//! [`CsvUpload`] is given a file as it comes in and gives its rows as they are complete, so that a
//! million of them need no more memory than one. A row that is not as it should be is told with its
//! line and spoils no other; only a file whose header cannot be read is refused. [`phone_number_of`]
//! reads numbers as they stand in such files, and guesses at none: what a spreadsheet has done to a
//! number is said, not undone.
//!
//! How many rows there may be, and what their columns mean, is for whoever takes them.

mod csv;
mod header;
mod number;

pub use csv::CsvUpload;
pub use header::{CsvError, MAX_COLUMNS, MAX_HEADER_BYTES};
pub use number::{InvalidNumberField, phone_number_of};

/// Characters of a field; a row with a longer one is bad.
pub const MAX_FIELD_CHARS: usize = 10_000;

/// One row, with a field for each column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line an editor shows it on, from 1. A row that spans lines is told by its first.
    pub line: u64,
    /// What stands in the columns, in their order, as it was given.
    pub fields: Vec<String>,
}

/// A row that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} {reason}")]
pub struct BadRow {
    /// The line an editor shows it on, from 1.
    pub line: u64,
    /// Why, in words that follow on "this row". Repeats no phone number.
    pub reason: String,
}
