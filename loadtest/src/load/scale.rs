//! What a call costs as calls grow: one scenario at rising numbers of calls, on a fresh service
//! each time, and what a call leaves in the database.

use std::fmt::Write as _;

use super::output::progress;
use super::reference::Against;
use super::report::Report;
use super::run::{self, RunError};
use super::scenario::{Overrides, ScenarioError, find};
use super::subject::LaunchMode;

/// What is run for the growth of the database: enough short calls that pages do not matter.
const CHURN: Overrides = Overrides { calls: Some(60), seconds: Some(20), ramp: None };

/// There is nothing to compare.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScaleError {
    #[error("{0}")]
    Scenario(#[from] ScenarioError),
    #[error("at {calls} calls: {source}")]
    Run { calls: u32, source: RunError },
}

/// A report for each number of calls, in their order. What a run of churn found out about the
/// database is in all of them, and so is what was wrong with it in the last.
pub(crate) async fn run(
    numbers: &[u32],
    seconds: u64,
    mode: &LaunchMode,
    against: Option<Against>,
) -> Result<Vec<Report>, ScaleError> {
    let mut reports = Vec::new();
    for &calls in numbers {
        progress(&format!("{calls} calls for {seconds} s"));
        let changes =
            Overrides { calls: Some(calls), seconds: Some(seconds), ..Overrides::default() };
        reports.push(one("steady", changes, mode, against).await?);
    }
    progress("short calls, for what they leave in the database");
    let churn = one("churn", CHURN, mode, None).await?;
    for report in &mut reports {
        report.database_bytes_per_call = churn.database_bytes_per_call;
    }
    if let Some(last) = reports.last_mut() {
        last.failures.extend(churn.failures.iter().map(|failure| format!("churn: {failure}")));
    }
    Ok(reports)
}

async fn one(
    name: &str,
    changes: Overrides,
    mode: &LaunchMode,
    against: Option<Against>,
) -> Result<Report, ScaleError> {
    let scenario = find(name)?.with(changes);
    let calls = scenario.calls;
    run::run(&scenario, mode, against).await.map_err(|source| ScaleError::Run { calls, source })
}

/// One line for each number of calls.
pub(crate) fn table(reports: &[Report]) -> String {
    let mut text = String::new();
    write_table(&mut text, reports).expect("a String takes any text");
    text
}

fn write_table(out: &mut String, reports: &[Report]) -> std::fmt::Result {
    let first = reports.first();
    if first.is_some_and(|report| report.tls) {
        writeln!(out, "both legs over TLS")?;
    }
    let reference = first.and_then(|report| report.reference.as_ref());
    if let Some(reference) = reference {
        writeln!(out, "ratio: {}", reference.in_words())?;
    }
    let ratio_heading = if reference.is_some() { "ratio  " } else { "" };
    writeln!(
        out,
        "calls  CPU µs/frame  {ratio_heading}cores  KiB/call  fds/call  to agent p50/p99 ms  \
         to phone p50/p99 ms  clock late p99 ms  start ms"
    )?;
    for report in reports {
        let delay = |p50_us: u64, p99_us: u64| {
            format!("{:.2} / {:.2}", p50_us as f64 / 1e3, p99_us as f64 / 1e3)
        };
        let (to_agent, to_phone) = (report.delay_phone_to_agent, report.delay_agent_to_phone);
        let ratio = match &report.reference {
            Some(reference) => format!("{:>5.2}  ", reference.ratio),
            None => String::new(),
        };
        writeln!(
            out,
            "{:>5}  {:>12.2}  {ratio}{:>5.2}  {:>8.1}  {:>8.2}  {:>19}  {:>19}  {:>17.2}  {:>8.0}{}",
            report.calls,
            report.service_cpu.us_per_frame,
            report.service_cpu.cores,
            report.memory_bytes.per_call / 1024.0,
            report.descriptors.per_call,
            delay(to_agent.p50_us, to_agent.p99_us),
            delay(to_phone.p50_us, to_phone.p99_us),
            report.generator_lateness.p99_us as f64 / 1e3,
            report.startup_ms,
            match (report.failures.is_empty(), report.warnings.is_empty()) {
                (false, _) => "  FAILED",
                (true, false) => "  generator was the bottleneck",
                (true, true) => "",
            },
        )?;
    }
    if let Some(bytes) = reports.iter().find_map(|report| report.database_bytes_per_call) {
        writeln!(out, "a call leaves {bytes:.0} bytes in the database")?;
    }
    for report in reports {
        for problem in report.failures.iter().chain(&report.warnings) {
            writeln!(out, "  at {} calls: {problem}", report.calls)?;
        }
    }
    match reports.iter().all(|report| report.failures.is_empty()) {
        true => write!(out, "passed"),
        false => write!(out, "FAILED"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::example;

    #[test]
    fn each_number_of_calls_is_a_line_and_problems_come_last() {
        let mut one = Report { calls: 50, startup_ms: 120.0, ..Report::default() };
        one.database_bytes_per_call = Some(1_500.0);
        let mut two = Report { calls: 1_500, ..Report::default() };
        two.warnings = vec!["The generator kept 1.9 of 2 processors busy.".into()];
        let text = table(&[one.clone(), two.clone()]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert!(lines[1].starts_with("   50          0.00") && lines[1].ends_with("120"), "{text}");
        assert!(lines[2].ends_with("generator was the bottleneck"), "{text}");
        assert_eq!(lines[3], "a call leaves 1500 bytes in the database");
        assert_eq!(lines[4], "  at 1500 calls: The generator kept 1.9 of 2 processors busy.");
        assert_eq!(lines[5], "passed");
        two.failures = vec!["1 frame was lost".into()];
        assert!(table(&[one, two]).ends_with("FAILED"));
    }

    #[test]
    fn what_it_is_compared_with_stands_beside_the_cost() {
        let of = |reports: &[Report]| table(reports).lines().map(str::to_owned).collect::<Vec<_>>();
        let lines = of(&[example::report()]);
        let ratio = example::report().reference.expect("a reference").ratio;
        let name = "ratio: times what HAProxy 2.6.12 needs to merely move its bytes";
        assert_eq!(lines[0], name, "{lines:?}");
        assert!(lines[1].starts_with("calls  CPU µs/frame  ratio  cores"), "{lines:?}");
        assert!(lines[2].contains(&format!("  {ratio:.2}  ")), "{lines:?}");
        let lines = of(&[example::over_tls()]);
        assert_eq!(lines[..2], ["both legs over TLS", "ratio: times what it costs without TLS"]);
    }
}
