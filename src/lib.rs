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
//! - [`operations`]: what git calls; [`operations::get`] is the whole story on one page
//! - [`world`]: what surrounds one run
//! - [`github`]: the REST API; [`network`]: how it is reached
//! - [`cache`]: tokens and routes between calls
//! - [`app`]: who we are: private key and JWT
//! - [`route`]: which App answers
//! - [`protocol`]: git's attribute lines
//! - [`config`]: file, environment and flags
//! - [`names`]: the words of git and GitHub as types
//! - [`terminal`], [`clock`], [`secret`], [`error`]: usable from everywhere

pub mod app;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod foreign;
pub mod github;
pub mod names;
pub mod network;
pub mod operations;
pub mod protocol;
pub mod route;
pub mod secret;
pub mod terminal;
pub mod world;

use std::ffi::OsString;
use std::io::{Read, Write};

use cli::{Command, Operation};
use clock::Clock;
use config::{Config, Flags, Folders, Variables};
use error::{Error, Result, cause};
use operations::get::Ending;
use protocol::{Answer, Request};
use terminal::Terminal;
use world::World;

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
}

/// Runs the program; gives its exit code: 0 if all is well, 1 if something failed, 2 for a wrong command line.
pub fn run(ambient: Ambient<'_>, stdin: impl Read, stdout: impl Write, stderr: impl Write + 'static) -> u8 {
    let terminal = Terminal::new(stderr);
    let Ambient { arguments, variables, folders, clock } = ambient;
    let command = match cli::parse(arguments) {
        Ok(command) => command,
        Err(error) => {
            terminal.error(&error);
            return 2;
        }
    };
    let world = World { variables, folders: &folders, clock, terminal: &terminal };
    let done = match command {
        Command::Unknown => Ok(()),
        Command::Help => print(stdout, cli::USAGE),
        Command::Version => print(stdout, concat!("git-credential-ghapp ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Operation(operation, flags) => operate(operation, &flags, &world, stdin, stdout),
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            terminal.error(&error);
            1
        }
    }
}

fn operate(
    operation: Operation,
    flags: &Flags,
    world: &World<'_>,
    stdin: impl Read,
    stdout: impl Write,
) -> Result<()> {
    if operation == Operation::Capability {
        return operations::capability::capability(stdout);
    }
    let request = Request::read(stdin)?;
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
            &Error::new("no App is configured, so nothing is answered")
                .hint(format!("describe the App in {file}, or set GHAPP_APP_ID and GHAPP_PRIVATE_KEY_FILE")),
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
