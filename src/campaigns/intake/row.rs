//! One row of an upload: what it gives, and what is made of it.

use std::collections::{BTreeSet, HashMap};

use actors::campaign::RecipientState;
use actors::campaign::zones::zone_named;
use actors::ids::PhoneNumber;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::api::rules;
use crate::store::NewRecipient;
use crate::upload::phone_number_of;

/// How early, or how late, a recipient may have its turn.
pub(crate) const PRIORITIES: std::ops::RangeInclusive<i64> = -1_000..=1_000;
/// Of what was given in the place of a number, so much is kept.
const KEPT_CHARS: usize = 100;

/// A row as it was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GivenRecipient {
    /// Where it stands, for whoever looks for it: the line of a file, the place in a list.
    pub(crate) line: u64,
    /// Who is to be called.
    pub(crate) number: String,
    /// Its own template variables.
    pub(crate) context: Map<String, Value>,
    /// Its own zone.
    pub(crate) timezone: Option<String>,
    /// The higher, the sooner; 0 when it does not say.
    pub(crate) priority: i64,
    /// Not dialled before (RFC 3339).
    pub(crate) not_before: Option<String>,
    /// What is wrong with it, where it could not even be read.
    pub(crate) problem: Option<String>,
}

/// What every row must be, beside a phone number.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowRules {
    /// Template variables that everybody has.
    pub(crate) given: BTreeSet<String>,
    /// Template variables that the agent's prompt needs, and that nobody else gives.
    pub(crate) needed: Vec<String>,
    /// Beginnings of numbers that the company may call; `None` is all.
    pub(crate) prefixes: Option<Vec<String>>,
}

/// What a good row means.
struct Checked {
    number: PhoneNumber,
    context: Option<String>,
    timezone: Option<String>,
    priority: i32,
    not_before: Option<Timestamp>,
}

/// The numbers of an upload and the lines they stand on.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<u64, u64>);

impl Seen {
    /// The line a number has stood on before. If on none, it stands on this one.
    fn before(&mut self, number: &PhoneNumber, line: u64) -> Option<u64> {
        let before = *self.0.entry(packed(number)).or_insert(line);
        (before != line).then_some(before)
    }
}

/// A number in eight bytes: its 17 digits at most, behind a one that keeps zeros in front.
fn packed(number: &PhoneNumber) -> u64 {
    let digits = number.as_str().bytes().filter(u8::is_ascii_digit);
    digits.fold(1, |packed, digit| packed * 10 + u64::from(digit - b'0'))
}

impl RowRules {
    /// Makes a recipient of a row: one that waits, or one that says why it is not called.
    pub(super) fn recipient(
        &self,
        seq: u32,
        given: GivenRecipient,
        seen: &mut Seen,
    ) -> NewRecipient {
        let refused = |number: String, state, why: String| NewRecipient {
            seq,
            number,
            context: None,
            timezone: None,
            priority: 0,
            not_before: None,
            state,
            // PostgreSQL stores no U+0000, and a reason may quote what was given.
            detail: Some(why.replace('\0', " ")),
        };
        let row = match self.check(&given) {
            Ok(row) => row,
            Err(why) => return refused(kept(&given.number), RecipientState::Invalid, why),
        };
        if let Some(line) = seen.before(&row.number, given.line) {
            let why = format!("is a number that line {line} has already");
            let number = row.number.as_str().to_owned();
            return refused(number, RecipientState::Duplicate, why);
        }
        NewRecipient {
            seq,
            number: row.number.as_str().to_owned(),
            context: row.context,
            timezone: row.timezone,
            priority: row.priority,
            not_before: row.not_before,
            state: RecipientState::Waiting,
            detail: None,
        }
    }

    fn check(&self, given: &GivenRecipient) -> Result<Checked, String> {
        if let Some(problem) = &given.problem {
            return Err(problem.clone());
        }
        let of = |field: &str, why: String| format!("{field} {why}");
        let number =
            phone_number_of(&given.number).map_err(|why| of("phone_number", why.to_string()))?;
        if let Some(prefixes) = &self.prefixes
            && !prefixes.iter().any(|prefix| number.as_str().starts_with(prefix))
        {
            let why = format!("must begin with {} for this company", prefixes.join(", "));
            return Err(of("phone_number", why));
        }
        let timezone = given.timezone.as_deref().map(zone_named).transpose();
        let timezone = timezone.map_err(|why| of("timezone", why.to_string()))?;
        let priority = Some(given.priority).filter(|priority| PRIORITIES.contains(priority));
        let priority = priority.and_then(|priority| i32::try_from(priority).ok());
        let not_before = given.not_before.as_deref().map(|at| rules::timestamp(&at.into()));
        Ok(Checked {
            context: self.context(&given.context)?,
            timezone: timezone.and_then(|zone| Some(zone.iana_name()?.to_owned())),
            priority: priority.ok_or_else(|| of("priority", priority_is()))?,
            not_before: not_before.transpose().map_err(|why| of("not_before", why))?,
            number,
        })
    }

    /// A row's own variables as they are stored.
    fn context(&self, given: &Map<String, Value>) -> Result<Option<String>, String> {
        let missing: Vec<&str> = self.needed.iter().map(String::as_str).collect();
        let missing: Vec<&str> =
            missing.into_iter().filter(|name| !given.contains_key(*name)).collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            return Err(format!(
                "template_context must give what the agent's prompt needs: {missing}"
            ));
        }
        rules::call_variables(given).map_err(|why| format!("template_context {why}"))?;
        let own = given.keys().filter(|name| !self.given.contains(*name)).count();
        let count = self.given.len() + own;
        if count > rules::MAX_VARIABLES {
            return Err(format!(
                "template_context must have at most {} variables with the defaults, not {count}",
                rules::MAX_VARIABLES
            ));
        }
        let text = |given| serde_json::to_string(given).expect("JSON is written as JSON");
        Ok((!given.is_empty()).then(|| text(given)))
    }
}

/// What is allowed of a priority.
pub(crate) fn priority_is() -> String {
    let (lowest, highest) = (PRIORITIES.start(), PRIORITIES.end());
    format!("must be a whole number from {lowest} to {highest}")
}

/// What can be stored of a number that is none.
fn kept(number: &str) -> String {
    number.chars().filter(|c| !c.is_control()).take(KEPT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(number: &str) -> GivenRecipient {
        GivenRecipient { line: 7, number: number.to_owned(), ..GivenRecipient::default() }
    }

    fn made(rules: &RowRules, given: GivenRecipient) -> NewRecipient {
        rules.recipient(1, given, &mut Seen::default())
    }

    fn reason(rules: &RowRules, given: GivenRecipient) -> String {
        let made = made(rules, given);
        assert_eq!(made.state, RecipientState::Invalid);
        made.detail.expect("a reason")
    }

    #[test]
    fn a_good_row_is_stored_in_one_spelling() {
        let given = GivenRecipient {
            context: json!({"name": "Ann"}).as_object().expect("an object").clone(),
            timezone: Some("europe/berlin".to_owned()),
            priority: -3,
            not_before: Some("2026-01-01T09:00:00+01:00".to_owned()),
            ..row(" +1 (212) 555-0123 ")
        };
        let made = made(&RowRules::default(), given);
        assert_eq!((made.number.as_str(), made.state), ("+12125550123", RecipientState::Waiting));
        assert_eq!(made.context.as_deref(), Some(r#"{"name":"Ann"}"#));
        assert_eq!(made.timezone.as_deref(), Some("Europe/Berlin"));
        assert_eq!((made.priority, made.detail), (-3, None));
        assert_eq!(made.not_before.expect("given").to_string(), "2026-01-01T08:00:00Z");
    }

    #[test]
    fn a_bad_row_says_why_and_keeps_what_stood_there() {
        let rules = RowRules::default();
        let bad = made(&rules, row("Ann\0 Smith"));
        assert_eq!((bad.number.as_str(), bad.state), ("Ann Smith", RecipientState::Invalid));
        let good = || row("+12125550123");
        let timezone = Some("Mars/Olympus".to_owned());
        assert!(reason(&rules, GivenRecipient { timezone, ..good() }).starts_with("timezone must"));
        let priority = reason(&rules, GivenRecipient { priority: 1_001, ..good() });
        assert_eq!(priority, "priority must be a whole number from -1000 to 1000");
        let not_before = Some("tomorrow".to_owned());
        let not_before = reason(&rules, GivenRecipient { not_before, ..good() });
        assert!(not_before.starts_with("not_before must be a time such as"), "{not_before}");
        let context = Map::from_iter([("a\0".to_owned(), json!(1))]);
        let context = reason(&rules, GivenRecipient { context, ..good() });
        assert!(context.starts_with("template_context has the key 'a '"), "{context}");
        let problem = Some("has 3 fields, and the header has 2".to_owned());
        let problem = reason(&rules, GivenRecipient { problem, ..good() });
        assert_eq!(problem, "has 3 fields, and the header has 2");
    }

    #[test]
    fn a_row_gives_what_the_prompt_needs_and_others_do_not() {
        let rules = RowRules {
            given: (0..49).map(|n| format!("v{n}")).collect(),
            needed: vec!["name".to_owned(), "city".to_owned()],
            prefixes: Some(vec!["+1".to_owned(), "+44".to_owned()]),
        };
        let given = |context: Value| GivenRecipient {
            context: context.as_object().expect("an object").clone(),
            ..row("+12125550123")
        };
        let missing = reason(&rules, given(json!({"name": "Ann"})));
        assert_eq!(missing, "template_context must give what the agent's prompt needs: city");
        let many = reason(&rules, given(json!({"name": "Ann", "city": "Rome"})));
        assert!(many.ends_with("at most 50 variables with the defaults, not 51"), "{many}");
        let elsewhere = reason(&rules, row("+4915112345678"));
        assert_eq!(elsewhere, "phone_number must begin with +1, +44 for this company");
    }

    #[test]
    fn only_a_good_row_takes_its_number() {
        let (rules, mut seen) = (RowRules::default(), Seen::default());
        let mut state = |line, given: GivenRecipient| {
            let made = rules.recipient(1, GivenRecipient { line, ..given }, &mut seen);
            (made.state, made.detail)
        };
        let spoilt = GivenRecipient { priority: 5_000, ..row("+12125550123") };
        assert_eq!(state(1, spoilt).0, RecipientState::Invalid);
        assert_eq!(state(2, row("+12125550123")).0, RecipientState::Waiting);
        let twice = state(3, row("+1 212 555 0123"));
        let why = "is a number that line 2 has already".to_owned();
        assert_eq!(twice, (RecipientState::Duplicate, Some(why)));
    }

    #[test]
    fn no_two_numbers_are_taken_for_one() {
        let packed = |number: &str| packed(&number.parse().expect("a number"));
        assert_ne!(packed("+01234567"), packed("+1234567"));
        assert_ne!(packed("+00000000"), packed("+000000000"));
        assert_eq!(packed("+99999999999999999"), 199_999_999_999_999_999);
    }
}
