//! argv → an operation for git, or a command for a person. The one definition of the command line: help, man page and
//! completions are made from it.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Args as _, CommandFactory as _, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::config::{Flags, Setting};
use crate::error::{Error, Result};
use crate::helper::Operation;
use crate::names::nearest;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    /// What git calls.
    Operation(Operation, Flags),
    /// An operation that a later git may have: the manual asks helpers to ignore it silently. git gives it no arguments, so
    /// with some it is a person's mistake.
    Unknown { name: String, alone: bool },
    /// What a person calls.
    Person(commands::Command, Flags),
    /// Something to print: help, or the version.
    Print(String),
}

/// What `--version` prints.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("GHAPP_COMMIT"));

const ABOUT: &str = "\
git's credentials from a GitHub App

git calls this helper whenever it needs a password. Set it up once, or let register make an App first:

    git-credential-ghapp setup

Then clone, fetch, push, submodules and LFS work as the App, and nobody is asked for a password.";

/// git's credentials from a GitHub App
#[derive(Parser)]
#[command(
    name = "git-credential-ghapp",
    version = VERSION,
    long_about = ABOUT,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    after_help = "git itself calls get, store, erase and capability; see gitcredentials(7). The manual: git help credential-ghapp"
)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    #[command(flatten)]
    Person(commands::Command),
    /// git asks for a credential
    #[command(hide = true)]
    Get,
    /// git reports that a credential worked
    #[command(hide = true)]
    Store,
    /// git reports that a credential was refused
    #[command(hide = true)]
    Erase,
    /// git asks what this helper understands
    #[command(hide = true)]
    Capability,
    #[command(external_subcommand)]
    Unknown(Vec<OsString>),
}

impl clap::Args for Flags {
    fn augment_args(command: clap::Command) -> clap::Command {
        let flag = |flag: &'static str, value, help: String| {
            let name = flag.trim_start_matches('-');
            Arg::new(name)
                .long(name)
                .value_name(value)
                .help(help)
                .help_heading("Settings, each also in the configuration file")
                .global(true)
                .hide_short_help(true)
                .action(ArgAction::Append)
                // So that a key that stands where its file belongs is refused as that.
                .allow_hyphen_values(true)
                .value_parser(clap::value_parser!(OsString))
        };
        let settings = Setting::with_flag().map(|setting| {
            flag(setting.flag, setting.placeholder, format!("{} [{}]", setting.help, setting.variable))
        });
        let help = "the configuration file, instead of the user's [GHAPP_CONFIG]".to_owned();
        command.args(settings).arg(flag("--config", "FILE", help))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let mut flags = Self::default();
        let names = Setting::with_flag().map(|setting| setting.flag.trim_start_matches('-'));
        for name in names.chain(["config"]) {
            for value in matches.get_many::<OsString>(name).into_iter().flatten() {
                flags.set(name, value.clone()).map_err(|_| {
                    clap::Error::raw(
                        ErrorKind::InvalidUtf8,
                        format!("the value of --{name} is not valid UTF-8"),
                    )
                })?;
            }
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Parses the arguments after the program's name.
///
/// # Errors
/// If there is no command, or a flag is not known or lacks its value.
pub(crate) fn parse(arguments: Vec<OsString>) -> Result<Command> {
    // What git calls all day long needs no parser, or with flags on the helper line one of flags only: git puts the
    // operation last. What that does not understand the whole one explains.
    if let [flags @ .., last] = arguments.as_slice()
        && let Some(operation) = last.to_str().and_then(Operation::parse)
        && let Some(flags) = only_flags(flags)
    {
        return Ok(Command::Operation(operation, flags));
    }
    parse_all(arguments)
}

/// The same, of all that people call.
fn parse_all(arguments: Vec<OsString>) -> Result<Command> {
    let help = help_for(&arguments);
    let parsed = match Cli::try_parse_from(std::iter::once("git-credential-ghapp".into()).chain(arguments)) {
        Ok(parsed) => parsed,
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Command::Print(e.to_string()));
        }
        Err(e) => return Err(one_line(&e, &help)),
    };
    let Cli { flags, what } = parsed;
    Ok(match what {
        What::Get => Command::Operation(Operation::Get, flags),
        What::Store => Command::Operation(Operation::Store, flags),
        What::Erase => Command::Operation(Operation::Erase, flags),
        What::Capability => Command::Operation(Operation::Capability, flags),
        What::Person(command) => Command::Person(command, flags),
        What::Unknown(words) if words == ["help"] => return parse_all(vec!["--help".into()]),
        What::Unknown(words) => Command::Unknown {
            name: words.first().map_or_else(String::new, |word| word.to_string_lossy().into_owned()),
            alone: words.len() == 1,
        },
    })
}

/// The flags, if the arguments are nothing else.
fn only_flags(arguments: &[OsString]) -> Option<Flags> {
    if arguments.is_empty() { Some(Flags::default()) } else { parse_flags(arguments) }
}

fn parse_flags(arguments: &[OsString]) -> Option<Flags> {
    let parser = Flags::augment_args(clap::Command::new("").no_binary_name(true).disable_help_flag(true));
    Flags::from_arg_matches(&parser.try_get_matches_from(arguments).ok()?).ok()
}

/// The definition, for help, man page and completions.
pub(crate) fn definition() -> clap::Command {
    Cli::command()
}

/// That there is no such command. git is not told: a later git may have operations that this program does not know.
pub(crate) fn unknown(name: &str) -> Error {
    let commands = definition();
    let names = commands.get_subcommands().filter(|it| !it.is_hide_set()).map(clap::Command::get_name);
    Error::new(format!("unknown command {name:?}")).hint(see(nearest(name, names), HELP))
}

/// What explains the whole command line.
const HELP: &str = "git-credential-ghapp --help";

/// What explains the command among the arguments.
fn help_for(arguments: &[OsString]) -> String {
    let definition = definition();
    let is_command = |word: &&str| definition.find_subcommand(word).is_some_and(|it| !it.is_hide_set());
    let command = arguments.iter().filter_map(|word| word.to_str()).find(is_command);
    command.map_or_else(|| HELP.to_owned(), |command| format!("git-credential-ghapp {command} --help"))
}

/// The next step after a mistake: what was meant, if it is like something that there is, and where it is explained.
fn see(similar: Option<impl std::fmt::Display>, help: &str) -> String {
    similar.map_or_else(|| help.to_owned(), |similar| format!("did you mean {similar}? see {help}"))
}

/// The parser's message in the voice of this program: its first paragraph on one line, and its advice.
fn one_line(error: &clap::Error, help: &str) -> Error {
    let text = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "no command was given".to_owned()
        }
        ErrorKind::UnknownArgument => match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(argument)) if is_flag(argument) => {
                format!("unexpected argument '{argument}'")
            }
            // What was not meant as a flag may be a secret that stands in the wrong place.
            _ => "unexpected argument".to_owned(),
        },
        _ => {
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            first.trim_start_matches("error: ").lines().map(str::trim).collect::<Vec<_>>().join(" ")
        }
    };
    let similar = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
        .iter()
        .find_map(|kind| error.get(*kind));
    Error::new(text).hint(see(similar, help))
}

fn is_flag(argument: &str) -> bool {
    let name = argument.split('=').next().unwrap_or_default();
    name.len() < 40 && name.starts_with('-') && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn settings_are_taken_before_and_after_the_operation() {
        for line in ["--app-id 7 --owner a get --owner b", "get --app-id=7 --owner a --owner b"] {
            let Ok(Command::Operation(Operation::Get, flags)) =
                parse(line.split(' ').map(OsString::from).collect())
            else {
                panic!("{line}");
            };
            assert!(format!("{flags:?}").contains('7'), "{flags:?}");
        }
    }

    #[test]
    fn the_name_of_an_operation_at_the_end_may_be_something_else() {
        let parsed = |line: &str| parse(line.split(' ').map(OsString::from).collect());
        assert!(matches!(parsed("exec -- git-lfs get"), Ok(Command::Person(..))));
        assert!(matches!(parsed("status get"), Err(error) if error.message() == "unexpected argument"));
        assert!(matches!(parsed("help"), Ok(Command::Print(text)) if text.contains("Usage:")));
        assert_eq!(parsed("--app-id get").unwrap_err().message(), "no command was given");
        assert!(parsed("--no-such-flag get").unwrap_err().message().contains("--no-such-flag"));
    }
}
