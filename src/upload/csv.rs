//! A CSV file, read as it comes in.
//!
//! The grammar is that of spreadsheets (RFC 4180, read kindly): lines end in CR, LF or both, quotes
//! may hold line ends, empty lines and rows of empty fields mean nothing. Where the chunks of the
//! body begin and end makes no difference.

use csv_core::ReadRecordResult;

use super::header::{CsvError, Header, MAX_HEADER_BYTES, decode, is_blank};
use super::{BadRow, MAX_FIELD_CHARS, Row};

/// Bytes of a row. More than the widest row needs that is any good: 64 long fields of ASCII.
const MAX_ROW_BYTES: usize = 1024 * 1024;

/// What a row is given at first.
const ROW_BYTES: usize = 4 * 1024;

/// A CSV file that is being read.
#[derive(Debug, Default)]
pub struct CsvUpload {
    /// Of the first line, until it is complete.
    head: Vec<u8>,
    table: Option<Table>,
    place: Place,
    has_rows: bool,
    latin1_since: Option<u64>,
}

impl CsvUpload {
    /// Nothing is read yet.
    pub fn new() -> Self {
        CsvUpload::default()
    }

    /// Takes the next part of the file and gives the rows that are complete by it, in their order.
    /// After an error nothing more is to be had.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<Result<Row, BadRow>>, CsvError> {
        let mut rows = Vec::new();
        if let Some(rest) = self.read_head(chunk)? {
            self.read_rows(rest, &mut rows);
        }
        self.has_rows |= !rows.is_empty();
        Ok(rows)
    }

    /// The file is over. Gives the last row, where no end of a line followed it; refuses a file
    /// that had no row at all, good or bad.
    pub fn finish(&mut self) -> Result<Option<Result<Row, BadRow>>, CsvError> {
        if self.table.is_none() {
            if is_blank(&self.head) {
                return Err(CsvError::Empty);
            }
            self.begin_table()?;
        }
        let last = self.table.as_mut().and_then(|table| table.finish(self.place.line));
        let last = last.and_then(|(record, line)| self.row(record, line));
        self.has_rows |= last.is_some();
        match self.has_rows {
            true => Ok(last),
            false => Err(CsvError::NoRows),
        }
    }

    /// What the columns are called, without spaces around; none until the first line is read.
    pub fn columns(&self) -> &[String] {
        self.table.as_ref().map(|table| table.header.columns.as_slice()).unwrap_or_default()
    }

    /// Where in a row the phone number stands, once the first line is read.
    pub fn phone_column(&self) -> Option<usize> {
        self.table.as_ref().map(|table| table.header.phone_column)
    }

    /// Where in a row a column stands that may be there or not. Capitals make no difference.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns().iter().position(|column| column.eq_ignore_ascii_case(name))
    }

    /// What whoever sent the file should know, though it was read.
    pub fn note(&self) -> Option<String> {
        let line = self.latin1_since?;
        Some(format!("line {line} is not UTF-8 and was read as Latin-1 (windows-1252)"))
    }

    /// Gives what follows the first line, once that is complete.
    fn read_head<'a>(&mut self, chunk: &'a [u8]) -> Result<Option<&'a [u8]>, CsvError> {
        if self.table.is_some() {
            return Ok(Some(chunk));
        }
        for (index, byte) in chunk.iter().enumerate() {
            let is_end = matches!(byte, b'\r' | b'\n');
            match is_end {
                true if is_blank(&self.head) => self.head.clear(),
                true => self.begin_table()?,
                false if self.head.len() == MAX_HEADER_BYTES => {
                    return Err(CsvError::HeaderTooLong);
                }
                false => self.head.push(*byte),
            }
            self.place.pass(&[*byte]);
            if self.table.is_some() {
                return Ok(Some(&chunk[index + 1..]));
            }
        }
        Ok(None)
    }

    fn begin_table(&mut self) -> Result<(), CsvError> {
        let header = Header::read(&self.head)?;
        if header.is_latin1 {
            self.latin1_since = Some(self.place.line);
        }
        self.head = Vec::new();
        self.table = Some(Table::new(header));
        Ok(())
    }

    fn read_rows(&mut self, mut input: &[u8], rows: &mut Vec<Result<Row, BadRow>>) {
        let Some(table) = &mut self.table else { return };
        let mut complete = Vec::new();
        while !input.is_empty() {
            if table.began_on.is_none() {
                let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
                let text = input.iter().position(|byte| !is_end(byte)).unwrap_or(input.len());
                self.place.pass(&input[..text]);
                input = &input[text..];
                if input.is_empty() {
                    break;
                }
                table.began_on = Some(self.place.line);
            }
            let (is_complete, read) = table.step(input);
            self.place.pass(&input[..read]);
            input = &input[read..];
            if is_complete {
                // The end of its last line is read too.
                complete.extend(table.close(self.place.line - 1));
            }
        }
        rows.extend(complete.into_iter().filter_map(|(record, line)| self.row(record, line)));
    }

    /// Makes a row known, and remembers what is to be noted of it.
    fn row(&mut self, record: Record, line: u64) -> Option<Result<Row, BadRow>> {
        match record {
            Record::Good { fields, is_latin1 } => {
                if is_latin1 {
                    self.latin1_since.get_or_insert(line);
                }
                Some(Ok(Row { line, fields }))
            }
            Record::Bad(reason) => Some(Err(BadRow { line, reason })),
        }
    }
}

/// What lies below the header, and the row that is being read.
#[derive(Debug)]
struct Table {
    header: Header,
    /// The line the row begins on; none between rows.
    began_on: Option<u64>,
    bytes: Vec<u8>,
    length: usize,
    /// Where its fields end; one more than there should be.
    ends: Vec<usize>,
    fields: usize,
    /// There was no room for it: what follows is read past.
    is_cut: bool,
}

enum Record {
    Good { fields: Vec<String>, is_latin1: bool },
    Bad(String),
}

impl Table {
    fn new(header: Header) -> Self {
        let ends = vec![0; header.columns.len() + 1];
        let bytes = vec![0; ROW_BYTES];
        Table { header, began_on: None, bytes, length: 0, ends, fields: 0, is_cut: false }
    }

    /// Reads on in a row. Says whether it is complete, and how much was read.
    fn step(&mut self, input: &[u8]) -> (bool, usize) {
        let (bytes, ends) = match self.is_cut {
            true => (&mut self.bytes[..], &mut self.ends[..]),
            false => (&mut self.bytes[self.length..], &mut self.ends[self.fields..]),
        };
        let (result, read, written, ended) = self.header.reader.read_record(input, bytes, ends);
        self.fields += ended;
        if !self.is_cut {
            self.length += written;
        }
        match result {
            ReadRecordResult::OutputFull if self.bytes.len() < MAX_ROW_BYTES => {
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => self.is_cut = true,
            _ => {}
        }
        (result == ReadRecordResult::Record, read)
    }

    /// The row is complete, on this line: what it is, and the line it began on. `None` when nothing
    /// stands in it.
    fn close(&mut self, last_line: u64) -> Option<(Record, u64)> {
        let line = self.began_on.take()?;
        let record = self.record().map(|record| match record {
            Record::Bad(reason) if last_line > line => Record::Bad(format!(
                "{reason}; it goes on to line {last_line}: is a quote not closed?"
            )),
            record => record,
        });
        self.forget();
        Some((record?, line))
    }

    /// The file is over, on this line.
    fn finish(&mut self, last_line: u64) -> Option<(Record, u64)> {
        let line = self.began_on?;
        loop {
            match self.step(b"\n") {
                (true, _) => return self.close(last_line),
                // Within quotes, the end of a line is text.
                (false, 1) => break,
                (false, _) => {}
            }
        }
        self.began_on = None;
        self.forget();
        let reason = "has a quote that is never closed; nothing from here on was read".to_owned();
        Some((Record::Bad(reason), line))
    }

    fn record(&self) -> Option<Record> {
        let bytes = &self.bytes[..self.length];
        if !self.is_cut && bytes.trim_ascii().is_empty() {
            return None;
        }
        let columns = self.header.columns.len();
        if self.fields != columns {
            let got = self.fields;
            return Some(Record::Bad(format!("has {got} fields, and the header has {columns}")));
        }
        if self.is_cut {
            return Some(Record::Bad(format!("has over {MAX_ROW_BYTES} bytes")));
        }
        let (mut fields, mut is_latin1, mut from) = (Vec::with_capacity(columns), false, 0);
        for (name, to) in self.header.columns.iter().zip(&self.ends) {
            let (field, is_field_latin1) = decode(&bytes[from..*to]);
            if field.chars().nth(MAX_FIELD_CHARS).is_some() {
                let reason = format!("has over {MAX_FIELD_CHARS} characters in {name}");
                return Some(Record::Bad(reason));
            }
            if field.contains('\0') {
                return Some(Record::Bad(format!("has the character U+0000 in {name}")));
            }
            is_latin1 |= is_field_latin1;
            from = *to;
            fields.push(field);
        }
        Some(Record::Good { fields, is_latin1 })
    }

    fn forget(&mut self) {
        (self.length, self.fields, self.is_cut) = (0, 0, false);
        // One row of a megabyte is no reason to keep it for the rest of the file.
        self.bytes.truncate(64 * 1024);
        self.bytes.shrink_to_fit();
    }
}

/// Where in a file we are, as an editor counts.
#[derive(Debug)]
struct Place {
    line: u64,
    is_after_cr: bool,
}

impl Default for Place {
    fn default() -> Self {
        Place { line: 1, is_after_cr: false }
    }
}

impl Place {
    fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\r' || (*byte == b'\n' && !self.is_after_cr) {
                self.line += 1;
            }
            self.is_after_cr = *byte == b'\r';
        }
    }
}

#[cfg(test)]
mod tests;
