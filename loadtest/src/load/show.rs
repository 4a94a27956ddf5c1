//! Commands about reports that were written before: as a page, and compared.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::compare::{Comparison, Verdict};
use super::html;
use super::stored::{self, ReadError, Stored};

/// What `loadtest html` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct HtmlArgs {
    /// A report, or a list of them, written by --json.
    #[arg(value_name = "REPORT.json")]
    report: PathBuf,
    /// Where to write the page.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What `loadtest compare` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareArgs {
    /// The report to compare with, written by --json.
    #[arg(value_name = "BEFORE.json")]
    before: PathBuf,
    /// The report that may be better or worse.
    #[arg(value_name = "AFTER.json")]
    after: PathBuf,
    /// Writes the comparison as one HTML page, too.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Why there is no page and no verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShowError {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{path} cannot be written: {error}")]
    Unwritten { path: PathBuf, error: io::Error },
}

/// Makes a page of a file. A list of reports becomes the page about scale.
pub(crate) fn html(args: &HtmlArgs) -> Result<(), ShowError> {
    let page = match stored::read(&args.report)? {
        Stored::One(report) => html::page(&report),
        Stored::Scale(reports) => html::scale_page(&reports),
    };
    write(&args.out, &page)
}

/// Compares two files; gives the table and the verdict.
pub(crate) fn compare(args: &CompareArgs) -> Result<(String, Verdict), ShowError> {
    let before = stored::read_one(&args.before)?;
    let after = stored::read_one(&args.after)?;
    if let Some(path) = &args.html {
        write(path, &html::comparison_page(&before, &after))?;
    }
    let comparison = Comparison::of(&before, &after);
    Ok((comparison.table(), comparison.verdict()))
}

fn write(path: &Path, page: &str) -> Result<(), ShowError> {
    std::fs::write(path, page).map_err(|error| ShowError::Unwritten { path: path.into(), error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::example;

    #[test]
    fn files_become_pages_and_verdicts() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        example::report().write(&file("before.json")).expect("it is written");
        let mut dearer = example::report();
        dearer.service_cpu.us_per_frame *= 2.0;
        dearer.write(&file("after.json")).expect("it is written");
        let list = serde_json::to_string(&example::scale()).expect("JSON");
        std::fs::write(file("scale.json"), list).expect("it is written");

        for (name, expected) in [("before", "Callspan: steady"), ("scale", "cost of scale")] {
            let report = file(&format!("{name}.json"));
            let out = file(&format!("{name}.html"));
            html(&HtmlArgs { report, out: out.clone() }).expect(name);
            assert!(std::fs::read_to_string(out).expect(name).contains(expected), "{name}");
        }
        let [before, after] = ["before.json", "after.json"].map(file);
        let args = CompareArgs { before, after, html: Some(file("compared.html")) };
        let (table, verdict) = compare(&args).expect("it is compared");
        assert_eq!(verdict, Verdict::Worse);
        assert!(table.ends_with("worse: CPU per frame"), "{table}");
        assert!(file("compared.html").exists());
        let scale = CompareArgs { before: file("scale.json"), ..args };
        let error = compare(&scale).expect_err("it has several").to_string();
        assert!(error.contains("has 6 reports"), "{error}");
    }
}
