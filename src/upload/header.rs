//! The first line of a CSV file: what its columns are called, and what stands between them.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use encoding_rs::WINDOWS_1252;

/// Columns of a file.
pub const MAX_COLUMNS: usize = 64;

/// Bytes of the first line.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;

/// How much of a first line is shown where it is not understood.
const SHOWN_CHARS: usize = 200;

/// In the order in which they are tried: a header of one column has none of them.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// What the column of phone numbers may be called, dearest first; capitals, spaces, hyphens and
/// underscores make no difference.
const PHONE_COLUMNS: [&str; 3] = ["phonenumber", "phone", "number"];

/// Why a file cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// There is nothing in it.
    #[error("the file is empty; its first line must name the columns, one of them 'phone_number'")]
    Empty,
    /// There is nothing below the header.
    #[error("the file has a header and no rows below it")]
    NoRows,
    /// It is UTF-16, or holds zeros as no text does.
    #[error("the file is UTF-16 or no text at all: save it as 'CSV UTF-8'")]
    NotText,
    /// It is an `.xlsx`, `.ods` or `.xls`.
    #[error("the file is a spreadsheet and not a CSV: save it as 'CSV UTF-8'")]
    Spreadsheet,
    /// Its first line never ends.
    #[error(
        "the first line of the file has over {MAX_HEADER_BYTES} bytes; it must name the columns, \
         one of them 'phone_number'"
    )]
    HeaderTooLong,
    /// A quote of the first line is open at its end.
    #[error("the first line of the file has a quote that is not closed on it: '{first_line}'")]
    OpenQuote {
        /// How it begins.
        first_line: String,
    },
    /// No column is called as one of phone numbers.
    #[error(
        "the first line of the file must name the columns, one of them 'phone_number', with \
         commas, semicolons or tabs between them; it is: '{first_line}'"
    )]
    NoPhoneColumn {
        /// How it begins.
        first_line: String,
    },
    /// A column has no name.
    #[error("column {column} of the file has no name in the first line")]
    UnnamedColumn {
        /// Which, from 1.
        column: usize,
    },
    /// Two columns have one name.
    #[error("the first line of the file names the column '{name}' twice")]
    DuplicateColumn {
        /// The name.
        name: String,
    },
    /// There are too many columns.
    #[error("the file has {got} columns, and may have {MAX_COLUMNS}")]
    TooManyColumns {
        /// How many there are.
        got: usize,
    },
}

/// What the first line says.
#[derive(Debug)]
pub(super) struct Header {
    /// Without the spaces around.
    pub(super) columns: Vec<String>,
    pub(super) phone_column: usize,
    /// Has read the first line, and goes on with the second.
    pub(super) reader: Reader,
    pub(super) is_latin1: bool,
}

impl Header {
    /// Reads the first line, without its end.
    pub(super) fn read(line: &[u8]) -> Result<Header, CsvError> {
        refuse_other_files(line)?;
        let line = without_mark(line);
        let (text, _) = decode(line);
        let first_line: String = text.chars().take(SHOWN_CHARS).collect();
        let mut has_open_quote = false;
        for delimiter in DELIMITERS {
            let Some((cells, reader)) = cells(line, delimiter) else {
                has_open_quote = true;
                continue;
            };
            let is_latin1 = cells.iter().any(|(_, is_latin1)| *is_latin1);
            let columns: Vec<String> =
                cells.iter().map(|(name, _)| name.trim().to_owned()).collect();
            if let Some(phone_column) = phone_column(&columns) {
                check(&columns)?;
                return Ok(Header { columns, phone_column, reader, is_latin1 });
            }
        }
        match has_open_quote {
            true => Err(CsvError::OpenQuote { first_line }),
            false => Err(CsvError::NoPhoneColumn { first_line }),
        }
    }
}

/// Whether nothing stands on a line.
pub(super) fn is_blank(line: &[u8]) -> bool {
    without_mark(line).trim_ascii().is_empty()
}

/// The text of some bytes, and whether they had to be read as Latin-1. By that name people mean
/// windows-1252, which holds all of it that is printed.
pub(super) fn decode(bytes: &[u8]) -> (String, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(), true),
    }
}

/// Without the byte order mark of UTF-8, which spreadsheets write.
fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

fn refuse_other_files(line: &[u8]) -> Result<(), CsvError> {
    const ZIP: &[u8] = b"PK\x03\x04"; // .xlsx and .ods are archives
    const OLE: &[u8] = b"\xd0\xcf\x11\xe0"; // .xls
    const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
    if line.starts_with(ZIP) || line.starts_with(OLE) {
        return Err(CsvError::Spreadsheet);
    }
    match UTF_16.iter().any(|mark| line.starts_with(mark)) || line.contains(&0) {
        true => Err(CsvError::NotText),
        false => Ok(()),
    }
}

/// The cells of a line and whether each is Latin-1; `None` where a quote is open at its end.
fn cells(line: &[u8], delimiter: u8) -> Option<(Vec<(String, bool)>, Reader)> {
    let mut reader = ReaderBuilder::new().delimiter(delimiter).build();
    let line = [line, b"\n"].concat();
    // Nothing grows by being read, and each cell but the first has a delimiter of its own.
    let (mut bytes, mut ends) = (vec![0; line.len() + 1], vec![0; line.len() + 1]);
    let (result, _, _, count) = reader.read_record(&line, &mut bytes, &mut ends);
    if result != ReadRecordResult::Record {
        return None;
    }
    let ends = &ends[..count];
    let starts = std::iter::once(&0).chain(ends);
    Some((starts.zip(ends).map(|(from, to)| decode(&bytes[*from..*to])).collect(), reader))
}

fn phone_column(columns: &[String]) -> Option<usize> {
    let plain = |name: &String| {
        let letters = name.chars().filter(|c| !matches!(c, ' ' | '-' | '_'));
        letters.collect::<String>().to_ascii_lowercase()
    };
    let columns: Vec<String> = columns.iter().map(plain).collect();
    PHONE_COLUMNS.iter().find_map(|wanted| columns.iter().position(|name| name == wanted))
}

fn check(columns: &[String]) -> Result<(), CsvError> {
    if columns.len() > MAX_COLUMNS {
        return Err(CsvError::TooManyColumns { got: columns.len() });
    }
    for (index, name) in columns.iter().enumerate() {
        if name.is_empty() {
            return Err(CsvError::UnnamedColumn { column: index + 1 });
        }
        if columns[..index].iter().any(|other| other.eq_ignore_ascii_case(name)) {
            let name = name.chars().take(SHOWN_CHARS).collect();
            return Err(CsvError::DuplicateColumn { name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(line: &str) -> Vec<String> {
        Header::read(line.as_bytes()).expect(line).columns
    }

    fn refused(line: &[u8]) -> CsvError {
        Header::read(line).expect_err("is no header")
    }

    #[test]
    fn the_delimiter_is_the_one_that_makes_a_phone_column() {
        assert_eq!(columns("phone_number"), ["phone_number"]);
        assert_eq!(columns("phone_number,name;x"), ["phone_number", "name;x"]);
        assert_eq!(columns("name,x;phone_number"), ["name,x", "phone_number"]);
        assert_eq!(columns("name\tPhone Number"), ["name", "Phone Number"]);
        assert_eq!(columns("\u{feff}\"phone_number\";\"a;\"\"b\""), ["phone_number", "a;\"b"]);
        assert_eq!(columns(" Phone_Number , name "), ["Phone_Number", "name"]);
    }

    #[test]
    fn the_column_of_phone_numbers_has_several_names_and_one_is_dearest() {
        let place = |line: &str| Header::read(line.as_bytes()).expect(line).phone_column;
        assert_eq!(place("name,PHONE"), 1);
        assert_eq!(place("Number,Name"), 0);
        assert_eq!(place("number,phone,phone-number"), 2);
    }

    #[test]
    fn a_header_that_is_none_is_shown() {
        let first_line = "+12125550123,Ann".to_owned();
        assert_eq!(refused(first_line.as_bytes()), CsvError::NoPhoneColumn { first_line });
        let long = refused("ü".repeat(5_000).as_bytes());
        assert_eq!(long, CsvError::NoPhoneColumn { first_line: "ü".repeat(200) });
        assert!(matches!(refused(b"\"phone_number,name"), CsvError::OpenQuote { .. }));
    }

    #[test]
    fn a_header_has_a_name_for_each_column_and_each_name_once() {
        let twice = CsvError::DuplicateColumn { name: "name".to_owned() };
        assert_eq!(refused(b"phone_number,Name,name"), twice);
        assert_eq!(refused(b"phone_number,,name"), CsvError::UnnamedColumn { column: 2 });
        let wide = |columns: usize| {
            let names: Vec<String> = (1..columns).map(|n| format!("c{n}")).collect();
            format!("phone_number,{}", names.join(","))
        };
        assert_eq!(columns(&wide(64)).len(), 64);
        assert_eq!(refused(wide(65).as_bytes()), CsvError::TooManyColumns { got: 65 });
    }

    #[test]
    fn what_is_no_csv_is_named() {
        assert_eq!(refused(b"\xff\xfep\0h\0o\0n\0e\0"), CsvError::NotText);
        assert_eq!(refused(b"p\0h\0o\0n\0e\0"), CsvError::NotText);
        assert_eq!(refused(b"PK\x03\x04\x14\0\x06"), CsvError::Spreadsheet);
    }

    #[test]
    fn latin1_is_read_and_noted() {
        let header = Header::read(b"phone_number,Gr\xfc\xdfe \x80").expect("a header");
        assert_eq!((header.columns[1].as_str(), header.is_latin1), ("Grüße €", true));
    }
}
