//! The scenarios that are part of the program, and those in files.

use std::path::Path;

use super::{Scenario, ScenarioError, rules};

/// A scenario of the program: its name and its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuiltIn {
    pub(crate) name: &'static str,
    pub(crate) toml: &'static str,
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(BuiltIn {
            name: $name,
            toml: include_str!(concat!("../../../scenarios/", $name, ".toml")),
        }),*]
    };
}

/// All of them, in the order in which they are told.
pub(crate) const BUILT_IN: &[BuiltIn] = built_in![
    "steady",
    "ramp",
    "spike",
    "churn",
    "long",
    "talk-over",
    "slow-agent",
    "jittery-phone",
    "campaign",
    "rest",
];

impl BuiltIn {
    /// The scenario of this name.
    pub(crate) fn named(name: &str) -> Result<&'static BuiltIn, ScenarioError> {
        let found = BUILT_IN.iter().find(|scenario| scenario.name == name);
        found.ok_or_else(|| ScenarioError::Unknown { name: name.to_owned() })
    }
}

/// Their names, in words.
pub(super) fn names() -> String {
    BUILT_IN.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ")
}

/// A line for each of them.
pub(crate) fn list() -> Result<String, ScenarioError> {
    let line = |scenario: &BuiltIn| {
        let Scenario { name, about, .. } = rules::parse(scenario.name, scenario.toml)?;
        Ok(format!("{name:<14} {about}"))
    };
    Ok(BUILT_IN.iter().map(line).collect::<Result<Vec<_>, ScenarioError>>()?.join("\n"))
}

/// The scenario of this name, or in this file.
pub(crate) fn find(name_or_path: &str) -> Result<Scenario, ScenarioError> {
    let path = Path::new(name_or_path);
    let is_path = name_or_path.contains(std::path::MAIN_SEPARATOR)
        || path.extension().is_some_and(|extension| extension == "toml");
    if !is_path {
        let BuiltIn { name, toml } = BuiltIn::named(name_or_path)?;
        return rules::parse(name, toml);
    }
    let toml = std::fs::read_to_string(path)
        .map_err(|source| ScenarioError::Unreadable { path: name_or_path.to_owned(), source })?;
    rules::parse(name_or_path, &toml)
}
