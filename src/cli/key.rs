//! `callspan key`: who may ask the REST API, beside a running service.
//!
//! A key is shown once, alone on standard output, and only its hash is kept.

use std::ffi::OsString;
use std::process::ExitCode;

use actors::ids::CompanyId;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};
use secrecy::ExposeSecret as _;
use serde_json::{Map, json};

use crate::api::api_keys::{self, KeyBody, KeyPage};
use crate::api::companies;
use crate::config::{Layers, with_database_settings};
use crate::store::{KeyRow, Store};

use super::admin::{self, AdminError, Database};
use super::output::{print, say};
use super::table::{plain, table};

/// Keys that are read at once.
const PAGE: u32 = 1_000;

pub(super) fn command() -> Command {
    let company = Arg::new("company")
        .long("company")
        .value_name("ID")
        .value_parser(value_parser!(i64).range(1..));
    let create = Command::new("create")
        .about("Makes a key and prints it, this once")
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("NAME")
                .required(true)
                .help("What people call it"),
        )
        .arg(company.clone().help("The key is good for this company"))
        .arg(
            Arg::new("admin")
                .long("admin")
                .action(ArgAction::SetTrue)
                .help("The key is good for every company, and for administration"),
        )
        .group(ArgGroup::new("whose").args(["company", "admin"]).required(true));
    let list = Command::new("list")
        .about("Lists keys without the keys themselves, newest first")
        .arg(company.help("Only this company's"))
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Prints JSON, as the REST API does"),
        );
    let revoke = Command::new("revoke")
        .about("Makes a key useless from the next request on")
        .arg(Arg::new("id").value_name("ID").required(true).help("What `key list` calls ID"));
    Command::new("key")
        .about("Makes, lists and revokes API keys, beside a running service")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(admin::EXIT_CODES)
        .subcommands(
            [create, list, revoke]
                .map(|command| with_database_settings(command).after_help(admin::EXIT_CODES)),
        )
}

pub(super) async fn run(matches: &ArgMatches, env: impl Fn(&str) -> Option<OsString>) -> ExitCode {
    let (name, matches) = matches.subcommand().expect("clap asks for one");
    let layers = admin::layers(matches, env);
    let result = match name {
        "create" => create(matches, &layers).await,
        "list" => list(matches, &layers).await,
        "revoke" => revoke(matches, &layers).await,
        other => unreachable!("clap lets no {other} through"),
    };
    admin::end(result)
}

async fn create(matches: &ArgMatches, layers: &Layers) -> Result<(), AdminError> {
    let company: Option<i64> = matches.get_one("company").copied();
    let name: &String = matches.get_one("name").expect("it is required");
    let wanted = Map::from_iter([
        ("name".to_owned(), json!(name)),
        ("company_id".to_owned(), json!(company)),
    ]);
    let store = admin::open(layers, Database::Existing).await?;
    let made = async {
        if let Some(company) = company {
            companies::find(&store, CompanyId(company)).await?;
        }
        api_keys::make(&store, wanted).await
    };
    let made = made.await;
    store.close().await;
    let (new, key) = made?;
    let whose = match new.company {
        Some(company) => format!("good for company {company}"),
        None => "an admin key, good for every company".to_owned(),
    };
    let (id, name) = (&new.id, plain(&new.name));
    say(&format!("{id} ({name}), {whose}; send it as X-API-Key. It is not shown again:"));
    print(key.expose_secret());
    Ok(())
}

async fn list(matches: &ArgMatches, layers: &Layers) -> Result<(), AdminError> {
    let company = matches.get_one("company").copied().map(CompanyId);
    let store = admin::open(layers, Database::Existing).await?;
    let rows = all(&store, company).await;
    store.close().await;
    let rows = rows?;
    match matches.get_flag("json") {
        true => {
            let api_keys = rows.into_iter().map(KeyBody::from).collect();
            let page = KeyPage { api_keys, next_after: None };
            print(&serde_json::to_string(&page).expect("an answer is plain data"));
        }
        false => print(&shown(&rows)),
    }
    Ok(())
}

async fn revoke(matches: &ArgMatches, layers: &Layers) -> Result<(), AdminError> {
    let id: &String = matches.get_one("id").expect("it is required");
    let store = admin::open(layers, Database::Existing).await?;
    let annulled = api_keys::annul(&store, id).await;
    store.close().await;
    annulled?;
    say(&format!("{id} is revoked"));
    Ok(())
}

async fn all(store: &Store, company: Option<CompanyId>) -> Result<Vec<KeyRow>, AdminError> {
    let mut rows: Vec<KeyRow> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.id.as_str());
        let page = store.api_keys(company, after, PAGE).await?;
        let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        rows.extend(page);
        if is_last {
            return Ok(rows);
        }
    }
}

fn shown(rows: &[KeyRow]) -> String {
    let row = |row: &KeyRow| {
        let company = row.company.map_or("every".to_owned(), |company| company.to_string());
        let revoked = row.revoked_at.map_or("-".to_owned(), |at| at.to_string());
        let created = row.created_at.to_string();
        vec![row.id.clone(), row.prefix.clone(), company, row.name.clone(), created, revoked]
    };
    let titles = ["ID", "PREFIX", "COMPANY", "NAME", "CREATED", "REVOKED"];
    table(&titles, &rows.iter().map(row).collect::<Vec<_>>())
}
