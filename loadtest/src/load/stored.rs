//! Reads reports again that were written before, by whichever version.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::report::Report;

/// Parts that reports of every version have; a file without them is something else.
const ALWAYS_THERE: [&str; 2] = ["calls", "service_cpu"];

/// Why a file is not used as a report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{path} cannot be read: {error}")]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{path} is not JSON; give a file written by loadtest --json: {error}")]
    NotJson { path: PathBuf, error: serde_json::Error },
    #[error("{path} is JSON but no report; give a file written by loadtest --json")]
    NotAReport { path: PathBuf },
    #[error("{path} is no report that this version understands: {error}")]
    Misshapen { path: PathBuf, error: serde_json::Error },
    #[error("{path} has {count} reports, one for each number of calls; give a file with one")]
    Several { path: PathBuf, count: usize },
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stored {
    One(Box<Report>),
    /// A run at rising numbers of calls.
    Scale(Vec<Report>),
}

/// Reads a file of one report or of several.
pub(crate) fn read(path: &Path) -> Result<Stored, ReadError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ReadError::Unreadable { path: path.to_owned(), error })?;
    parse(path, &text)
}

/// Reads a file of one report.
pub(crate) fn read_one(path: &Path) -> Result<Report, ReadError> {
    match read(path)? {
        Stored::One(report) => Ok(*report),
        Stored::Scale(reports) => {
            Err(ReadError::Several { path: path.to_owned(), count: reports.len() })
        }
    }
}

fn parse(path: &Path, text: &str) -> Result<Stored, ReadError> {
    let json = serde_json::from_str(text)
        .map_err(|error| ReadError::NotJson { path: path.to_owned(), error })?;
    let report = |value: Value| {
        if ALWAYS_THERE.iter().any(|part| value.get(part).is_none()) {
            return Err(ReadError::NotAReport { path: path.to_owned() });
        }
        serde_json::from_value(without_nulls(value))
            .map_err(|error| ReadError::Misshapen { path: path.to_owned(), error })
    };
    match json {
        Value::Array(several) if !several.is_empty() => {
            several.into_iter().map(report).collect::<Result<_, _>>().map(Stored::Scale)
        }
        one => report(one).map(|report| Stored::One(Box::new(report))),
    }
}

/// JSON has no NaN and no infinity: they are written as null, and read as if they were missing.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        Value::Null => Value::from(0),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written before reports had a format, a machine or samples.
    const OLD: &str = r#"{
        "calls": 300, "seconds": 10.0, "machine_cpus": 2, "service_cpus": "0", "startup_ms": 31.0,
        "initiate_call": {"count": 300, "p50_us": 1200, "p90_us": 2000, "p99_us": 4000,
            "p999_us": 5000, "max_us": 5100},
        "frames_relayed": 300000,
        "service_cpu": {"user_seconds": 1.0, "system_seconds": 2.0, "us_per_frame": 10.0,
            "cores": 0.3},
        "generator_cpu": {"user_seconds": 1.0, "system_seconds": 2.0, "us_per_frame": 10.0,
            "cores": 0.3},
        "delays_trusted": true,
        "memory_bytes": {"idle": 9000000, "with_calls": 19000000, "after": 12000000,
            "per_call": 33333.3},
        "frames_phone_to_agent": {"sent": 5, "in_order": 5, "out_of_order": 0, "damaged": 0,
            "unmarked": 0},
        "dropped_by_service": [["direction=\"to_agent\"", 3.0]],
        "failures": []
    }"#;

    fn parsed(text: &str) -> Result<Stored, ReadError> {
        parse(Path::new("report.json"), text)
    }

    #[test]
    fn a_report_from_before_there_was_a_format_is_read() {
        let Ok(Stored::One(report)) = parsed(OLD) else { panic!("it is one report") };
        assert_eq!((report.format, report.calls, report.service_cpu.us_per_frame), (0, 300, 10.0));
        assert_eq!(report.dropped_by_service[0].1, 3.0);
        assert_eq!((report.samples.len(), report.reference), (0, None));
        assert!(report.delays_trusted);
    }

    #[test]
    fn a_report_of_a_later_version_is_read_as_far_as_it_is_known() {
        let later = OLD.replacen('{', r#"{"format": 9, "moon": {"phase": [1]}, "#, 1);
        let Ok(Stored::One(report)) = parsed(&later) else { panic!("it is one report") };
        assert_eq!((report.format, report.calls), (9, 300));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut written = crate::load::example::report();
        written.dropped_by_service.push(("late".into(), 2.0));
        let text = serde_json::to_string(&written).expect("JSON");
        let read = parsed(&text).expect("a report");
        assert!(read == Stored::One(Box::new(written.clone())), "{text}");
        written.startup_ms = f64::NAN;
        let text = serde_json::to_string(&written).expect("JSON");
        let Ok(Stored::One(read)) = parsed(&text) else { panic!("it is one report") };
        assert_eq!(read.startup_ms, 0.0);
    }

    #[test]
    fn a_list_is_a_run_at_rising_numbers_of_calls() {
        let Ok(Stored::Scale(reports)) = parsed(&format!("[{OLD},{OLD}]")) else {
            panic!("it is a list")
        };
        assert_eq!(reports.len(), 2);
    }

    #[test]
    fn what_is_no_report_is_refused_with_its_name() {
        let refused = |text: &str| parsed(text).expect_err(text).to_string();
        assert!(refused("calls: 5").starts_with("report.json is not JSON"));
        for text in ["{}", "[]", "5", "null", r#"{"calls": 1}"#, r#"[{"name": "x"}]"#] {
            assert!(refused(text).contains("is JSON but no report"), "{text}");
        }
        let odd = refused(r#"{"calls": "many", "service_cpu": {}}"#);
        assert!(odd.contains("understands") && odd.contains("many"), "{odd}");
    }
}
