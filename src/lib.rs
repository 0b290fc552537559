//! A git credential helper that answers with a GitHub App's installation access token.
//!
//! ```text
//! stdin → Request → route → Route → cache ──hit──→ Answer → stdout
//!                                     └─miss→ (lock) → jwt → github ─┘
//! ```
//!
//! The flow has one direction. A module imports only modules that stand below it in this list, which a test
//! checks:
//!
//! - [`foreign`]: what must hold whatever the bytes are, for fuzzing
//! - [`cli`]: argv → what is to be done
//! - [`commands`]: what a person calls
//! - [`operations`]: what git calls
//! - [`connection`]: from a rule to a token: the whole story on one page
//! - [`world`]: what surrounds one run
//! - [`github`]: the REST API; [`network`]: how it is reached; [`git`]: git itself
//! - [`cache`]: tokens and routes between calls
//! - [`app`]: who we are: private key and JWT; [`keychain`]: where a private key may be kept
//! - [`route`]: which App answers
//! - [`protocol`]: git's attribute lines
//! - [`config`]: file, environment and flags
//! - [`names`]: the words of git and GitHub as types
//! - [`terminal`], [`clock`], [`secret`], [`files`], [`error`]: usable from everywhere

pub mod app;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod connection;
pub mod error;
pub mod files;
pub mod foreign;
pub mod git;
pub mod github;
pub mod keychain;
pub mod names;
pub mod network;
pub mod operations;
pub mod protocol;
pub mod route;
pub mod secret;
pub mod terminal;
pub mod world;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, Write};
use std::path::Path;

use cli::{Command, Operation};
use clock::Clock;
use config::{Config, Flags, Folders, Variables};
use error::{Error, Result, cause};
use operations::get::Ending;
use protocol::{Answer, Request};
use terminal::Terminal;
use world::{Screen, World};

/// What a process has from its surroundings; only `main` collects it.
pub struct Ambient<'a> {
    /// The arguments after the program's name.
    pub arguments: Vec<OsString>,
    /// The environment.
    pub variables: Variables<'a>,
    /// Where files are on this machine.
    pub folders: Folders,
    /// The clock.
    pub clock: Clock,
    /// Tells which of the standard streams a person sits at.
    pub screen: &'a dyn Fn() -> Screen,
    /// What is to be done before another program takes the process over.
    pub hand_over: &'a dyn Fn(),
}

/// Runs the program; gives its exit code: 0 if all is well, 1 if something failed, 2 for a wrong command line. A
/// command that `exec` runs gives its own.
pub fn run(
    ambient: Ambient<'_>,
    stdin: impl BufRead,
    stdout: impl Write,
    stderr: impl Write + 'static,
) -> u8 {
    let mut terminal = Terminal::new(stderr);
    let Ambient { arguments, variables, folders, clock, screen, hand_over } = ambient;
    if let Some(wish) = variables.path(TRACE_VARIABLE) {
        tell_decisions(&mut terminal, &wish, clock);
    }
    let command = match cli::parse(arguments) {
        Ok(command) => command,
        Err(error) => {
            terminal.error(&error);
            return 2;
        }
    };
    let world = World { variables, folders: &folders, clock, terminal: &terminal, screen, hand_over };
    let done = match command {
        Command::Operation(operation, flags) => operate(operation, &flags, &world, stdin, stdout).map(|()| 0),
        Command::Person(command, flags) => {
            commands::run(command, &flags, cli::definition(), &world, stdin, stdout)
        }
        Command::Print(text) => print(stdout, &text).map(|()| 0),
        Command::Unknown(name) if screen().input => {
            terminal.error(&cli::unknown(&name));
            return 2;
        }
        Command::Unknown(_) => Ok(0),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            terminal.error(&error);
            1
        }
    }
}

/// Set to 1 it lets decisions be told on stderr, set to an absolute path in that file.
const TRACE_VARIABLE: &str = "GHAPP_TRACE";

#[cold]
fn tell_decisions(terminal: &mut Terminal, wish: &OsStr, clock: Clock) {
    let file = match wish.to_str() {
        Some("0" | "false" | "no" | "off") => return,
        Some("1" | "2" | "true" | "yes" | "on") => Ok(None),
        _ if Path::new(wish).is_absolute() => append_to(Path::new(wish)).map(Some),
        _ => Err(Error::new("it is neither 1 nor an absolute path")),
    };
    match file {
        Ok(file) => terminal.tell_decisions(file, clock),
        Err(why) => terminal.warning(&Error::new(format!("{TRACE_VARIABLE} is not used: {why}"))),
    }
}

fn append_to(path: &Path) -> Result<File> {
    files::private()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|e| Error::new(format!("{}: {}", path.display(), cause(&e))))
}

fn operate(
    operation: Operation,
    flags: &Flags,
    world: &World<'_>,
    stdin: impl BufRead,
    stdout: impl Write,
) -> Result<()> {
    if operation == Operation::Capability {
        return operations::capability::capability(stdout);
    }
    let request = Request::read(stdin)?;
    world.terminal.trace(|| {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let (protocol, host, path) = (shown(&request.protocol), shown(&request.host), shown(&request.path));
        let refused = operation == Operation::Get && request.refused.is_some();
        let again = if refused { ", the last token was refused" } else { "" };
        let operation = format!("{operation:?}").to_lowercase();
        format!("{operation}: protocol {protocol}, host {host}, path {path}{again}")
    });
    let config = Config::load(flags, &world.variables, world.folders)?;
    match operation {
        Operation::Store => operations::store::store(&request, &config, world),
        Operation::Erase => operations::erase::erase(&request, &config, world),
        Operation::Get | Operation::Capability => return get(&request, &config, world, stdout),
    }
    Ok(())
}

fn get(request: &Request, config: &Config, world: &World<'_>, stdout: impl Write) -> Result<()> {
    if config.rules.is_empty() {
        // Said only to who set git up for this helper and forgot the other half.
        let file = world
            .folders
            .user_config
            .as_ref()
            .map_or("its configuration".into(), |path| path.to_string_lossy());
        world.terminal.warning(
            &Error::new("no App is configured, so nothing is answered").hint(format!(
                "git-credential-ghapp setup, or describe the App in {file}, or set GHAPP_APP_ID and GHAPP_PRIVATE_KEY_FILE"
            )),
        );
        return Ok(());
    }
    match operations::get::get(request, config, world) {
        Ending::Declined => Ok(()),
        Ending::NotInstalled(why) => {
            world.terminal.warning(&why);
            Ok(())
        }
        Ending::Answered(answer) => answer.write(stdout),
        Ending::Failed { error, quit } => {
            if quit {
                // Where git cannot be told any more, the exit code and the message still are.
                let _ = Answer::Quit.write(stdout);
            }
            Err(error)
        }
    }
}

fn print(mut stdout: impl Write, text: &str) -> Result<()> {
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|e| Error::new(format!("cannot write to standard output: {}", cause(&e))))
}
