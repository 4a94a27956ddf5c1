//! What was found, and how it reads.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Calls may work, and yet somebody should look.
    Warning,
    /// Calls will not work.
    Failed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failed => "failed",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at: a short, stable name.
    pub(crate) check: &'static str,
    /// How bad it is.
    pub(crate) verdict: Verdict,
    /// What was seen. Holds no secret.
    pub(crate) detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Finding { check, verdict: Verdict::Ok, detail: detail.into(), advice: None }
    }

    pub(super) fn warning(
        check: &'static str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Finding { check, verdict: Verdict::Warning, detail: detail.into(), advice }
    }

    pub(super) fn failed(
        check: &'static str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Finding { verdict: Verdict::Failed, ..Finding::warning(check, detail, advice) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8} {}: {}", self.verdict, self.check, self.detail)?;
        match &self.advice {
            Some(advice) => write!(f, "\n         -> {advice}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_what_to_do_unless_all_is_well() {
        assert_eq!(Finding::ok("clock", "right").to_string(), "ok       clock: right");
        let failed = Finding::failed("clock", "90 s behind", "set it");
        assert_eq!(failed.to_string(), "failed   clock: 90 s behind\n         -> set it");
        let json = serde_json::to_value(&failed).expect("plain data");
        assert_eq!((&json["verdict"], &json["advice"]), (&"failed".into(), &"set it".into()));
    }
}
