//! `callspan company`: companies and how each reaches its vendors, beside a running service.
//!
//! A command line becomes the body that the REST API would get for the same wish, and goes through
//! the same rules. Secrets come from the environment or from standard input, because others can
//! see a command line, and are never shown.

mod arguments;
mod secrets;
mod view;
mod wanted;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use actors::ids::CompanyId;
use clap::{ArgMatches, Command};

use crate::api::companies::{self, CompanyBody, CompanyPage};
use crate::config::{Layers, with_database_settings};
use crate::store::{CompanyRow, Store};

use super::admin::{self, AdminError, Database};
use super::output::{print, say};
use super::table::plain;
use secrets::Secrets;

/// Companies that are read at once.
const PAGE: u32 = 1_000;

pub(super) fn command() -> Command {
    Command::new("company")
        .about("Adds, shows, changes and removes companies, beside a running service")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(admin::EXIT_CODES)
        .subcommands(arguments::commands().map(|command| {
            let known = command.get_after_help().map(|help| format!("{help}\n\n"));
            let help = known.unwrap_or_default() + admin::EXIT_CODES;
            with_database_settings(command).after_help(help)
        }))
}

pub(super) async fn run(matches: &ArgMatches, env: impl Fn(&str) -> Option<OsString>) -> ExitCode {
    let (name, matches) = matches.subcommand().expect("clap asks for one");
    let layers = admin::layers(matches, env);
    let result = match name {
        "add" => add(matches, &layers).await,
        "list" => list(matches, &layers).await,
        "show" => show(matches, &layers).await,
        "set" => set(matches, &layers).await,
        "remove" => remove(matches, &layers).await,
        other => unreachable!("clap lets no {other} through"),
    };
    admin::end(result)
}

async fn add(matches: &ArgMatches, layers: &Layers) -> Result<(), AdminError> {
    let secrets = Secrets::of_new(matches, layers)?;
    let wanted = wanted::body(matches, &secrets)?;
    let store = admin::open(layers, Database::Made).await?;
    let added = async {
        store.check_secrets().await?;
        Ok(companies::add(&store, wanted).await?)
    };
    let added: Result<CompanyRow, AdminError> = added.await;
    store.close().await;
    let row = added?;
    say(&format!("company {} ({}) is added{}", row.id, plain(&row.name), secrets.told()));
    print(&row.id.to_string());
    Ok(())
}

async fn list(matches: &ArgMatches, layers: &Layers) -> Result<(), AdminError> {
    let store = admin::open(layers, Database::Existing).await?;
    let rows = all(&store).await;
    store.close().await;
    let rows = rows?;
    match matches.get_flag("json") {
        true => {
            let companies = rows.iter().map(CompanyBody::from).collect();
            print(&json(&CompanyPage { companies, next_after: None }));
        }
        false => print(&view::list(&rows)),
    }
    Ok(())
}

async fn show(matches: &ArgMatches, layers: &Layers) -> Result<(), AdminError> {
    let store = admin::open(layers, Database::Existing).await?;
    let row = companies::find(&store, id(matches)).await;
    store.close().await;
    let row = row?;
    match matches.get_flag("json") {
        true => print(&json(&CompanyBody::from(&row))),
        false => print(&view::one(&row)),
    }
    Ok(())
}

async fn set(matches: &ArgMatches, layers: &Layers) -> Result<(), AdminError> {
    let secrets = Secrets::of_known(matches, layers)?;
    let wanted = wanted::body(matches, &secrets)?;
    if wanted.is_empty() {
        return Err(AdminError::Usage(secrets::nothing_to_change(layers)));
    }
    let store = admin::open(layers, Database::Existing).await?;
    let changed = async {
        store.check_secrets().await?;
        Ok(companies::change(&store, id(matches), wanted).await?)
    };
    let changed: Result<CompanyRow, AdminError> = changed.await;
    store.close().await;
    let row = changed?;
    say(&format!("company {} ({}) is changed{}", row.id, plain(&row.name), secrets.told()));
    Ok(())
}

async fn remove(matches: &ArgMatches, layers: &Layers) -> Result<(), AdminError> {
    let is_sure = matches.get_flag("yes");
    if !is_sure && !io::stdin().is_terminal() {
        let message = "--yes is needed where nobody can be asked".to_owned();
        return Err(AdminError::Usage(message));
    }
    let store = admin::open(layers, Database::Existing).await?;
    let removed = async {
        let row = companies::find(&store, id(matches)).await?;
        if !is_sure && !is_confirmed(&row) {
            return Err(AdminError::Usage("nothing is removed".to_owned()));
        }
        companies::remove(&store, row.id).await?;
        say(&format!("company {} ({}) is removed", row.id, plain(&row.name)));
        Ok(())
    };
    let removed = removed.await;
    store.close().await;
    removed
}

/// Asks the person at the terminal.
fn is_confirmed(row: &CompanyRow) -> bool {
    let (id, name) = (row.id, plain(&row.name));
    say(&format!(
        "Company {id} ({name}) is to be removed with its agents, calls and keys. Type its number to \
         go on:"
    ));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && answer.trim() == id.to_string()
}

async fn all(store: &Store) -> Result<Vec<CompanyRow>, AdminError> {
    let mut rows: Vec<CompanyRow> = Vec::new();
    loop {
        let page = store.companies(rows.last().map(|row| row.id), PAGE).await?;
        let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        rows.extend(page);
        if is_last {
            return Ok(rows);
        }
    }
}

fn id(matches: &ArgMatches) -> CompanyId {
    CompanyId(matches.get_one("id").copied().expect("it is required"))
}

fn json(body: &impl serde::Serialize) -> String {
    serde_json::to_string(body).expect("an answer is plain data")
}
