//! What a person calls, one file each.

mod bazel;
mod beside;
mod by_socket;
mod cached;
pub(crate) mod completions;
mod doctor;
mod exec;
mod identity;
mod installations;
mod logout;
mod man;
mod narrow;
mod number;
mod output;
mod person;
pub(crate) mod place;
pub(crate) mod register;
mod repositories;
#[cfg_attr(not(unix), path = "serve/unsupported.rs")]
pub(crate) mod serve;
mod setup;
mod shim;
mod status;
mod token;
mod uninstall;

use std::io::{BufRead, Write};

use crate::config::{Config, Flags};
use crate::error::{Error, Result};
use crate::socket;
use crate::world::World;

use output::Output;

/// What a person asks for.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Set up an App: check its key, write the configuration, configure git, and test it
    #[command(display_order = 1)]
    Setup(setup::Options),
    /// Make an App on GitHub in a browser, and set it up
    #[command(display_order = 2)]
    Register(register::Options),
    /// Find out what does not work: check each step from git's URL to the token
    #[command(display_order = 3)]
    Doctor(doctor::Options),
    /// Print the token that git would get
    #[command(display_order = 4)]
    Token(token::Options),
    /// Run a command, for example gh, with the token in GH_TOKEN and GITHUB_TOKEN
    #[command(display_order = 5)]
    Exec(exec::Options),
    /// Put a program called gh before the real one, so that each call of it has a fresh token of the App
    #[command(display_order = 6)]
    Shim(shim::Options),
    /// Give Bazel a token for the archives and files that it fetches itself
    #[command(display_order = 7)]
    Bazel(bazel::Options),
    /// Give out tokens over a Unix socket, for a sandbox that must not have the key
    #[command(display_order = 8)]
    Serve(serve::Options),
    /// Show whether each App works, and which tokens are cached, for whom, and until when
    #[command(display_order = 9)]
    Status(status::Options),
    /// Remove cached tokens, and revoke them at GitHub
    #[command(display_order = 10)]
    Logout(logout::Options),
    /// List where the App is installed, and what it may do there
    #[command(display_order = 11)]
    Installations(installations::Options),
    /// List the repositories that the App can reach
    #[command(display_order = 12)]
    Repositories(repositories::Options),
    /// Remove what the program keeps on this machine: revoke tokens, take back what setup wrote, delete the cache
    #[command(display_order = 13)]
    Uninstall(uninstall::Options),
    /// Print a completion script for a shell
    #[command(display_order = 14)]
    Completions(completions::Options),
    /// Print the manual page, in roff
    #[command(display_order = 15)]
    Man,
}

impl Command {
    /// The name of a command that is of no use where only a socket is.
    fn needs_app(&self) -> Option<&'static str> {
        Some(match self {
            Self::Setup(_) => "setup",
            Self::Register(_) => "register",
            Self::Serve(_) => "serve",
            Self::Logout(_) => "logout",
            Self::Installations(_) => "installations",
            Self::Repositories(_) => "repositories",
            Self::Token(_) | Self::Exec(_) | Self::Shim(_) | Self::Bazel(_) => return None,
            Self::Doctor(_) | Self::Status(_) => return None,
            Self::Uninstall(_) | Self::Completions(_) | Self::Man => return None,
        })
    }
}

/// Does what a person asked for; gives the exit code.
///
/// # Errors
/// What kept it from being done.
pub(crate) fn run(
    command: Command,
    flags: &mut Flags,
    definition: clap::Command,
    world: &mut World<'_>,
    mut stdin: impl BufRead,
    mut stdout: impl Write,
) -> Result<u8> {
    let mut output = Output::new(&mut stdout, world);
    flags.check_lists()?;
    if let Some(name) = command.needs_app()
        && socket::of(world).is_some()
    {
        return Err(by_socket::not_here(name));
    }
    match command {
        Command::Setup(options) => {
            remind(flags, world);
            setup::setup(options, flags, world, &mut stdin, &mut output)?;
        }
        Command::Register(options) => register::register(&options, flags, world, &mut stdin, &mut output)?,
        Command::Doctor(options) => return doctor::doctor(&options, flags, world, &mut output),
        Command::Token(options) => {
            let repositories = narrow::repositories(flags);
            return token::token(&options, &repositories, flags, world, &mut output);
        }
        Command::Exec(options) => {
            let repositories = narrow::repositories(flags);
            return exec::exec(&options, &repositories, flags, world);
        }
        Command::Shim(options) => return shim::shim(&options, flags, world, &mut output),
        Command::Bazel(options) => bazel::bazel(&options, flags, world, &mut stdin, &mut output)?,
        Command::Serve(options) => return serve::serve(&options, flags, world, &mut output),
        Command::Status(options) => {
            remind(flags, world);
            return status::status(&options, flags, world, &mut output);
        }
        Command::Logout(options) => return logout::logout(&options, flags, world, &mut output),
        Command::Installations(options) => {
            return installations::installations(&options, &Config::load(flags, world)?, world, &mut output);
        }
        Command::Repositories(options) => {
            return repositories::repositories(&options, &Config::load(flags, world)?, world, &mut output);
        }
        Command::Uninstall(options) => {
            return uninstall::uninstall(&options, flags, world, &mut stdin, &mut output);
        }
        Command::Completions(options) => completions::completions(&options, &mut output)?,
        Command::Man => man::man(definition, &mut output)?,
    }
    Ok(0)
}

/// Warns of a registration that is not finished. Where a socket is asked, none is looked for.
fn remind(flags: &Flags, world: &World<'_>) {
    if socket::of(world).is_none() {
        register::reminder(flags, world).iter().for_each(|what| world.terminal.warning(what));
    }
}

/// That there is nothing to ask as.
fn nothing_configured() -> Error {
    Error::new("no App is configured")
        .hint("git-credential-ghapp setup, for an App that you have; git-credential-ghapp register, to make one; in CI set GHAPP_APP_ID and GHAPP_PRIVATE_KEY")
}
