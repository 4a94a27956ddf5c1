//! Template variables on a command line.
//!
//! They have rules, and the service knows them: here is checked only that there is an object.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use serde_json::{Map, Value};

/// The command line gives no variables.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContextError {
    #[error("--context: {0:?} is not a name, an equals sign and a value")]
    Pair(String),
    #[error("--context-json: {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("--context-json: {}: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("--context-json: {} is not a JSON object", path.display())]
    NoObject { path: PathBuf },
}

/// The arguments that give them.
pub(super) fn arguments() -> [Arg; 2] {
    let option = |name, value, help| Arg::new(name).long(name).value_name(value).help(help);
    [
        option("context", "KEY=VALUE", "Text for the agent's prompt; may be given often")
            .action(ArgAction::Append)
            .requires("agent"),
        option("context-json", "FILE", "The same as a JSON object; --context wins over it")
            .value_parser(value_parser!(PathBuf))
            .requires("agent"),
    ]
}

/// What those arguments give.
pub(super) fn read(matches: &ArgMatches) -> Result<Map<String, Value>, ContextError> {
    let mut context = match matches.get_one::<PathBuf>("context-json") {
        Some(path) => read_context(path)?,
        None => Map::new(),
    };
    for pair in matches.get_many::<String>("context").into_iter().flatten() {
        let (name, value) = context_pair(pair)?;
        context.insert(name, Value::String(value));
    }
    Ok(context)
}

/// `name=value`; the value may hold more equals signs.
fn context_pair(pair: &str) -> Result<(String, String), ContextError> {
    match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(ContextError::Pair(pair.to_owned())),
    }
}

/// Reads a JSON object; `-` is standard input.
fn read_context(path: &Path) -> Result<Map<String, Value>, ContextError> {
    let path = path.to_owned();
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => io::stdin().read_to_string(&mut text).map(|_| text),
        false => std::fs::read_to_string(&path),
    };
    let text = read.map_err(|source| ContextError::File { path: path.clone(), source })?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(context)) => Ok(context),
        Ok(_) => Err(ContextError::NoObject { path }),
        Err(source) => Err(ContextError::Json { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_split_at_the_first_equals_sign() {
        let pair = |raw| context_pair(raw).ok();
        assert_eq!(pair("a=b=c"), Some(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Some(("a".into(), String::new())));
        assert_eq!((pair("a"), pair("=b")), (None, None));
    }

    #[test]
    fn a_context_is_an_object() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("context.json");
        assert!(matches!(read_context(&path), Err(ContextError::File { .. })));
        let read = |text: &str| {
            std::fs::write(&path, text).expect("own folder");
            read_context(&path)
        };
        assert_eq!(read(r#"{"n": 3}"#).expect("good")["n"], 3);
        assert!(matches!(read("[]"), Err(ContextError::NoObject { .. })));
        assert!(matches!(read("{"), Err(ContextError::Json { .. })));
    }
}
