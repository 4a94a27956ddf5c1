//! Campaigns and their recipients for people at a terminal, from what the API tells.

use serde_json::Value;

use crate::cli::table::{fields, table};

use super::progress::{Progress, duration, rate};

/// Campaigns, one a line.
pub(super) fn campaigns(campaigns: &[Value]) -> String {
    let row = |campaign: &Value| {
        ["id", "state", "total", "created_at", "name"].map(|name| text(&campaign[name])).to_vec()
    };
    let rows: Vec<Vec<String>> = campaigns.iter().map(row).collect();
    table(&["ID", "STATE", "TOTAL", "CREATED", "NAME"], &rows)
}

/// One campaign: what is known of it, and how its recipients stand.
pub(super) fn campaign(campaign: &Value, progress: &Progress) -> String {
    let settings = &campaign["settings"];
    let mut known = vec![
        ("id", text(&campaign["id"])),
        ("name", text(&campaign["name"])),
        ("state", text(&campaign["state"])),
        ("cause", text(&campaign["cause"])),
        ("agent", text(&campaign["agent_id"])),
        ("created", text(&campaign["created_at"])),
        ("started", text(&campaign["started_at"])),
        ("ended", text(&campaign["ended_at"])),
        ("calls at once", text(&settings["max_concurrent_calls"])),
        ("calls a second", text(&settings["max_cps"])),
        ("attempts", text(&settings["retries"]["max_attempts"])),
        ("hours", text(&settings["hours"])),
        ("answering machine", text(&settings["answering_machine"])),
        ("done", format!("{} of {}", progress.finished, progress.total)),
    ];
    if !progress.state.is_final() {
        known.push(("a minute", rate(progress.rate_per_minute)));
        known.extend(progress.eta_seconds.map(|seconds| ("time left", duration(seconds))));
    }
    let answered = campaign["answered_by"].as_object().into_iter().flatten();
    let answered: Vec<String> = answered
        .filter(|(_, count)| count.as_u64() > Some(0))
        .map(|(who, count)| format!("{who} {count}"))
        .collect();
    if !answered.is_empty() {
        known.push(("answered by", answered.join(", ")));
    }
    format!("{}\n\n{}", fields(&known), progress.summary())
}

/// Recipients, one a line.
pub(super) fn recipients(recipients: &[Value]) -> String {
    let row = |recipient: &Value| {
        let why = ["detail", "end_reason"].map(|name| &recipient[name]);
        let why = why.into_iter().find(|why| !why.is_null()).unwrap_or(&Value::Null);
        let seconds = recipient["duration_seconds"].as_f64();
        vec![
            text(&recipient["seq"]),
            text(&recipient["phone_number"]),
            text(&recipient["state"]),
            text(&recipient["attempts"]),
            seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0}")),
            text(&recipient["answered_by"]),
            text(why),
        ]
    };
    let rows: Vec<Vec<String>> = recipients.iter().map(row).collect();
    let titles = ["SEQ", "NUMBER", "STATE", "ATTEMPTS", "SECONDS", "ANSWERED BY", "REASON"];
    table(&titles, &rows)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_campaign_that_is_over_has_no_speed() {
        let told = json!({
            "id": "1", "name": "Spring\u{1b}", "state": "completed", "cause": null,
            "agent_id": null, "created_at": "c", "started_at": "s", "ended_at": "e", "total": 2,
            "finished": 2, "rate_per_minute": 7.0, "eta_seconds": null,
            "counts": {"completed": 2}, "answered_by": {"human": 2, "fax": 0},
            "settings": {"max_concurrent_calls": 5, "retries": {"max_attempts": 1}},
        });
        let progress = Progress::read(&told).expect("is progress");
        let shown = campaign(&told, &progress);
        assert!(shown.contains("done               2 of 2\n"), "{shown}");
        assert!(shown.contains("answered by        human 2\n\nSTATE"), "{shown}");
        assert!(shown.contains("Spring\\u{1b}") && !shown.contains("a minute"), "{shown}");
    }

    #[test]
    fn recipients_say_what_went_wrong() {
        let told = [
            json!({
                "seq": 1, "phone_number": "+12125550101", "state": "busy", "attempts": 3,
                "duration_seconds": null, "answered_by": null, "end_reason": "busy",
                "detail": null,
            }),
            json!({
                "seq": 2, "phone_number": "12", "state": "invalid", "attempts": 0,
                "end_reason": null, "detail": "has no '+'",
            }),
        ];
        let shown = recipients(&told);
        let lines: Vec<Vec<&str>> =
            shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["1", "+12125550101", "busy", "3", "-", "-", "busy"]);
        assert_eq!(lines[2], ["2", "12", "invalid", "0", "-", "-", "has", "no", "'+'"]);
    }
}
