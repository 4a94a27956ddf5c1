//! The one place that writes to the terminal: results to standard output, all else to standard
//! error.

use std::io::IsTerminal as _;

/// Shows a result.
#[expect(clippy::print_stdout, reason = "the result is what the program is for")]
pub(crate) fn show(text: &str) {
    println!("{text}");
}

/// Tells what is being done, for whoever waits.
#[expect(clippy::print_stderr, reason = "it is meant for the person who waits")]
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// Shows how it goes, for whoever waits: redrawn in its place on a terminal, and elsewhere written
/// as a line when `plainly`.
#[expect(clippy::print_stderr, reason = "it is meant for the person who waits")]
pub(crate) fn show_progress(text: &str, plainly: bool) {
    if std::io::stderr().is_terminal() {
        // Back to the beginning of the line, which is not to wrap, and the rest of it erased.
        eprint!("\r\x1b[?7l{text}\x1b[K\x1b[?7h");
    } else if plainly {
        eprintln!("{text}");
    }
}

/// Ends what [`show_progress`] redraws.
#[expect(clippy::print_stderr, reason = "it is meant for the person who waits")]
pub(crate) fn end_progress_line() {
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
}

/// Tells why there is no result.
#[expect(clippy::print_stderr, reason = "it is meant for the person who started us")]
pub(crate) fn problem(text: &str) {
    eprintln!("loadtest: {text}");
}
