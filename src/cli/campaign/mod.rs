//! `callspan campaign`: has a running service call many numbers, and shows how it gets on.
//!
//! The campaign is the service's: it goes on when the command that began it is stopped, and whoever
//! comes back sees it where it is then. What went wrong is told by the exit code, for scripts.

mod follow;
mod list;
mod order;
mod progress;
mod results;
mod screen;
mod sse;
mod upload;
mod view;

use std::ffi::OsString;
use std::io;
use std::pin::pin;
use std::process::ExitCode;

use actors::campaign::RecipientState;
use actors::ids::CampaignId;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use crate::store::CampaignState;

use super::context::ContextError;
use super::output::{print, say};
use super::service::{self, Service, ServiceError};
use super::table::plain;
use progress::Progress;
use screen::Screen;
use upload::Upload;

const CAMPAIGNS: &str = "/api/v1/campaigns";

/// The campaign was canceled.
const CANCELED: u8 = 5;
/// It has paused itself.
const PAUSED: u8 = 6;
/// As a shell has it when somebody presses Ctrl-C.
const INTERRUPTED: u8 = 130;

const EXIT_CODES: &str = "\
The key comes from CALLSPAN_API_KEY, or else CALLSPAN_ADMIN_KEY. The service is the one at --url, \
or else CALLSPAN_URL, or else at http:// and CALLSPAN_BIND (127.0.0.1:8000).

Exit codes:
  0  done; of `run` and `show --follow`: the campaign is completed
  1  the service or a vendor failed, or its answer to an upload got lost
  2  the command line, the environment or a file is not what it should be
  3  the service refused: a wrong key, wrong settings, nobody to call, no such campaign,
     a campaign in another state
  4  the service cannot be reached
  5  `run`, `show --follow`: the campaign was canceled
  6  `run`, `show --follow`: the campaign has paused itself, and says why
  130  `run`, `show --follow`: stopped by Ctrl-C; the campaign goes on";

pub(super) fn command() -> Command {
    let switch = |name, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let json = || switch("json", "Prints JSON, as the REST API does");
    let state = |help, states: Vec<&'static str>| {
        let states = PossibleValuesParser::new(states);
        Arg::new("state").long("state").value_name("STATE").value_parser(states).help(help)
    };
    let company = Arg::new("company")
        .long("company")
        .value_name("N")
        .value_parser(value_parser!(i64).range(1..))
        .help("Company that calls, for an admin key [default: 1]");
    let id = Arg::new("id")
        .value_name("ID")
        .required(true)
        .value_parser(|text: &str| text.parse::<CampaignId>().map_err(|error| error.to_string()))
        .help("The campaign's id");
    let run = Command::new("run")
        .about("Uploads numbers, has them called, and shows how that gets on to its end")
        .arg(Arg::new("file").value_name("FILE").required(true).help(
            "A CSV file whose first line names a column phone_number, if need be timezone, \
             priority and not_before, and template variables; - is standard input",
        ))
        .args(order::arguments())
        .arg(switch("detach", "Ends when the campaign runs, and prints its id only"))
        .arg(json());
    let list = Command::new("list")
        .about("Shows campaigns, newest first")
        .arg(state("Only those that stand so", CampaignState::ALL.map(|it| it.as_str()).to_vec()))
        .arg(json());
    let show = Command::new("show")
        .about("Shows a campaign")
        .arg(id.clone())
        .arg(switch("follow", "Shows how it gets on to its end"))
        .arg(json());
    let pause = Command::new("pause").about("Stops new calls; calls under way go on");
    let resume = Command::new("resume").about("Lets a paused campaign go on");
    let cancel = Command::new("cancel")
        .about("Ends a campaign for good")
        .arg(switch("end-calls", "Ends calls that are under way, too"));
    let [pause, resume, cancel] =
        [pause, resume, cancel].map(|command| command.arg(id.clone()).arg(json()));
    let number = |name, help| Arg::new(name).long(name).value_name("N").help(help);
    let results = Command::new("results")
        .about("Shows what became of each number")
        .arg(id)
        .arg(
            Arg::new("csv")
                .long("csv")
                .value_name("FILE")
                .conflicts_with_all(["json", "limit", "after"])
                .help("Writes all of them to a CSV file; - is standard output"),
        )
        .arg(state("Only those that stand so", RecipientState::ALL.map(|it| it.as_str()).to_vec()))
        .arg(
            number("limit", "At most so many")
                .value_parser(value_parser!(u16).range(1..=1_000))
                .default_value("100"),
        )
        .arg(number("after", "Only those after this place").value_parser(value_parser!(u32)))
        .arg(json());
    Command::new("campaign")
        .about("Has a running service call many numbers")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(EXIT_CODES)
        .subcommands([run, list, show, pause, resume, cancel, results].map(|command| {
            command.arg(company.clone()).arg(service::url_argument()).after_help(EXIT_CODES)
        }))
}

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
enum CampaignError {
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error("{name}: {source}")]
    File { name: String, source: io::Error },
    #[error(
        "{0}\nwhether there is a campaign now is not known: see `callspan campaign list` before \
         you try again"
    )]
    Unsure(ServiceError),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl CampaignError {
    fn exit_code(&self) -> u8 {
        match self {
            CampaignError::Context(_) | CampaignError::File { .. } => 2,
            CampaignError::Unsure(_) => 1,
            CampaignError::Service(error) => error.exit_code(),
        }
    }

    /// For a terminal, which nothing of it commands: a message, and what it is about.
    fn told(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.to_string().lines().map(plain).collect();
        if let CampaignError::Service(ServiceError::Refused { details, .. }) = self {
            let rows = details["rejected"].as_array().into_iter().flatten();
            lines.extend(rows.filter_map(Value::as_str).map(plain));
        }
        lines
    }
}

pub(super) async fn run(matches: &ArgMatches, env: impl Fn(&str) -> Option<OsString>) -> ExitCode {
    let (name, matches) = matches.subcommand().expect("clap asks for one");
    let company = matches.get_one("company").copied();
    let done = match Service::of(matches, env, company) {
        Ok(service) => work(name, matches, &service).await,
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            error.told().iter().for_each(|line| say(line));
            ExitCode::from(error.exit_code())
        }
    }
}

async fn work(name: &str, matches: &ArgMatches, service: &Service) -> Result<u8, CampaignError> {
    match name {
        "run" => return begin(matches, service).await,
        "list" => list::run(matches, service).await?,
        "show" => return show(matches, service).await,
        "pause" => change(matches, service, "/pause", json!({})).await?,
        "resume" => change(matches, service, "/resume", json!({})).await?,
        "cancel" => {
            let body = json!({ "end_live_calls": matches.get_flag("end-calls") });
            change(matches, service, "/cancel", body).await?;
        }
        "results" => results::run(matches, service, id_of(matches)).await?,
        other => unreachable!("clap lets no {other} through"),
    }
    Ok(0)
}

/// Makes a campaign, and follows it.
async fn begin(matches: &ArgMatches, service: &Service) -> Result<u8, CampaignError> {
    let file = matches.get_one::<String>("file").expect("it is required");
    let query = order::query(matches, file)?;
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let made = async { Upload::open(file).await?.send(service, &query).await };
    let answer = tokio::select! {
        answer = made => answer?,
        _ = &mut interrupted => {
            say(&format!(
                "stopped before the service had answered: if it has taken the whole list, \
                 `callspan campaign list{}` shows the campaign",
                where_it_is(matches)
            ));
            return Ok(INTERRUPTED);
        }
    };
    upload::told(&answer).iter().for_each(|line| say(line));
    let json = matches.get_flag("json");
    if json {
        print(&answer.to_string());
    }
    if matches.get_flag("dry-run") {
        return Ok(0);
    }
    let id: Option<CampaignId> = answer["id"].as_str().and_then(|id| id.parse().ok());
    let unreadable = ServiceError::Unreadable("names no campaign");
    let id = id.ok_or(CampaignError::Unsure(unreadable))?;
    if !json {
        print(&id.to_string());
    }
    if matches.get_flag("detach") {
        say(&come_back(matches, id));
        return Ok(0);
    }
    watch(matches, service, id, interrupted).await
}

async fn show(matches: &ArgMatches, service: &Service) -> Result<u8, CampaignError> {
    let id = id_of(matches);
    if matches.get_flag("follow") {
        return watch(matches, service, id, tokio::signal::ctrl_c()).await;
    }
    let told = service.ask(|| service.get(&path(id, ""))).await?;
    let progress = Progress::read(&told).ok_or(ServiceError::Unreadable("has no progress"))?;
    match matches.get_flag("json") {
        true => print(&told.to_string()),
        false => print(&view::campaign(&told, &progress)),
    }
    Ok(0)
}

/// Follows a campaign until nothing happens any more, or nobody wants to see it.
async fn watch(
    matches: &ArgMatches,
    service: &Service,
    id: CampaignId,
    interrupted: impl Future<Output = io::Result<()>>,
) -> Result<u8, CampaignError> {
    let json = matches.get_flag("json");
    let mut screen = Screen::new(json);
    let followed = tokio::select! {
        followed = follow::follow(service, id, &mut screen) => Some(followed),
        _ = interrupted => None,
    };
    screen.leave();
    let progress = match followed {
        Some(Ok(progress)) => progress,
        Some(Err(error)) => {
            say(&come_back(matches, id));
            return Err(error.into());
        }
        None => {
            say(&come_back(matches, id));
            return Ok(INTERRUPTED);
        }
    };
    if !json {
        print(&progress.summary());
    }
    let (words, code) = told_of_end(&progress, id, &where_it_is(matches));
    say(&words);
    Ok(code)
}

/// What is said when nothing happens any more, and the exit code that says the same.
fn told_of_end(progress: &Progress, id: CampaignId, place: &str) -> (String, u8) {
    match (progress.state, progress.cause()) {
        (CampaignState::Completed, _) => ("the campaign is completed".to_owned(), 0),
        (CampaignState::Paused, Some(cause)) => {
            let words = format!(
                "the campaign has paused itself: {cause}\nwhen that is put right, go on with \
                 `callspan campaign resume {id}{place}`"
            );
            (words, PAUSED)
        }
        (state, _) => (format!("the campaign is {state}"), CANCELED),
    }
}

fn come_back(matches: &ArgMatches, id: CampaignId) -> String {
    let place = where_it_is(matches);
    format!(
        "the campaign goes on; see it with `callspan campaign show {id} --follow{place}`, \
         end it with `callspan campaign cancel {id}{place}`"
    )
}

/// What another command needs to find the same campaign.
fn where_it_is(matches: &ArgMatches) -> String {
    let company = matches.get_one::<i64>("company").map(|company| format!(" --company {company}"));
    let url = matches.get_one::<String>("url").map(|url| format!(" --url {}", plain(url)));
    [company, url].into_iter().flatten().collect()
}

/// Has a campaign paused, resumed or canceled. A second copy of the request changes nothing.
async fn change(
    matches: &ArgMatches,
    service: &Service,
    verb: &str,
    body: Value,
) -> Result<(), CampaignError> {
    let id = id_of(matches);
    let answer = service.ask(|| service.post(&path(id, verb)).json(&body)).await?;
    let progress = Progress::read(&answer).ok_or(ServiceError::Unreadable("has no progress"))?;
    match matches.get_flag("json") {
        true => print(&answer.to_string()),
        false => say(&progress.line()),
    }
    Ok(())
}

fn id_of(matches: &ArgMatches) -> CampaignId {
    *matches.get_one("id").expect("it is required")
}

/// Where a campaign is, or something of it.
fn path(id: CampaignId, rest: &str) -> String {
    format!("{CAMPAIGNS}/{id}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_exit_code() {
        let command = command();
        command.clone().debug_assert();
        for mut command in command.get_subcommands().cloned() {
            let help = command.render_help().to_string();
            for code in [0, 1, 2, 3, 4, CANCELED, PAUSED, INTERRUPTED] {
                assert!(help.contains(&format!("\n  {code}  ")), "{code} is not in {help}");
            }
        }
    }

    #[test]
    fn every_end_has_its_words_and_its_code() {
        let id = CampaignId::generate();
        let end = |state: &str, cause: Option<&str>| {
            let told = json!({
                "state": state, "cause": cause, "total": 1, "finished": 1, "rate_per_minute": 0.0,
            });
            let progress = Progress::read(&told).expect("is progress");
            told_of_end(&progress, id, " --company 7")
        };
        assert_eq!(end("completed", None), ("the campaign is completed".to_owned(), 0));
        assert_eq!(end("canceled", None), ("the campaign is canceled".to_owned(), CANCELED));
        let (words, code) = end("paused", Some("Twilio knows no such account"));
        assert_eq!(code, PAUSED);
        assert!(words.contains("Twilio knows no such account"), "{words}");
        let resume = format!("`callspan campaign resume {id} --company 7`");
        assert!(words.contains(&resume), "{words}");
    }
}
