//! `callspan dnc`: whom a company must not call, beside a running service.
//!
//! What is added here is refused from the next call on. `check` succeeds only for a number that may
//! be called, so that a script which dials after it calls nobody by mistake.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;

use actors::ids::{CompanyId, PhoneNumber};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use jiff::Timestamp;

use crate::api::companies;
use crate::api::do_not_call::{
    Import, ImportError, Imported, MAX_NOTE_CHARS, NumberBody, NumberPage,
};
use crate::config::{Layers, with_database_settings};
use crate::store::{Added, DncRow, DncSource, NewDoNotCall, Store};
use crate::upload::phone_number_of;

use super::admin::{self, AdminError, Database};
use super::output::{print, say};
use super::table::table;

/// Numbers that are read at once.
const PAGE: u32 = 1_000;

/// Bytes of a file that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// The number is on the list; some rows could not be used; a number was not on the list.
const NOT_ALL: u8 = 3;

const EXIT_CODES: &str = "\
Exit codes:
  0  done; `check`: the number may be called
  1  failed: the database, or what is asked for is not to be had
  2  the command line, the configuration or the file is not what it should be
  3  `check`: the number is on the list; `remove`: a number was not on it;
     `import`: some rows could not be used, all others are on the list";

pub(super) fn command() -> Command {
    let company = Arg::new("company")
        .long("company")
        .value_name("ID")
        .value_parser(value_parser!(i64).range(1..))
        .default_value("1")
        .help("Whose list");
    let number = |name: &'static str| {
        Arg::new(name)
            .value_name("NUMBER")
            .required(true)
            .value_parser(phone_number)
            .help("In international format, such as +12125550123")
    };
    let numbers = || number("numbers").action(ArgAction::Append).num_args(1..);
    let add = Command::new("add").about("Puts numbers on the list").arg(numbers()).arg(
        Arg::new("note")
            .long("note")
            .value_name("TEXT")
            .value_parser(note)
            .help("What is to be remembered of them"),
    );
    let import = Command::new("import").about("Puts the numbers of a CSV file on the list").arg(
        Arg::new("file").value_name("FILE").required(true).help(
            "Its first line names a column phone_number, and if need be a column note; - is \
             standard input",
        ),
    );
    let list = Command::new("list").about("Shows the list, by number").arg(
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .help("Prints JSON, as the REST API does"),
    );
    let remove = Command::new("remove").about("Takes numbers off the list").arg(numbers());
    let check =
        Command::new("check").about("Says whether a number may be called").arg(number("number"));
    Command::new("dnc")
        .about("Keeps the list of numbers that a company must not call, beside a running service")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(EXIT_CODES)
        .subcommands([add, import, list, remove, check].map(|command| {
            with_database_settings(command.arg(company.clone())).after_help(EXIT_CODES)
        }))
}

pub(super) async fn run(matches: &ArgMatches, env: impl Fn(&str) -> Option<OsString>) -> ExitCode {
    let (name, matches) = matches.subcommand().expect("clap asks for one");
    let layers = admin::layers(matches, env);
    let result = work(name, matches, &layers).await;
    match result {
        Ok(code) => code,
        Err(error) => admin::end(Err(error)),
    }
}

async fn work(name: &str, matches: &ArgMatches, layers: &Layers) -> Result<ExitCode, AdminError> {
    // A file that is not there is told before a database is looked for.
    let file = match name {
        "import" => Some(opened(matches.get_one::<String>("file").expect("it is required"))?),
        _ => None,
    };
    let company = CompanyId(*matches.get_one("company").expect("it has a default"));
    let store = admin::open(layers, Database::Existing).await?;
    let done = async {
        companies::find(&store, company).await?;
        match (name, file) {
            ("add", _) => add(matches, &store, company).await,
            ("import", Some(file)) => import(file, &store, company).await,
            ("list", _) => list(matches, &store, company).await,
            ("remove", _) => remove(matches, &store, company).await,
            ("check", _) => check(matches, &store, company).await,
            (other, _) => unreachable!("clap lets no {other} through"),
        }
    };
    let done = done.await;
    store.close().await;
    done
}

async fn add(
    matches: &ArgMatches,
    store: &Store,
    company: CompanyId,
) -> Result<ExitCode, AdminError> {
    let note: Option<&String> = matches.get_one("note");
    let new = |number: &PhoneNumber| NewDoNotCall {
        number: number.clone(),
        source: DncSource::Cli,
        note: note.cloned(),
    };
    let numbers: Vec<NewDoNotCall> = given(matches).map(new).collect();
    say(&told(store.add_do_not_call(company, &numbers, Timestamp::now()).await?));
    Ok(ExitCode::SUCCESS)
}

async fn import(
    mut file: Box<dyn Read>,
    store: &Store,
    company: CompanyId,
) -> Result<ExitCode, AdminError> {
    let mut import = Import::new(store, company, DncSource::Cli);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let failed = |error| AdminError::Usage(format!("the file cannot be read: {error}"));
        match file.read(&mut chunk).map_err(failed)? {
            0 => break,
            length => import.push(&chunk[..length]).await?,
        }
    }
    let Imported { numbers, bad, bad_rows, note } = import.finish().await?;
    for row in &bad_rows {
        say(&row.to_string());
    }
    if let Some(note) = note {
        say(&note);
    }
    match bad {
        0 => say(&told(numbers)),
        bad => say(&format!("{}, bad rows: {bad}", told(numbers))),
    }
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::from(NOT_ALL) })
}

async fn list(
    matches: &ArgMatches,
    store: &Store,
    company: CompanyId,
) -> Result<ExitCode, AdminError> {
    let mut rows: Vec<DncRow> = Vec::new();
    loop {
        let after = rows.last().map(|row| &row.number);
        let page = store.do_not_call(company, after, PAGE).await?;
        let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        rows.extend(page);
        if is_last {
            break;
        }
    }
    match matches.get_flag("json") {
        true => {
            let numbers = rows.into_iter().map(NumberBody::from).collect();
            let page = NumberPage { numbers, next_cursor: None };
            print(&serde_json::to_string(&page).expect("an answer is plain data"));
        }
        false => print(&shown(&rows)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn remove(
    matches: &ArgMatches,
    store: &Store,
    company: CompanyId,
) -> Result<ExitCode, AdminError> {
    let mut code = ExitCode::SUCCESS;
    for number in given(matches) {
        match store.remove_do_not_call(company, number).await? {
            true => say(&format!("{} is off the list", number.as_str())),
            false => {
                say(&format!("{} was not on the list", number.as_str()));
                code = ExitCode::from(NOT_ALL);
            }
        }
    }
    Ok(code)
}

async fn check(
    matches: &ArgMatches,
    store: &Store,
    company: CompanyId,
) -> Result<ExitCode, AdminError> {
    let number: &PhoneNumber = matches.get_one("number").expect("it is required");
    match store.is_do_not_call(company, number).await? {
        None => {
            say(&format!("{} is not on the list", number.as_str()));
            Ok(ExitCode::SUCCESS)
        }
        Some(row) => {
            print(&shown(&[row]));
            Ok(ExitCode::from(NOT_ALL))
        }
    }
}

fn given(matches: &ArgMatches) -> impl Iterator<Item = &PhoneNumber> {
    matches.get_many("numbers").expect("they are required")
}

fn phone_number(text: &str) -> Result<PhoneNumber, String> {
    phone_number_of(text).map_err(|why| format!("it {why}"))
}

/// As the REST API has it.
fn note(text: &str) -> Result<String, String> {
    match (1..=MAX_NOTE_CHARS).contains(&text.chars().count()) {
        true => Ok(text.to_owned()),
        false => Err(format!("it must have 1 to {MAX_NOTE_CHARS} characters")),
    }
}

fn opened(path: &str) -> Result<Box<dyn Read>, AdminError> {
    match path {
        "-" => Ok(Box::new(io::stdin())),
        path => match File::open(path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(AdminError::Usage(format!("{path} cannot be opened: {error}"))),
        },
    }
}

fn told(Added { added, known }: Added) -> String {
    format!("new on the list: {added}, on it before: {known}")
}

fn shown(rows: &[DncRow]) -> String {
    let row = |row: &DncRow| {
        let note = row.note.clone().unwrap_or_else(|| "-".to_owned());
        let since = row.created_at.to_string();
        vec![row.number.as_str().to_owned(), row.source.to_string(), since, note]
    };
    table(&["NUMBER", "SOURCE", "SINCE", "NOTE"], &rows.iter().map(row).collect::<Vec<_>>())
}

impl From<ImportError> for AdminError {
    fn from(error: ImportError) -> Self {
        match error {
            // The same words as the REST API's.
            ImportError::Csv(error) => AdminError::Api(Box::new(error.into())),
            ImportError::Store(error) => AdminError::Store(error),
        }
    }
}
