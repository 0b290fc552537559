//! A git credential helper that answers with a GitHub App's installation access token.
//!
//! ```text
//! stdin → Request → Place → Rule → token source ──cached──→ Token → stdout
//!                                    └─ none ─→ shared cache ─ none ─→ (lock) → sign → API → probe ─┘
//! ```
//!
//! The flow has one direction. A module imports only modules that stand below it in this list, which a test
//! checks:
//!
//! - [`fuzzing`]: what must hold whatever the bytes are that are parsed
//! - [`cli`]: the command line
//! - [`commands`]: what a person calls
//! - [`helper`]: what git calls
//! - [`source`]: from a rule and a place to a token: the whole story on one page
//! - [`github`]: the REST API
//! - [`git`]: git itself: its configuration, its network settings, the probe of its server
//! - [`config`]: every setting, the configuration file, and which rule answers for a place
//! - [`app`]: who we are: the private key and where it is, and the JWT
//! - [`cache`]: tokens and routes between calls
//! - [`socket`]: what `serve` and those who ask it say to each other
//! - [`secret_service`]: one of the places where secrets are kept
//! - [`command`]: a program that the configuration names
//! - [`world`]: what surrounds one run of the program
//! - [`token`], [`names`]: the words of git and GitHub as types
//! - [`vendor`]: what differs between APIs for Apps, as data
//! - [`origin`], [`terminal`], [`time`], [`secret`], [`files`], [`error`]: usable from everywhere

#![forbid(unsafe_code)]

mod app;
mod cache;
mod cli;
mod command;
mod commands;
mod config;
mod error;
mod files;
pub mod fuzzing;
mod git;
mod github;
mod helper;
mod names;
mod origin;
mod secret;
#[cfg(target_os = "linux")]
mod secret_service;
mod socket;
mod source;
pub mod terminal;
pub mod time;
mod token;
mod vendor;
pub mod world;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, Write};
use std::path::Path;

use cli::Command;
use commands::completions;
use error::{Error, Result, cause};
use world::World;

/// Runs the program with the arguments after its name; gives its exit code: 0 if all is well, 1 if something failed,
/// 2 for a wrong command line. A command that `exec` runs gives its own.
pub fn run(arguments: Vec<OsString>, mut world: World<'_>, stdin: impl BufRead, stdout: impl Write) -> u8 {
    if let Some(value) = world.variables.path(TRACE_VARIABLE) {
        start_trace(&mut world, &value);
    }
    if let [first, words @ ..] = arguments.as_slice()
        && first == "--"
        && let Some(shell) = world.variables.path(completions::VARIABLE)
    {
        let done = completions::candidates(&shell, words.to_vec(), cli::definition(), &world, stdout);
        return u8::from(done.is_err());
    }
    let command = match cli::parse(arguments) {
        Ok(command) => command,
        Err(error) => {
            world.terminal.error(&error);
            return 2;
        }
    };
    let done = match command {
        Command::Operation(operation, flags) => {
            helper::run(operation, &flags, &world, stdin, stdout).map(|()| 0)
        }
        Command::Person(command, mut flags) => {
            commands::run(command, &mut flags, cli::definition(), &mut world, stdin, stdout)
        }
        Command::Print(text) => print(stdout, &text).map(|()| 0),
        Command::Unknown { name, alone } if !alone || (world.streams)().input => {
            world.terminal.error(&cli::unknown(&name));
            return 2;
        }
        Command::Unknown { .. } => Ok(0),
    };
    match done {
        Ok(code) => code,
        Err(error) if error.is_closed_pipe() => CLOSED_PIPE,
        Err(error) => {
            world.terminal.error(&error);
            1
        }
    }
}

/// What shells give for a program that is ended because nobody reads its results any more: 128, and the number of SIGPIPE.
const CLOSED_PIPE: u8 = 141;

/// Set to 1 it shows each decision and request on stderr; set to an absolute path it appends them to that file.
const TRACE_VARIABLE: &str = "GHAPP_TRACE";

fn start_trace(world: &mut World<'_>, value: &OsStr) {
    let file = match value.to_str() {
        Some("0" | "false" | "no" | "off") => return,
        Some("1" | "2" | "true" | "yes" | "on") => Ok(None),
        _ if Path::new(value).is_absolute() => append_to(Path::new(value)).map(Some),
        _ => Err(Error::new("it is neither 1 nor an absolute path")),
    };
    match file {
        Ok(file) => world.terminal.start_trace(file, world.clock),
        Err(why) => world.terminal.warning(&Error::new(format!("{TRACE_VARIABLE} is not used: {why}"))),
    }
}

fn append_to(path: &Path) -> Result<File> {
    // In a folder that others may write too, a link could lead to any file of this user's.
    files::open_own(files::private().create(true).append(true), path)
        .map_err(|e| Error::new(format!("{}: {}", path.display(), cause(&e))))
}

fn print(mut stdout: impl Write, text: &str) -> Result<()> {
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|e| Error::of_output(&e))
}
