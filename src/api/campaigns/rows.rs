//! Recipients as requests give them, in JSON and in CSV.
//!
//! What is wrong with one of them is told when its turn comes, and spoils no other.

use serde_json::{Map, Value};

use crate::api::error::ApiError;
use crate::api::fields::Ruled;
use crate::api::rules;
use crate::campaigns::intake::{GivenRecipient, priority_is};
use crate::upload::{BadRow, CsvUpload, Row};

/// What a recipient in JSON may have.
const KNOWN: [&str; 5] = ["phone_number", "template_context", "timezone", "priority", "not_before"];

/// Recipients of a JSON body, which stand in a list: their lines are their places in it, from 1.
pub(super) fn of_list(given: Vec<Value>) -> Vec<GivenRecipient> {
    (1..).zip(given).map(|(line, given)| of_value(line, given)).collect()
}

fn of_value(line: u64, given: Value) -> GivenRecipient {
    let mut recipient = GivenRecipient { line, ..GivenRecipient::default() };
    match given {
        Value::String(number) => recipient.number = number,
        Value::Object(fields) => {
            recipient.problem = fill(&mut recipient, fields).err();
        }
        _ => recipient.problem = Some("must be a phone number or an object".to_owned()),
    }
    recipient
}

fn fill(recipient: &mut GivenRecipient, mut fields: Map<String, Value>) -> Ruled<()> {
    let mut take = |name: &str| fields.remove(name).filter(|value| !value.is_null());
    let text = |name: &str, value: Option<Value>| match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} must be a string")),
    };
    let number = text("phone_number", take("phone_number"));
    // Before anything is refused, so that the row can be told by it.
    recipient.number = number?.unwrap_or_default();
    recipient.timezone = text("timezone", take("timezone"))?;
    recipient.not_before = text("not_before", take("not_before"))?;
    recipient.priority = match take("priority") {
        None => 0,
        Some(priority) => {
            rules::integer(&priority).ok_or_else(|| format!("priority {}", priority_is()))?
        }
    };
    recipient.context = match take("template_context") {
        None => Map::new(),
        Some(Value::Object(context)) => context,
        Some(_) => return Err("template_context must be an object".to_owned()),
    };
    match fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => {
            let unknown: String = unknown.chars().take(100).collect();
            Err(format!("has {unknown}, which is not known here; known are {}", KNOWN.join(", ")))
        }
    }
}

/// What the columns of a CSV file mean.
pub(super) struct Columns {
    number: usize,
    timezone: Option<usize>,
    priority: Option<usize>,
    not_before: Option<usize>,
    variables: Vec<(usize, String)>,
}

impl Columns {
    /// `None` until the first line of the file is read.
    ///
    /// # Errors
    ///
    /// When a column can be neither one of ours nor a template variable.
    pub(super) fn of(csv: &CsvUpload) -> Result<Option<Self>, ApiError> {
        let Some(number) = csv.phone_column() else { return Ok(None) };
        let [timezone, priority, not_before] =
            ["timezone", "priority", "not_before"].map(|name| csv.column(name));
        let ours = [Some(number), timezone, priority, not_before];
        let others = csv.columns().iter().enumerate();
        let others = others.filter(|(place, _)| !ours.contains(&Some(*place)));
        let mut variables = Vec::new();
        for (place, name) in others {
            rules::variable_key(name).map_err(|why| {
                let message = format!(
                    "Columns are phone_number, timezone, priority, not_before or template \
                     variables; the file {why}"
                );
                ApiError::bad_request("invalid_csv", message)
            })?;
            variables.push((place, name.clone()));
        }
        Ok(Some(Columns { number, timezone, priority, not_before, variables }))
    }

    /// A row as a recipient. An empty field is one that is not given.
    pub(super) fn recipient(&self, row: Result<Row, BadRow>) -> GivenRecipient {
        let Row { line, mut fields } = match row {
            Ok(row) => row,
            Err(BadRow { line, reason }) => {
                let problem = Some(reason);
                return GivenRecipient { line, problem, ..GivenRecipient::default() };
            }
        };
        let mut take = |place: usize| {
            let field = fields.get_mut(place).map(std::mem::take);
            field.filter(|field| !field.trim().is_empty())
        };
        let mut trimmed = |place: Option<usize>| Some(take(place?)?.trim().to_owned());
        let (timezone, not_before) = (trimmed(self.timezone), trimmed(self.not_before));
        let priority = trimmed(self.priority).map(|text| text.parse().map_err(|_| ()));
        let number = take(self.number).unwrap_or_default();
        let variables = self.variables.iter();
        let context = variables
            .filter_map(|(place, name)| Some((name.clone(), Value::from(take(*place)?))))
            .collect();
        let problem = match priority {
            Some(Err(())) => Some(format!("priority {}", priority_is())),
            _ => None,
        };
        let priority = priority.and_then(Result::ok).unwrap_or_default();
        GivenRecipient { line, number, context, timezone, priority, not_before, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(given: Value) -> GivenRecipient {
        of_value(1, given)
    }

    #[test]
    fn a_recipient_is_a_number_or_an_object() {
        assert_eq!(of(json!("+12125550123")).number, "+12125550123");
        let whole = of(json!({
            "phone_number": "+12125550123", "template_context": {"name": "Ann"},
            "timezone": "Europe/Berlin", "priority": 5.0, "not_before": "2026-01-01T00:00:00Z",
        }));
        assert_eq!((whole.number.as_str(), whole.priority), ("+12125550123", 5));
        assert_eq!((whole.context["name"].clone(), whole.problem), (json!("Ann"), None));
        let sparse = of(json!({"phone_number": "+12125550123", "timezone": null}));
        assert_eq!((sparse.timezone, sparse.problem), (None, None));
    }

    #[test]
    fn a_recipient_that_is_none_is_told_by_its_number() {
        for (given, why) in [
            (json!(7), "must be a phone number or an object"),
            (json!({"phone_number": 7}), "phone_number must be a string"),
            (json!({"phone_number": "+1", "priority": "high"}), "priority must be a whole number"),
            (json!({"phone_number": "+1", "template_context": []}), "template_context must be"),
            (json!({"phone_number": "+1", "time_zone": "UTC"}), "has time_zone, which is not"),
        ] {
            let recipient = of(given.clone());
            let problem = recipient.problem.expect("something is wrong");
            assert!(problem.starts_with(why), "{problem}");
            assert_eq!(recipient.number == "+1", given["phone_number"] == "+1");
        }
    }

    #[test]
    fn an_empty_field_is_not_given() {
        let mut csv = CsvUpload::new();
        let file = b"Phone,name,Priority,timezone,city\n+12125550123, Ann ,, UTC ,\n+1,B,high,,R\n";
        let rows = csv.push(file).expect("is a CSV");
        let columns = Columns::of(&csv).expect("good columns").expect("a header");
        let [first, second] = <[_; 2]>::try_from(
            rows.into_iter().map(|row| columns.recipient(row)).collect::<Vec<_>>(),
        )
        .expect("two rows");
        assert_eq!((first.line, first.number.as_str()), (2, "+12125550123"));
        assert_eq!(Value::from(first.context), json!({"name": " Ann "}));
        assert_eq!((first.timezone.as_deref(), first.priority), (Some("UTC"), 0));
        assert_eq!(second.context["city"], "R");
        assert!(second.problem.expect("no number").starts_with("priority must be"));
    }

    #[test]
    fn a_column_that_means_nothing_is_refused() {
        let mut csv = CsvUpload::new();
        csv.push(b"phone_number,First Name\n").expect("is a CSV");
        let error = Columns::of(&csv).err().expect("a space").to_string();
        assert!(error.contains("the file has the key 'First Name'"), "{error}");
    }
}
