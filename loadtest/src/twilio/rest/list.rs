//! `GET …/Calls.json`

use std::sync::Arc;

use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use super::resource;
use crate::twilio::account::Account;
use crate::twilio::call::Call;
use crate::twilio::webhook::encode_form;
use crate::twilio::world::World;

const KNOWN: &[&str] = &[
    "To",
    "From",
    "ParentCallSid",
    "Status",
    "StartTime",
    "StartTime<",
    "StartTime>",
    "EndTime",
    "EndTime<",
    "EndTime>",
    "PageSize",
    "Page",
    "PageToken",
];

/// A page of an account's calls, newest first.
pub(crate) fn list(
    world: &Arc<World>,
    account: &Arc<Account>,
    params: &Params,
) -> Result<Value, ApiError> {
    for strange in params.strange(KNOWN, &[]) {
        world.violation(None, format!("list calls: {strange}"));
    }
    let page_size: usize = params.number("PageSize", (1, 1_000), 20_001)?.unwrap_or(50);
    let page: usize = params.number("Page", (0, usize::MAX / 1_000), 20_001)?.unwrap_or(0);
    if page > 0 && params.get("PageToken").is_none() {
        world.violation(None, "list calls: Page without the PageToken of next_page_uri");
    }
    let delay = world.options.consistency_delay;
    let wanted = |call: &&Arc<Call>| {
        let is = |name: &str, value: &str| params.get(name).is_none_or(|wanted| wanted == value);
        call.account_sid == account.options.sid
            && params.get("ParentCallSid").is_none()
            && is("To", &call.to)
            && is("From", &call.from)
            && is("Status", call.state().seen(delay).status.as_str())
            && within_times(call, params)
    };
    let all = world.calls();
    let found: Vec<_> = all.iter().rev().filter(wanted).collect();
    let start = page.saturating_mul(page_size).min(found.len());
    let end = start.saturating_add(page_size).min(found.len());
    let calls: Vec<Value> = found[start..end]
        .iter()
        .map(|call| resource::seen(call, resource::number_sid(account, &call.from), delay))
        .collect();

    let base = format!("/2010-04-01/Accounts/{}/Calls.json", account.options.sid);
    let uri = |page: usize, token: bool| {
        let paging = ["PageSize", "Page", "PageToken"];
        let mut query: Vec<_> = params.pairs().to_vec();
        query.retain(|(name, _)| !paging.contains(&&**name));
        query.push(("PageSize".to_owned(), page_size.to_string()));
        query.push(("Page".to_owned(), page.to_string()));
        if token {
            query.push(("PageToken".to_owned(), format!("PA{page}")));
        }
        format!("{base}?{}", encode_form(&query))
    };
    Ok(json!({
        "calls": calls,
        "page": page,
        "page_size": page_size,
        "start": start,
        "end": end.saturating_sub(1),
        "uri": uri(page, page > 0),
        "first_page_uri": uri(0, false),
        "previous_page_uri": (page > 0).then(|| uri(page - 1, page > 1)),
        "next_page_uri": (end < found.len()).then(|| uri(page + 1, true)),
    }))
}

/// Times are compared by day, as Twilio does with dates.
fn within_times(call: &Call, params: &Params) -> bool {
    let now = call.state().now().clone();
    let day = |at: Option<jiff::Timestamp>| at.map(|at| at.strftime("%Y-%m-%d").to_string());
    for (field, day) in [("StartTime", day(now.start_time)), ("EndTime", day(now.end_time))] {
        for (operator, wanted) in ["", "<", ">"].map(|op| (op, params.get(&format!("{field}{op}"))))
        {
            let Some(wanted) = wanted else { continue };
            let Some(day) = &day else { return false };
            let wanted = wanted.get(..10).unwrap_or(wanted);
            let fits = match operator {
                "<" => &**day <= wanted,
                ">" => &**day >= wanted,
                _ => &**day == wanted,
            };
            if !fits {
                return false;
            }
        }
    }
    true
}
