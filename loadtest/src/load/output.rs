//! The one place that writes to the terminal: results to standard output, all else to standard
//! error.

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

/// Tells why there is no result.
#[expect(clippy::print_stderr, reason = "it is meant for the person who started us")]
pub(crate) fn problem(text: &str) {
    eprintln!("loadtest: {text}");
}
