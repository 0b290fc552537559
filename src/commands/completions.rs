//! `completions`: a shell learns to complete commands, flags and their values, and what the configuration names.
//!
//! The scripts ask this program each time, in the way of <https://docs.rs/clap_complete/latest/clap_complete/env/>, so they
//! need not be made anew for another version, and know the configuration.

use std::ffi::{OsStr, OsString};
use std::io::Write;

use clap::{Arg, ValueHint};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate, complete};
use clap_complete::env::Shells;

use super::output::Output;
use crate::cache::StoreKind;
use crate::config::{Config, Flags, Setting};
use crate::error::{Error, Result, cause};
use crate::world::World;

/// For which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The shell
    shell: Shell,
}

/// Set by the scripts to the name of their shell, when they want candidates.
pub(crate) const VARIABLE: &str = "GHAPP_COMPLETE";

const PROGRAM: &str = "git-credential-ghapp";

pub(super) fn completions(options: &Options, output: &mut Output<'_>) -> Result<()> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let shell = options.shell.to_string();
    if let Some(shell) = shells.completer(&shell) {
        shell
            .write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)
            .map_err(|e| Error::new(format!("cannot make the script: {}", cause(&e))))?;
    }
    if options.shell == Shell::Zsh {
        script.extend_from_slice(IN_FPATH.as_bytes());
    }
    output.write(&script)
}

/// For a script that stands in zsh's `fpath`: it is run as the function itself when a person first presses the key.
const IN_FPATH: &str = "
if [[ $funcstack[1] == _git-credential-ghapp ]]; then
    _clap_dynamic_completer_git_credential_ghapp
fi
";

/// Prints what could stand for the last of the words that a script gives after `--`.
pub(crate) fn candidates(
    shell: &OsStr,
    words: Vec<OsString>,
    definition: clap::Command,
    world: &World<'_>,
    mut stdout: impl Write,
) -> Result<()> {
    let mut definition = with_candidates(definition, world);
    let folder = std::env::current_dir().ok();
    let shells = Shells::builtins();
    let mut found = Vec::new();
    let written = match shell.to_str() {
        // bash makes words of their own of equals signs, of which the usual way knows nothing.
        Some("bash") => {
            let index = world.variables.path("_CLAP_COMPLETE_INDEX");
            let index: usize = index.and_then(|index| index.to_str()?.parse().ok()).unwrap_or(0);
            let removed = words.iter().take(index).filter(|word| *word == "=").count();
            let words = words.into_iter().filter(|word| word != "=").collect();
            complete(&mut definition, words, index - removed, folder.as_deref()).map(|all| {
                let all: Vec<_> = all.iter().map(|it| it.get_value().to_string_lossy()).collect();
                found = all.join("\u{b}").into_bytes();
            })
        }
        name => match name.and_then(|name| shells.completer(name)) {
            Some(shell) => shell.write_complete(&mut definition, words, folder.as_deref(), &mut found),
            None => Ok(()),
        },
    };
    // Where nothing can be completed, a person who presses a key wants no message.
    written.ok().map_or(Ok(()), |()| stdout.write_all(&found)).map_err(|e| Error::of_output(&e))
}

/// The command line with what its values can be.
fn with_candidates(mut definition: clap::Command, world: &World<'_>) -> clap::Command {
    let config = Config::load(&Flags::default(), world).unwrap_or_default();
    for setting in Setting::with_flag() {
        let values = values(setting, &config);
        definition = definition.mut_arg(setting.name(), |arg| match setting.key {
            "private-key" => arg.value_hint(ValueHint::FilePath),
            _ => of(arg, values),
        });
    }
    definition = definition.mut_arg("config", |arg| arg.value_hint(ValueHint::FilePath));
    let names = names(&config);
    let commands: Vec<String> = definition.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    for command in commands {
        definition = definition.mut_subcommand(command, |command| {
            let has_name = command.get_arguments().any(|arg| arg.get_id() == NAME);
            if has_name { command.mut_arg(NAME, |arg| of(arg, names.clone())) } else { command }
        });
    }
    definition
}

/// What commands call the argument that names an owner or a repository.
const NAME: &str = "name";

fn of(arg: Arg, values: Vec<String>) -> Arg {
    arg.add(ArgValueCandidates::new(move || values.iter().map(CompletionCandidate::new).collect()))
}

/// What a setting can be.
fn values(setting: &Setting, config: &Config) -> Vec<String> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let rules = config.rules.iter();
    sorted(match setting.key {
        "cache" => return texts(&StoreKind::names()),
        "scope" => texts(&["installation", "repository"]),
        "on-failure" => texts(&["continue", "quit"]),
        // Those that matter most around repositories.
        // <https://docs.github.com/rest/authentication/permissions-required-for-github-apps>
        "permissions" => {
            let both = [
                "actions",
                "checks",
                "contents",
                "deployments",
                "issues",
                "packages",
                "pull_requests",
                "statuses",
            ];
            let both = both.iter().flat_map(|name| ["read", "write"].map(|level| format!("{name}={level}")));
            both.chain(["metadata=read".to_owned(), "workflows=write".to_owned()]).collect()
        }
        "id" => rules.map(|rule| rule.app_id.clone()).collect(),
        "host" => rules.map(|rule| rule.host.to_string()).collect(),
        "api-url" => rules.map(|rule| rule.api.to_string()).collect(),
        "public-repositories" => rules.flat_map(|rule| rule.named_owners().cloned()).collect(),
        "owners" => rules.flat_map(|rule| rule.owners.clone()).collect(),
        "repositories" => rules.flat_map(|rule| &rule.repositories).map(ToString::to_string).collect(),
        _ => Vec::new(),
    })
}

/// The owners and repositories that the configuration names.
fn names(config: &Config) -> Vec<String> {
    let rules = config.rules.iter();
    let names = rules.flat_map(|rule| {
        let repositories = rule.repositories.iter().map(ToString::to_string);
        rule.owners.iter().cloned().chain(repositories)
    });
    sorted(names.collect())
}

fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort_unstable();
    values.dedup();
    values
}
