//! Every built-in scenario of the load tester, small, through the real service as a process of its
//! own: that it can be carried out, that the service passes it, and that it is what it says it is.

use serde_json::Value;

/// Runs a scenario at this size; the report of a service that passed.
fn passed(scenario: &str, size: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let (json, page) = (folder.path().join("report.json"), folder.path().join("report.html"));
    let (json, page) = (json.display().to_string(), page.display().to_string());
    let service = env!("CARGO_BIN_EXE_callspan");
    let own = ["loadtest", "--scenario", scenario, "--callspan", service];
    let arguments = own.iter().chain(size).copied().chain(["--json", &json, "--html", &page]);
    let code = loadtest::load::run(arguments.map(Into::into));
    let report = std::fs::read_to_string(&json).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("is JSON");
    assert_eq!((code, &report["failures"]), (0, &Value::from([""; 0])), "{scenario}: {report:#}");
    let page = std::fs::read_to_string(&page).expect("a page");
    assert!(page.contains("<svg") && page.contains(scenario), "{scenario}: a page with plots");
    report
}

fn count(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {report:#}"))
}

/// The most calls that were up in any second.
fn most_calls(report: &Value) -> u64 {
    let samples = report["samples"].as_array().expect("samples");
    samples.iter().map(|sample| count(sample, "/calls_up")).max().expect("a second at least")
}

#[test]
fn steady() {
    let report = passed("steady", &["--calls", "4", "--seconds", "3", "--ramp", "0"]);
    assert_eq!(count(&report, "/placed"), 4);
    assert!(count(&report, "/frames_relayed") > 0);
    assert!(count(&report, "/frames_agent_to_phone/sent") > 0);
}

#[test]
fn ramp() {
    let report = passed("ramp", &["--calls", "6", "--seconds", "6"]);
    assert_eq!((count(&report, "/placed"), most_calls(&report)), (6, 6));
}

#[test]
fn spike() {
    let report = passed("spike", &["--calls", "10", "--seconds", "8"]);
    assert_eq!((count(&report, "/placed"), most_calls(&report)), (10, 10));
}

#[test]
fn churn() {
    let report = passed("churn", &["--calls", "4", "--seconds", "8"]);
    assert!(count(&report, "/placed") > 4, "calls end, and others take their place");
}

#[test]
fn long() {
    let report = passed("long", &["--calls", "2", "--seconds", "12"]);
    assert_eq!(count(&report, "/placed"), 2);
}

#[test]
fn talk_over() {
    let report = passed("talk-over", &["--calls", "2", "--seconds", "8"]);
    let asked = count(&report, "/interruptions/asked");
    assert!(asked > 0);
    assert_eq!(count(&report, "/interruptions/reached"), asked);
}

#[test]
fn slow_agent() {
    let report = passed("slow-agent", &["--calls", "2", "--seconds", "8"]);
    let of = |what| count(&report, &format!("/frames_phone_to_agent/{what}"));
    assert!(of("in_order") < of("sent"), "what the agent does not read is dropped, oldest first");
}

#[test]
fn jittery_phone() {
    let report = passed("jittery-phone", &["--calls", "3", "--seconds", "6"]);
    assert!(count(&report, "/frames_relayed") > 0);
}

#[test]
fn campaign() {
    let report = passed("campaign", &["--calls", "4", "--seconds", "8"]);
    assert!(count(&report, "/campaign/recipients") > 4);
}

#[test]
fn rest() {
    let report = passed("rest", &["--seconds", "4"]);
    assert_eq!(report["rates"].as_array().map(Vec::len), Some(4));
}
