//! The environment variables that begin as ours do. A misspelt one must not be ignored: tokens could be wider than intended.

use super::settings::SETTINGS;
use crate::app::token_command;
use crate::error::{Error, Result};
use crate::names::nearest;
use crate::socket;
use crate::world::{PRIVATE_KEY, SHARED_CACHE_PASSWORD, World};

const PREFIX: &str = "GHAPP_";
/// Those that are no settings.
const OTHERS: &[&str] = &[
    PRIVATE_KEY,
    SHARED_CACHE_PASSWORD,
    "GHAPP_CONFIG",
    "GHAPP_TRACE",
    "GHAPP_INSIDE_COMMAND",
    "GHAPP_COMPLETE",
    socket::VARIABLE,
    "GHAPP_SHIM_DEPTH",
];
/// Those that tell a command whom a token is for. What that command runs has them too.
const FOR_COMMANDS: &[&str] = &token_command::VARIABLES;

/// The variables that are set and begin with [`PREFIX`], in whatever case: those of this program, and all others.
pub(crate) fn of_this_program(world: &World<'_>) -> (Vec<String>, Vec<String>) {
    let begins_as_ours =
        |name: &String| name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    let names = (world.variable_names)().into_iter().filter_map(|name| name.into_string().ok());
    let is_set = |name: &String| world.variables.path(name).is_some();
    let mut names: Vec<String> = names.filter(begins_as_ours).filter(is_set).collect();
    names.sort_unstable();
    names.into_iter().partition(|name| names_of_settings().any(|it| it == name))
}

/// An error about an App or a key that nothing names, which tells of a variable that is there for that and empty: so it is
/// where a job does not get a secret.
pub(crate) fn or_is_empty(error: Error, world: &World<'_>) -> Error {
    let names = (world.variable_names)();
    let is_empty = |name: &&&str| {
        names.iter().any(|it| it.to_str() == Some(**name)) && world.variables.path(name).is_none()
    };
    match ["GHAPP_APP_ID", PRIVATE_KEY, "GHAPP_PRIVATE_KEY_FILE"].iter().find(is_empty) {
        None => error,
        Some(name) => Error::new(format!("{}: the environment variable {name} is empty", error.message()))
            .hint("define the secret or variable that it comes from; a pull request from a fork gets no secrets"),
    }
}

/// An error if a variable is set that is nearly one of this program's. Others may be somebody else's.
pub(super) fn refuse_misspelt(world: &World<'_>) -> Result<()> {
    let (_, others) = of_this_program(world);
    let similar = |name: &String| {
        let upper = name.to_ascii_uppercase();
        nearest(&upper[PREFIX.len()..], names_of_settings().map(|it| &it[PREFIX.len()..])).map(str::to_owned)
    };
    match others.iter().find_map(|name| Some((name, similar(name)?))) {
        None => Ok(()),
        Some((name, similar)) => Err(Error::new(format!("unknown environment variable {name}"))
            .hint(format!("did you mean {PREFIX}{similar}? otherwise unset it"))),
    }
}

fn names_of_settings() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.variable).chain(OTHERS.iter().chain(FOR_COMMANDS).copied())
}
