//! `doctor`: goes the whole way that a token goes, and tells of each step whether it works, or how to fix it.

mod everything;
mod git;
mod github;
mod report;
mod served;

use super::output::{Output, count};
use super::{nothing_configured, place, register};
use crate::config::{Config, Flags, Selected, variables};
use crate::error::Result;
use crate::names::{Place, without_user};
use crate::socket;
use crate::source::TokenSource;
use crate::world::World;

use report::Report;

/// What is examined, and how it is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What to check: a URL, OWNER/REPO, or OWNER; default: the current repository's remote, or, outside of a
    /// repository, everything that is configured
    #[arg(value_name = "URL")]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn doctor(
    options: &Options,
    flags: &Flags,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<u8> {
    let mut report = Report::new(output, options.json);
    git::examine_git(&mut report)?;
    if let Some(socket) = socket::of(world) {
        served::examine_socket(&socket, options.name.as_deref(), world, &mut report)?;
        return report.end();
    }
    if let Some(what) = register::reminder(flags, world) {
        report.warning("registration", what)?;
    }
    let config = match Config::load(flags, world) {
        Ok(config) => config,
        Err(why) => {
            report.failure("configuration", why)?;
            return report.end();
        }
    };
    if config.rules.is_empty() {
        report.failure("configuration", variables::or_is_empty(nothing_configured(), world))?;
        return report.end();
    }
    examine_configuration(&config, world, &mut report)?;
    match options.name.clone().or_else(|| place::remote_of(&config)) {
        Some(name) => examine_name(&name, &config, world, &mut report)?,
        None => everything::examine_everything(&config, world, &mut report)?,
    }
    report.end()
}

/// What a person names, in the spelling that it has.
fn examine_name(name: &str, config: &Config, world: &World<'_>, report: &mut Report<'_, '_>) -> Result<()> {
    let selected = match place::selected(Some(name), "doctor", config, world) {
        Ok(selected) => selected,
        Err(why) => return report.failure("rule", why),
    };
    let Selected { rule, place } = &selected;
    let why = why_this_rule(&selected);
    report.ok("rule", format!("{} answers for {place}: {why} ({})", rule.client(), rule.origin))?;
    let url = git::url_as_written(name, place);
    git::examine_url(&url, place, &rule.vendor().username, report)?;
    // What is in front of an @ may be a secret. It was judged; git is not called with it, as arguments are public.
    let url = without_user(&url);
    git::examine_gits_side(&url, place, &rule.vendor().username, config, world, report)?;
    git::examine_whole_host(rule, report)?;
    github::examine_network(rule, world, report)?;
    let source = TokenSource::new(rule, config, world);
    if rule.identity.token_command().is_some() {
        github::examine_stores(&source, config, world, report)?;
        github::examine_token_command(&selected, &source, world, report)?;
        return if place.repository().is_some() && report.is_fine() {
            git::examine_fetch(&url, report)
        } else {
            Ok(())
        };
    }
    let has_key = github::examine_key(rule, &source, world, report)?;
    // A sealed file cannot be opened without the key either.
    if has_key {
        github::examine_stores(&source, config, world, report)?;
        if github::examine_app(&source, world, report)? {
            github::examine_installation(&selected, &source, world, report)?;
        }
    }
    if place.repository().is_some() && report.is_fine() { git::examine_fetch(&url, report) } else { Ok(()) }
}

fn examine_configuration(config: &Config, world: &World<'_>, report: &mut Report<'_, '_>) -> Result<()> {
    let mut places: Vec<String> = config
        .rules
        .iter()
        .map(|rule| rule.origin.to_string().split(", line").next().unwrap_or_default().to_owned())
        .collect();
    places.dedup();
    let rules = match config.rules.iter().any(|rule| rule.identity.token_command().is_some()) {
        true => count(config.rules.len(), "rule is", "rules are"),
        false => count(config.rules.len(), "App is", "Apps are"),
    };
    report.ok("configuration", format!("{rules} configured: {}", places.join(", ")))?;
    let (ours, others) = variables::of_this_program(world);
    let kinds = [(ours, "set"), (others, "not this program's")];
    let sentences = kinds.into_iter().filter(|(names, _)| !names.is_empty()).map(|(names, what)| {
        format!("{} {} {what}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
    });
    let sentences: Vec<String> = sentences.collect();
    if sentences.is_empty() { Ok(()) } else { report.ok("environment", sentences.join("; ")) }
}

fn why_this_rule(selected: &Selected<'_>) -> String {
    let rule = selected.rule;
    match &selected.place {
        _ if rule.is_for_this_call() => "environment or flags name it".to_owned(),
        Place::Repository(_, repository) if rule.repositories.contains(repository) => {
            "it names the repository".to_owned()
        }
        _ if rule.names_what_it_is_for() => "it names the owner".to_owned(),
        _ => format!("it is for every owner on {}", rule.host),
    }
}
