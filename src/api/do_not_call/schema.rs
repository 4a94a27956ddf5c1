//! The list as clients write and read it.

use serde::Serialize;
use utoipa::openapi::schema::{Array, ArrayBuilder, Object, ObjectBuilder, SchemaType, Type};
use utoipa::{IntoParams, ToSchema};

use crate::api::agents::word;
use crate::api::time::whole_seconds;
use crate::store::{DncRow, DncSource};
use crate::upload::BadRow;

use super::MAX_NUMBERS;
use super::import::Imported;

/// Numbers that are not to be called: one, or many.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = NewDoNotCall)]
#[expect(dead_code, reason = "only described")]
pub(crate) enum NewNumbersBody {
    One(NewNumberBody),
    Many(NewNumberListBody),
}

/// A number that is not to be called.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDoNotCallNumber,
    example = json!({"phone_number": "+12125550123", "note": "asked by letter"}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct NewNumberBody {
    /// Whose, in international format.
    #[schema(pattern = "^\\+[0-9]{7,17}$")]
    phone_number: String,
    /// What is to be remembered of it.
    #[schema(max_length = 1_000, pattern = "^[^\\u0000]*$")]
    note: Option<String>,
}

/// Numbers that are not to be called.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDoNotCallNumbers,
    example = json!({"phone_numbers": ["+12125550123", "+442071838750"]}))]
#[expect(dead_code, reason = "only described")]
pub(crate) struct NewNumberListBody {
    /// Whose, in international format.
    #[schema(schema_with = numbers)]
    phone_numbers: Vec<String>,
    /// What is to be remembered of each.
    #[schema(max_length = 1_000, pattern = "^[^\\u0000]*$")]
    note: Option<String>,
}

/// What became of numbers that were sent.
#[derive(Serialize, ToSchema)]
#[schema(as = DoNotCallAdded, example = json!({
    "added": 4_812,
    "known": 3,
    "bad": 1,
    "bad_rows": [{"line": 17, "reason": "has a phone_number that is empty"}],
    "note": null
}))]
pub(crate) struct AddedBody {
    /// How many are new on the list.
    added: u64,
    /// How many were on it before, or were sent twice. They stay as they were.
    known: u64,
    /// How many rows of the file could not be used.
    bad: u64,
    /// The first hundred of them.
    bad_rows: Vec<BadRowBody>,
    /// What is to be known of the file.
    note: Option<String>,
}

/// A row of a file that could not be used.
#[derive(Serialize, ToSchema)]
#[schema(as = BadRow)]
pub(crate) struct BadRowBody {
    /// The line an editor shows it on, from 1.
    line: u64,
    /// Why, in words that follow on "this row".
    reason: String,
}

/// A number that is not to be called.
#[derive(Serialize, ToSchema)]
#[schema(as = DoNotCall, example = json!({
    "phone_number": "+12125550123",
    "source": "agent",
    "note": "asked for in call CA0198c2a47d1e7cc398c4dc0c0c07398f",
    "created_at": "2024-01-01T12:00:00Z"
}))]
pub(crate) struct NumberBody {
    /// Whose.
    phone_number: String,
    /// How it came: by a request, in a file, because the person said so in a call, or by the
    /// command line.
    #[schema(schema_with = any_source)]
    source: &'static str,
    /// What somebody wrote beside it.
    note: Option<String>,
    /// Since when (RFC 3339, UTC).
    #[schema(format = DateTime)]
    created_at: String,
}

/// A page of the list.
#[derive(Serialize, ToSchema)]
#[schema(as = DoNotCallPage)]
pub(crate) struct NumberPage {
    /// By number.
    pub(crate) numbers: Vec<NumberBody>,
    /// Asks for the next page as `cursor`; null on the last.
    pub(crate) next_cursor: Option<String>,
}

/// The parameters of the list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct ListQuery {
    /// At most so many numbers.
    #[param(minimum = 1, maximum = 1_000, default = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9]{7,17}$")]
    cursor: Option<String>,
}

/// A number in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path, names("phone_number"))]
pub(crate) struct NumberParam(
    /// The number, in international format
    #[param(pattern = "^\\+[0-9]{7,17}$")]
    #[expect(dead_code, reason = "only described")]
    String,
);

impl From<Imported> for AddedBody {
    fn from(imported: Imported) -> Self {
        AddedBody {
            added: imported.numbers.added,
            known: imported.numbers.known,
            bad: imported.bad,
            bad_rows: imported.bad_rows.into_iter().map(BadRowBody::from).collect(),
            note: imported.note,
        }
    }
}

impl From<BadRow> for BadRowBody {
    fn from(BadRow { line, reason }: BadRow) -> Self {
        BadRowBody { line, reason }
    }
}

impl From<DncRow> for NumberBody {
    fn from(row: DncRow) -> Self {
        NumberBody {
            phone_number: row.number.as_str().to_owned(),
            source: row.source.as_str(),
            note: row.note,
            created_at: whole_seconds(row.created_at),
        }
    }
}

fn any_source() -> Object {
    word(DncSource::ALL.map(DncSource::as_str))
}

fn numbers() -> Array {
    let number = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .pattern(Some("^\\+[0-9]{7,17}$"));
    let array = ArrayBuilder::new().items(number).min_items(Some(1));
    array.max_items(Some(MAX_NUMBERS)).build()
}
