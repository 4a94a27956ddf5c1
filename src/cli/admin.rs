//! What the commands share that work on the database beside a running service: how they open it,
//! and how they end.
//!
//! They follow the rules of the REST API and speak its words, because they go through the same
//! functions.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use actix_web::ResponseError as _;
use actix_web::http::StatusCode;
use clap::ArgMatches;

use crate::api::ApiError;
use crate::config::{ConfigErrors, DatabaseConfig, Layers, LogFormat};
use crate::secrets::key_file::{self, KeyError};
use crate::store::{Store, StoreError, database_file};

use super::BAD_CONFIGURATION;
use super::output::{say, start_logging};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: the database, or what is asked for is not to be had
  2  the command line or the configuration is not what it should be";

/// What goes wrong is told anyway; a new key file must be known of.
const LOG_FILTER: &str = "warn,callspan::secrets=info";

/// Why a command did not do what it was asked. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error("{0}")]
    Usage(String),
    #[error(
        "there is no database at {} yet: `callspan serve` makes it at its first start, and so does \
         `callspan company add`", path.display()
    )]
    NoDatabase { path: PathBuf },
    #[error(
        "the key file {} is missing: put back the copy of it, or set CALLSPAN_MASTER_KEY",
        path.display()
    )]
    NoKeyFile { path: PathBuf },
    #[error("the master key: {0}")]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Api(Box<ApiError>),
}

impl From<ApiError> for AdminError {
    fn from(error: ApiError) -> Self {
        AdminError::Api(Box::new(error))
    }
}

impl AdminError {
    fn exit_code(&self) -> ExitCode {
        match self {
            AdminError::Config(_) | AdminError::Usage(_) => ExitCode::from(BAD_CONFIGURATION),
            AdminError::Api(error) if error.status_code() == StatusCode::BAD_REQUEST => {
                ExitCode::from(BAD_CONFIGURATION)
            }
            _ => ExitCode::FAILURE,
        }
    }
}

/// Whether a command is content with a database that is not there yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Database {
    /// It must be there: a mistyped name must not make an empty one.
    Existing,
    /// It is made, with everything that belongs to it.
    Made,
}

/// The places values come from. Opens the log too, so it is to be called once.
pub(super) fn layers(matches: &ArgMatches, env: impl Fn(&str) -> Option<OsString>) -> Layers {
    start_logging(LOG_FILTER, Some(LogFormat::Pretty));
    Layers::gather(matches, env)
}

/// Opens the database as the service does. Whoever is given a store closes it.
pub(super) async fn open(layers: &Layers, database: Database) -> Result<Store, AdminError> {
    let config = DatabaseConfig::load(layers)?;
    let url = config.url.expose();
    if let Some(path) = database_file(url) {
        let key_file = key_file::path_beside(url).filter(|_| config.master_key.is_none());
        match (path.exists(), key_file.filter(|file| !file.exists())) {
            (false, _) if database == Database::Existing => {
                return Err(AdminError::NoDatabase { path });
            }
            // Another key would be made, which opens nothing.
            (true, Some(path)) => return Err(AdminError::NoKeyFile { path }),
            _ => {}
        }
    }
    let sealer = key_file::load(config.master_key.as_ref(), url)?;
    Ok(Store::connect(url, sealer).await?)
}

/// Tells how a command went, by words and by the exit code.
pub(super) fn end(result: Result<(), AdminError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            error.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_of_the_person_is_told_from_a_failure() {
        let code = |error: AdminError| format!("{:?}", error.exit_code());
        let (failure, mistake) =
            (format!("{:?}", ExitCode::FAILURE), format!("{:?}", ExitCode::from(2)));
        assert_eq!(code(ApiError::invalid_field("name", "is required").into()), mistake);
        assert_eq!(code(AdminError::Usage("no".to_owned())), mistake);
        assert_eq!(code(AdminError::Config(ConfigErrors(Vec::new()))), mistake);
        assert_eq!(code(ApiError::not_found("no", "no").into()), failure);
        assert_eq!(code(ApiError::conflict("no", "no").into()), failure);
        assert_eq!(code(KeyError::Required.into()), failure);
    }
}
