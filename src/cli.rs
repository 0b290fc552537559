//! argv → an operation for git, or an answer for a person.

use std::ffi::OsString;

use lexopt::{Arg, Parser};

use crate::config::Flags;
use crate::error::{Error, Result};

/// What is to be done.
#[derive(Debug)]
pub enum Command {
    /// What git calls.
    Operation(Operation, Flags),
    /// An operation that a later git may have: the manual asks helpers to ignore it silently.
    Unknown,
    /// A person asks for the usage.
    Help,
    /// A person asks for the version.
    Version,
}

/// The operations of git's credential protocol. (gitcredentials(7), section CUSTOM HELPERS)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// git wants a credential.
    Get,
    /// A credential worked.
    Store,
    /// A credential was refused.
    Erase,
    /// git asks what this helper understands.
    Capability,
}

/// What `--help` prints.
pub const USAGE: &str = "\
git-credential-ghapp: git's credentials from a GitHub App

git calls it; a person configures it once:
  git config --global credential.https://github.com.helper ghapp
  git config --global credential.https://github.com.useHttpPath true

usage: git-credential-ghapp [FLAGS] get|store|erase|capability

flags, each also settable in the configuration file or the environment:
  --app-id ID             client ID or App ID                 GHAPP_APP_ID
  --private-key FILE      the App's private key               GHAPP_PRIVATE_KEY_FILE
                          the key itself, never as a flag     GHAPP_PRIVATE_KEY
  --host HOST             default: github.com                 GHAPP_HOST
  --owner OWNER           answer for this owner only          GHAPP_OWNERS
  --repository OWNER/REPO answer for this repository only     GHAPP_REPOSITORIES
  --installation-id N     do not look it up                   GHAPP_INSTALLATION_ID
  --api-url URL           default: the host's own             GHAPP_API_URL
  --scope SCOPE           installation (default), repository  GHAPP_SCOPE
  --permissions LIST      contents=read,...                   GHAPP_PERMISSIONS
  --on-failure WHAT       quit (default), continue            GHAPP_ON_FAILURE
  --cache STORE           auto, keyring, secret-service,      GHAPP_CACHE
                          file, none
  --min-fresh SECONDS     default: 300                        GHAPP_MIN_FRESH
  --deadline SECONDS      default: 30                         GHAPP_DEADLINE
  --config FILE           instead of the user's file          GHAPP_CONFIG
  --help, --version
";

/// Parses the arguments after the program's name.
///
/// # Errors
/// If there is no operation, or a flag is not known or lacks its value.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command> {
    let wrong = |what: String| Error::new(what).hint("git-credential-ghapp --help");
    let mut flags = Flags::default();
    let mut operation = None;
    let mut parser = Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(|e| wrong(e.to_string()))? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("version") | Arg::Short('V') => return Ok(Command::Version),
            Arg::Long(name) => {
                let name = name.to_owned();
                let value = parser.value().map_err(|_| wrong(format!("the flag --{name} needs a value")))?;
                flags
                    .set(&name, value)
                    .map_err(|_| wrong(format!("there is no flag --{name} with such a value")))?;
            }
            Arg::Short(letter) => return Err(wrong(format!("there is no flag -{letter}"))),
            Arg::Value(value) if operation.is_none() => operation = Some(value),
            Arg::Value(_) => return Err(wrong("there is more than one operation".to_owned())),
        }
    }
    let operation = operation.ok_or_else(|| wrong("there is no operation".to_owned()))?;
    let operation = match operation.to_str() {
        Some("get") => Operation::Get,
        Some("store") => Operation::Store,
        Some("erase") => Operation::Erase,
        Some("capability") => Operation::Capability,
        _ => return Ok(Command::Unknown),
    };
    Ok(Command::Operation(operation, flags))
}
