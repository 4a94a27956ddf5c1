//! A CSV file that becomes part of a company's list. The command line does the same.

use actors::ids::CompanyId;
use jiff::Timestamp;

use crate::api::error::ApiError;
use crate::store::{Added, DncSource, NewDoNotCall, Store, StoreError};
use crate::upload::{BadRow, CsvError, CsvUpload, Row, phone_number_of};

/// Numbers that are stored together: as many as the store writes at once.
const STORED_AT_ONCE: usize = 1_000;

/// Bad rows that are told one by one.
pub(crate) const TOLD: usize = 100;

/// Characters of a note.
pub(crate) const MAX_NOTE_CHARS: usize = 1_000;

/// Why a file was not read to its end. What came before is on the list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error(transparent)]
    Csv(#[from] CsvError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Csv(error) => error.into(),
            ImportError::Store(error) => error.into(),
        }
    }
}

/// What became of a file.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) numbers: Added,
    pub(crate) bad: u64,
    /// The first of them.
    pub(crate) bad_rows: Vec<BadRow>,
    /// What whoever sent the file should know.
    pub(crate) note: Option<String>,
}

/// A file that is being taken over.
pub(crate) struct Import<'a> {
    store: &'a Store,
    company: CompanyId,
    source: DncSource,
    upload: CsvUpload,
    waiting: Vec<NewDoNotCall>,
    so_far: Imported,
}

impl<'a> Import<'a> {
    pub(crate) fn new(store: &'a Store, company: CompanyId, source: DncSource) -> Self {
        let (upload, waiting) = (CsvUpload::new(), Vec::new());
        Import { store, company, source, upload, waiting, so_far: Imported::default() }
    }

    /// Takes the next part of the file.
    pub(crate) async fn push(&mut self, chunk: &[u8]) -> Result<(), ImportError> {
        for row in self.upload.push(chunk)? {
            self.take(row);
        }
        match self.waiting.len() < STORED_AT_ONCE {
            true => Ok(()),
            false => self.store().await,
        }
    }

    /// The file is over.
    pub(crate) async fn finish(mut self) -> Result<Imported, ImportError> {
        if let Some(row) = self.upload.finish()? {
            self.take(row);
        }
        self.store().await?;
        Ok(Imported { note: self.upload.note(), ..self.so_far })
    }

    fn take(&mut self, row: Result<Row, BadRow>) {
        let phone_column = self.upload.phone_column().expect("there are no rows before a header");
        let note_column = self.upload.column("note").filter(|column| *column != phone_column);
        let read = row.and_then(|row| self.read(row, phone_column, note_column));
        match read {
            Ok(new) => self.waiting.push(new),
            Err(bad) => {
                self.so_far.bad += 1;
                if self.so_far.bad_rows.len() < TOLD {
                    self.so_far.bad_rows.push(bad);
                }
            }
        }
    }

    fn read(
        &self,
        row: Row,
        phone_column: usize,
        note_column: Option<usize>,
    ) -> Result<NewDoNotCall, BadRow> {
        let Row { line, mut fields } = row;
        let bad = |reason| BadRow { line, reason };
        let number = phone_number_of(&fields[phone_column]);
        let name = &self.upload.columns()[phone_column];
        let number = number.map_err(|why| bad(format!("has a {name} that {why}")))?;
        let note = note_column.map(|column| std::mem::take(&mut fields[column]));
        let note = note.map(|note| note.trim().to_owned()).filter(|note| !note.is_empty());
        match note.as_ref().is_some_and(|note| note.chars().count() > MAX_NOTE_CHARS) {
            true => Err(bad(format!("has a note of over {MAX_NOTE_CHARS} characters"))),
            false => Ok(NewDoNotCall { number, source: self.source, note }),
        }
    }

    async fn store(&mut self) -> Result<(), ImportError> {
        let now = Timestamp::now();
        let done = self.store.add_do_not_call(self.company, &self.waiting, now).await?;
        self.so_far.numbers.added += done.added;
        self.so_far.numbers.known += done.known;
        self.waiting.clear();
        Ok(())
    }
}
