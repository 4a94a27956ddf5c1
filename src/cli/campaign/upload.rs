//! Sends a file of numbers to the service, a part at a time, and tells what became of it.
//!
//! An upload is taken once: whether one whose answer got lost has become a campaign only the list of
//! campaigns tells, and nobody must be called twice.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::cli::service::{Service, ServiceError};
use crate::cli::table::plain;

use super::{CAMPAIGNS, CampaignError};

/// Bytes of a file that are read at once.
const PART_BYTES: u64 = 64 * 1024;
/// Parts that were read and not sent yet; more are not read.
const PARTS_AHEAD: usize = 4;
/// So many bad rows are told one by one.
const ROWS_TOLD: usize = 20;

/// A file that is being read. A thread of its own does that: standard input may be silent for long.
pub(super) struct Upload {
    name: String,
    parts: Parts,
    /// All of it, if it is that short.
    whole: Option<Bytes>,
    /// Why it could not be read to its end.
    failed: Failure,
}

impl Upload {
    /// Opens a file and reads the first of it; `-` is standard input.
    pub(super) async fn open(name: &str) -> Result<Self, CampaignError> {
        let cannot = |source| CampaignError::File { name: name.to_owned(), source };
        let failed = Failure::default();
        let file: Box<dyn Read + Send> = match name {
            "-" => Box::new(io::stdin()),
            name => Box::new(File::open(name).map_err(cannot)?),
        };
        let mut parts = Parts::of(file, Arc::clone(&failed));
        let first = parts.rest.recv().await.transpose().map_err(cannot)?.unwrap_or_default();
        let second = parts.rest.recv().await.transpose().map_err(cannot)?;
        let whole = second.is_none().then(|| first.clone());
        parts.read = [Some(first), second].into_iter().flatten().collect();
        Ok(Upload { name: name.to_owned(), parts, whole, failed })
    }

    /// Makes a campaign of it, and gives the answer.
    pub(super) async fn send(
        self,
        service: &Service,
        query: &[(&str, String)],
    ) -> Result<Value, CampaignError> {
        let Upload { name, parts, whole, failed } = self;
        // A wrong key or address is found out before anything is sent.
        let list = || service.get(CAMPAIGNS).query(&[("limit", "1")]);
        service.ask(list).await?;
        let request = |body: reqwest::Body| {
            let request = service.post(CAMPAIGNS).query(query).header("Content-Type", "text/csv");
            request.body(body)
        };
        let again = || match (&whole, name.as_str()) {
            (Some(whole), _) => Some(request(whole.clone().into())),
            (None, "-") => None,
            (None, name) => {
                let parts = Parts::of(File::open(name).ok()?, Arc::clone(&failed));
                Some(request(reqwest::Body::wrap(parts)))
            }
        };
        let answer = service.ask_once(request(reqwest::Body::wrap(parts)), again).await;
        match (answer, failed.get()) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Some(error)) => {
                let source = io::Error::new(error.kind(), error.to_string());
                Err(CampaignError::File { name, source })
            }
            (Err(error), None) => Err(match error {
                ServiceError::Unreachable { .. }
                | ServiceError::Failed { .. }
                | ServiceError::Unreadable(_) => CampaignError::Unsure(error),
                _ => error.into(),
            }),
        }
    }
}

/// Why a file could not be read to its end.
type Failure = Arc<OnceLock<io::Error>>;

/// A file as the body of a request.
struct Parts {
    read: VecDeque<Bytes>,
    rest: mpsc::Receiver<io::Result<Bytes>>,
    failed: Failure,
}

impl Parts {
    fn of(file: impl Read + Send + 'static, failed: Failure) -> Self {
        let (parts, rest) = mpsc::channel(PARTS_AHEAD);
        std::thread::spawn(move || read(file, &parts));
        Parts { read: VecDeque::new(), rest, failed }
    }
}

fn read(mut file: impl Read, parts: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut part = Vec::new();
        let read = file.by_ref().take(PART_BYTES).read_to_end(&mut part);
        if matches!(read, Ok(0)) {
            return;
        }
        let is_last = read.is_err();
        if parts.blocking_send(read.map(|_| part.into())).is_err() || is_last {
            return;
        }
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(read) = self.read.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        self.rest.poll_recv(cx).map(|part| {
            let part = part?.map_err(|error| {
                let kind = error.kind();
                // Only the first one counts, and there is no other.
                let _ = self.failed.set(error);
                kind.into()
            });
            Some(part.map(Frame::data))
        })
    }
}

/// What is told of an upload that was taken: bad rows first, then how many there are.
pub(super) fn told(answer: &Value) -> Vec<String> {
    let count = |name: &str| answer[name].as_u64().unwrap_or_default();
    let rejected = answer["rejected"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |row: &Value| {
        let number = row["phone_number"].as_str().unwrap_or_default();
        let reason = row["reason"].as_str().unwrap_or_default();
        plain(&format!("line {}: {number:?}: {reason}", row["line"]))
    };
    let mut lines: Vec<String> = rejected.iter().take(ROWS_TOLD).map(row).collect();
    let bad = count("invalid") + count("duplicates");
    let more = bad.saturating_sub(u64::try_from(lines.len()).unwrap_or(u64::MAX));
    if more > 0 {
        lines.push(format!("and {more} more that are not called"));
    }
    lines.extend(answer["note"].as_str().map(plain));
    let (invalid, duplicates) = (count("invalid"), count("duplicates"));
    lines.push(format!(
        "accepted: {}, invalid: {invalid}, duplicates: {duplicates}",
        count("accepted")
    ));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bad_rows_are_told_with_line_and_reason_and_those_left_out_are_counted() {
        let row = |line| json!({"line": line, "phone_number": "12\u{1b}", "reason": "has no '+'"});
        let rows: Vec<Value> = (2..102).map(row).collect();
        let answer = json!({
            "accepted": 7, "invalid": 149, "duplicates": 1, "rejected": rows, "note": "is Latin-1",
        });
        let told = told(&answer);
        assert_eq!(told.len(), ROWS_TOLD + 3);
        assert_eq!(told[0], "line 2: \"12\\u{1b}\": has no '+'");
        let rest = ["and 130 more that are not called", "is Latin-1"];
        assert_eq!(told[ROWS_TOLD..ROWS_TOLD + 2], rest);
        assert_eq!(told[ROWS_TOLD + 2], "accepted: 7, invalid: 149, duplicates: 1");
    }

    #[test]
    fn where_all_is_well_there_is_nothing_else_to_tell() {
        let answer = json!({"accepted": 2, "invalid": 0, "duplicates": 0, "rejected": []});
        assert_eq!(told(&answer), ["accepted: 2, invalid: 0, duplicates: 0"]);
    }
}
