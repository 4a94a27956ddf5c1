//! What became of each recipient: a page for people, or the whole as a CSV file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::ids::CampaignId;
use clap::ArgMatches;

use crate::cli::output::{print, say};
use crate::cli::service::{Service, ServiceError};

use super::{CampaignError, path, view};

/// How long the next part of a file is waited for.
const SILENCE: Duration = Duration::from_secs(60);

pub(super) async fn run(
    matches: &ArgMatches,
    service: &Service,
    id: CampaignId,
) -> Result<(), CampaignError> {
    let state = matches.get_one::<String>("state");
    match matches.get_one::<String>("csv") {
        Some(file) => csv(service, id, state, file).await,
        None => page(matches, service, id, state).await,
    }
}

async fn page(
    matches: &ArgMatches,
    service: &Service,
    id: CampaignId,
    state: Option<&String>,
) -> Result<(), CampaignError> {
    let limit: &u16 = matches.get_one("limit").expect("it has a default");
    let after: Option<&u32> = matches.get_one("after");
    let request = || {
        let page = service.get(&path(id, "/calls")).query(&[("limit", limit)]);
        let page = page.query(&after.map(|after| [("cursor", after)]));
        page.query(&state.map(|state| [("state", state)]))
    };
    let page = service.ask(request).await?;
    if matches.get_flag("json") {
        print(&page.to_string());
        return Ok(());
    }
    let recipients = page["recipients"].as_array();
    let recipients = recipients.ok_or(ServiceError::Unreadable("has no recipients"))?;
    print(&view::recipients(recipients));
    if let Some(next) = page["next_cursor"].as_str() {
        say(&format!("there are more: --after {next} shows the next, --csv FILE has all"));
    }
    Ok(())
}

async fn csv(
    service: &Service,
    id: CampaignId,
    state: Option<&String>,
    file: &str,
) -> Result<(), CampaignError> {
    let request = || {
        let whole = service.get(&path(id, "/calls")).query(&[("format", "csv")]);
        whole.query(&state.map(|state| [("state", state)]))
    };
    let mut whole = service.open(request).await?;
    let cannot = |source| CampaignError::File { name: file.to_owned(), source };
    let mut target = Target::create(file).map_err(cannot)?;
    while let Some(part) = whole.next(SILENCE).await? {
        match target.write(&part) {
            // Whoever reads it has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(cannot)?,
        }
    }
    target.finish().map_err(cannot)
}

/// Where a file goes. Under its name there is never a part of it.
enum Target {
    Stdout,
    File { file: File, part: PathBuf, whole: PathBuf, is_whole: bool },
}

impl Target {
    fn create(name: &str) -> io::Result<Self> {
        if name == "-" {
            return Ok(Target::Stdout);
        }
        let whole = Path::new(name).to_owned();
        if whole.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let part = part_of(&whole);
        Ok(Target::File { file: File::create(&part)?, part, whole, is_whole: false })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Target::Stdout => io::stdout().write_all(bytes),
            Target::File { file, .. } => file.write_all(bytes),
        }
    }

    fn finish(mut self) -> io::Result<()> {
        match &mut self {
            Target::Stdout => io::stdout().flush(),
            Target::File { part, whole, is_whole, .. } => {
                std::fs::rename(part, whole)?;
                *is_whole = true;
                Ok(())
            }
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Target::File { part, is_whole: false, .. } = self {
            // It is of no use, and does no harm either.
            let _ = std::fs::remove_file(part);
        }
    }
}

fn part_of(whole: &Path) -> PathBuf {
    let mut name: OsString = whole.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let whole = folder.path().join("results.csv");
        let name = whole.to_str().expect("text");
        let left = || std::fs::read_dir(folder.path()).expect("own folder").count();

        let mut target = Target::create(name).expect("own folder");
        target.write(b"seq\n").expect("written");
        assert!(!whole.exists());
        drop(target);
        assert_eq!(left(), 0, "a part is of no use");

        let mut target = Target::create(name).expect("own folder");
        target.write(b"seq\n1\n").expect("written");
        target.finish().expect("written");
        assert_eq!(std::fs::read(&whole).expect("is there"), b"seq\n1\n");
        assert_eq!(left(), 1);
        assert!(Target::create(folder.path().to_str().expect("text")).is_err());
    }
}
