//! The database: does it open, is its schema ours, can it be written, can its secrets be read?

use actors::ids::CompanyId;

use crate::config::Config;
use crate::secrets::key_file;
use crate::store::{self, SchemaState, Store, StoreError};

use super::Accounts;
use super::finding::Finding;

/// Gives what is stored of the company.
pub(super) async fn examine(
    config: &Config,
    company: CompanyId,
    findings: &mut Vec<Finding>,
) -> Accounts {
    let store = match open(config).await {
        Ok(store) => store,
        Err(finding) => {
            findings.push(finding);
            return Accounts::default();
        }
    };
    let (finding, state) = schema(&store).await;
    findings.push(finding);
    let accounts = match state {
        Some(SchemaState::Current | SchemaState::Ahead) => {
            findings.push(writable(store.check_writable().await));
            let (finding, accounts) = secrets(&store, company).await;
            findings.push(finding);
            accounts
        }
        // What an older schema has of it counts; what it lacks comes with the migration.
        Some(SchemaState::Behind(_)) => secrets(&store, company).await.1,
        None => Accounts::default(),
    };
    store.close().await;
    accounts
}

async fn open(config: &Config) -> Result<Store, Finding> {
    let url = config.database_url.expose();
    // Opening would make the file, and the key's.
    if let Some(file) = store::database_file(url)
        && !file.exists()
    {
        let detail = format!("{} does not exist yet", file.display());
        let advice = "`callspan serve` makes it at its first start";
        return Err(Finding::warning("database", detail, advice));
    }
    if config.master_key.is_none()
        && let Some(file) = key_file::path_beside(url)
        && !file.exists()
    {
        let detail = format!("the key file {} is missing", file.display());
        let advice = "put back the copy of it, or set CALLSPAN_MASTER_KEY: what is stored cannot \
                      be opened without";
        return Err(Finding::failed("master key", detail, advice));
    }
    let sealer = key_file::load(config.master_key.as_ref(), url).map_err(|error| {
        Finding::failed("master key", error.to_string(), "correct CALLSPAN_MASTER_KEY or the file")
    })?;
    Store::open_as_it_is(url, sealer).await.map_err(|error| {
        let advice = "check DATABASE_URL, and that the database runs and may be used by this user";
        Finding::failed("database", error.to_string(), advice)
    })
}

async fn schema(store: &Store) -> (Finding, Option<SchemaState>) {
    const CHECK: &str = "schema";
    let state = match store.schema().await {
        Ok(state) => state,
        Err(error) => {
            let finding = Finding::failed(CHECK, error.to_string(), "check DATABASE_URL");
            return (finding, None);
        }
    };
    let finding = match state {
        SchemaState::Current => Finding::ok(CHECK, "up to date"),
        SchemaState::Behind(missing) => Finding::warning(
            CHECK,
            format!("{missing} migrations are missing"),
            "run `callspan migrate`, or start the service, which does the same",
        ),
        SchemaState::Ahead => Finding::failed(
            CHECK,
            "a newer version of this program has changed it",
            "run that version, or restore the backup from before the upgrade",
        ),
    };
    (finding, Some(state))
}

fn writable(result: Result<(), StoreError>) -> Finding {
    const CHECK: &str = "database";
    match result {
        Ok(()) => Finding::ok(CHECK, "opens and can be written"),
        Err(error) => {
            let advice = "check the rights of the file and its folder, or that the server is no \
                          replica";
            Finding::failed(CHECK, format!("cannot be written: {error}"), advice)
        }
    }
}

async fn secrets(store: &Store, company: CompanyId) -> (Finding, Accounts) {
    match read(store, company).await {
        Ok(accounts) => {
            let detail = format!("the secrets of company {company} open");
            (Finding::ok("master key", detail), accounts)
        }
        Err(error) => (unreadable(&error), Accounts::default()),
    }
}

async fn read(store: &Store, company: CompanyId) -> Result<Accounts, StoreError> {
    Ok(Accounts {
        twilio: store.twilio_account(company).await?,
        ultravox: store.ultravox_config(company).await?.map(|config| config.account),
    })
}

fn unreadable(error: &StoreError) -> Finding {
    let advice = match error {
        StoreError::Seal(_) | StoreError::MissingKeys { .. } => {
            "give the key the secrets were stored under, after a comma when there is a new one"
        }
        _ => "correct the value that is named, or set it again",
    };
    Finding::failed("master key", error.to_string(), advice)
}
