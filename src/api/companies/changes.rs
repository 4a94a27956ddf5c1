//! Making, changing and removing companies: what the REST API and the command line do alike, with
//! the same rules and the same words.

use actors::ids::CompanyId;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::api::error::ApiError;
use crate::store::{CompanyRow, CompanySettings, Removed, Store};

use super::settings::{self, Whose};

/// Makes the company that is described.
pub(crate) async fn add(store: &Store, wanted: Map<String, Value>) -> Result<CompanyRow, ApiError> {
    let settings = settings::parse(wanted, Whose::New)?;
    agents_exist(store, None, &settings).await?;
    let id = store.insert_company(&settings, Timestamp::now()).await?;
    find(store, id).await
}

/// Changes the fields that are given; null clears what may be empty.
pub(crate) async fn change(
    store: &Store,
    id: CompanyId,
    wanted: Map<String, Value>,
) -> Result<CompanyRow, ApiError> {
    let patch = settings::parse(wanted, Whose::Known)?;
    agents_exist(store, Some(id), &patch).await?;
    match store.update_company(id, &patch, Timestamp::now()).await? {
        true => find(store, id).await,
        false => Err(unknown(id)),
    }
}

/// Removes a company and everything of it, unless somebody is talking.
pub(crate) async fn remove(store: &Store, id: CompanyId) -> Result<(), ApiError> {
    match store.remove_company(id).await? {
        Removed::Removed => Ok(()),
        Removed::Unknown => Err(unknown(id)),
        Removed::HasLiveCalls => {
            let message = format!("Company {id} has live calls; end them first");
            Err(ApiError::conflict("company_has_live_calls", message))
        }
    }
}

/// One company.
pub(crate) async fn find(store: &Store, id: CompanyId) -> Result<CompanyRow, ApiError> {
    store.company(id).await?.ok_or_else(|| unknown(id))
}

/// Only agents of the company's own may answer its numbers.
async fn agents_exist(
    store: &Store,
    company: Option<CompanyId>,
    settings: &CompanySettings,
) -> Result<(), ApiError> {
    let numbers = settings.numbers.iter().flatten();
    let of_numbers = numbers.filter_map(|route| Some(("numbers", route.agent.as_ref()?)));
    let of_company = settings.inbound_agent.iter().flatten().map(|id| ("inbound_agent_id", id));
    for (field, id) in of_company.chain(of_numbers) {
        let agent = match company {
            Some(company) => store.agent(company, id).await?,
            None => None,
        };
        if agent.is_none() {
            let why = format!("must name an agent of this company, which {id} is not");
            return Err(ApiError::invalid_field(field, why));
        }
    }
    Ok(())
}

fn unknown(id: CompanyId) -> ApiError {
    ApiError::not_found("company_not_found", format!("There is no company {id}"))
}
