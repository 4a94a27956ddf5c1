//! All campaigns of a company.

use clap::ArgMatches;
use serde_json::{Value, json};

use crate::cli::output::print;
use crate::cli::service::{Service, ServiceError};

use super::{CAMPAIGNS, view};

pub(super) async fn run(matches: &ArgMatches, service: &Service) -> Result<(), ServiceError> {
    let campaigns = all(service, matches.get_one::<String>("state")).await?;
    match matches.get_flag("json") {
        true => print(&json!({ "campaigns": campaigns, "next_cursor": null }).to_string()),
        false => print(&view::campaigns(&campaigns)),
    }
    Ok(())
}

/// Newest first, as the API gives them.
async fn all(service: &Service, state: Option<&String>) -> Result<Vec<Value>, ServiceError> {
    let (mut campaigns, mut cursor) = (Vec::new(), None);
    loop {
        let request = || {
            let page = service.get(CAMPAIGNS).query(&[("limit", "1000")]);
            let page = page.query(&state.map(|state| [("state", state)]));
            page.query(&cursor.as_ref().map(|cursor| [("cursor", cursor)]))
        };
        let mut page = service.ask(request).await?;
        match page["campaigns"].take() {
            Value::Array(some) => campaigns.extend(some),
            _ => return Err(ServiceError::Unreadable("has no campaigns")),
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(campaigns),
        }
    }
}
