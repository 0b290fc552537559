//! `installations`: where the Apps are installed, and what they may do there.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::nothing_configured;
use super::output::{Output, count};
use crate::config::{Config, Rule};
use crate::error::{Error, Result};
use crate::github::answers::Installation;
use crate::source::TokenSource;
use crate::world::World;

/// How it is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn installations(
    options: &Options,
    config: &Config,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<u8> {
    let mut found: Vec<(&Rule, Installation)> = Vec::new();
    let mut code = 0;
    for rule in apps(config)? {
        match of_app(rule, false, config, world) {
            Ok(installations) => found.extend(installations.into_iter().map(|it| (rule, it))),
            Err(why) => {
                world.terminal.warning(&trouble(rule, &why));
                code = 1;
            }
        }
    }
    if options.json {
        let values: Vec<Value> = found.iter().map(|(rule, it)| as_json(rule, it)).collect();
        output.json(&values)?;
        return Ok(code);
    }
    if found.is_empty() {
        if code == 0 {
            output.line("the App is not installed anywhere")?;
        }
        return Ok(code);
    }
    let row = |(rule, it): &(&Rule, Installation)| {
        let (host, app) = (rule.host.to_string(), rule.app_id.clone());
        [owner(it), host, app, it.id.to_string(), selection(it), use_for_git(it)]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    output.table(["OWNER", "HOST", "APP", "ID", "REPOSITORIES", "GIT CAN"], &rows)?;
    Ok(code)
}

fn as_json(rule: &Rule, it: &Installation) -> Value {
    json!({
        "host": rule.host.to_string(),
        "app": rule.app_id,
        "id": it.id,
        "owner": it.owner(),
        "repository_selection": it.repository_selection,
        "permissions": it.permissions,
        "suspended": it.is_suspended(),
        "html_url": it.html_url,
    })
}

/// Whose it is.
pub(super) fn owner(installation: &Installation) -> String {
    installation.owner().unwrap_or("(an enterprise)").to_owned()
}

/// Which repositories it covers, in GitHub's words: `all` or `selected`.
pub(super) fn selection(installation: &Installation) -> String {
    installation.repository_selection.clone().unwrap_or_default()
}

/// The same as a sentence.
pub(super) fn git_can(installation: &Installation) -> String {
    let can = use_for_git(installation);
    can.strip_prefix(NOTHING).map_or_else(|| format!("git can {can}"), str::to_owned)
}

/// What makes an installation usable for git that is not.
pub(super) fn step_to_usable(installation: &Installation) -> String {
    let owner = owner(installation);
    let step = match installation {
        // <https://docs.github.com/apps/maintaining-github-apps/suspending-a-github-app-installation>
        it if it.is_suspended() => {
            format!("whoever suspended it, an owner of {owner} or the App's owner, has to unsuspend it")
        }
        it if it.owner().is_none() => "install the App on an organization or a user".to_owned(),
        _ => "give the App the repository permission Contents, and accept the change".to_owned(),
    };
    installation.html_url.as_ref().map_or_else(|| step.clone(), |page| format!("{step}: {page}"))
}

/// How it begins that git can do nothing with an installation; the reason follows.
const NOTHING: &str = "nothing: ";

/// What git can do with a token of the installation.
pub(super) fn use_for_git(installation: &Installation) -> String {
    match installation.contents() {
        _ if installation.is_suspended() => format!("{NOTHING}the installation is suspended"),
        _ if installation.owner().is_none() => format!("{NOTHING}the installation covers no repositories"),
        None => "what the server allows".to_owned(),
        Some(Some("read")) => "read".to_owned(),
        Some(Some(_)) => "read and write".to_owned(),
        Some(None) => format!("{NOTHING}the App lacks the permission Contents"),
    }
}

/// One rule for each App that is configured; an error if there is none.
pub(super) fn apps(config: &Config) -> Result<Vec<&Rule>> {
    let clients = each_client(config);
    let is_app = |rule: &&Rule| rule.identity.token_command().is_none();
    let apps: Vec<&Rule> = clients.iter().copied().filter(is_app).collect();
    match (apps.as_slice(), clients.first()) {
        ([], Some(command)) => Err(is_no_app(command).hint(
            "name a repository for which it gives a token: git-credential-ghapp repositories OWNER/REPO",
        )),
        ([], None) => Err(nothing_configured()),
        _ => Ok(apps),
    }
}

/// That there is only a command that gives tokens.
fn is_no_app(command: &Rule) -> Error {
    Error::new(format!("only {} is configured, which is no App", command.client()))
}

/// An error if no App is configured.
pub(super) fn needs_app(config: &Config) -> Result<()> {
    match config.rules.iter().all(|rule| rule.identity.token_command().is_some()) {
        true => Err(config.rules.first().map_or_else(nothing_configured, |command| {
            is_no_app(command).hint("configure one with id and private-key")
        })),
        false => Ok(()),
    }
}

/// One rule for each App that is configured, and for each command that gives tokens.
pub(super) fn each_client(config: &Config) -> Vec<&Rule> {
    let mut clients: Vec<&Rule> = Vec::new();
    for rule in &config.rules {
        if !clients.iter().any(|client| client.is_same_client(rule)) {
            clients.push(rule);
        }
    }
    clients
}

/// What goes wrong with one App of several.
pub(super) fn trouble(rule: &Rule, why: &Error) -> Error {
    Error::new(format!("{} on {}: {why}", rule.client(), rule.host)).hint_of(why)
}

/// All installations of an App; `briefly`: GitHub is not tried for long.
pub(super) fn of_app(
    rule: &Rule,
    briefly: bool,
    config: &Config,
    world: &World<'_>,
) -> Result<Vec<Installation>> {
    let mut all: Vec<Installation> = Vec::new();
    let progress = Progress::new(world);
    let source = TokenSource::new(rule, config, world);
    let github = source.github()?;
    if briefly {
        github.be_brief();
    }
    github.installations(|page| {
        all.extend(page);
        progress.show(&count(all.len(), "installation", "installations"));
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

/// How far a list has come that takes several requests, where a person sees it.
pub(super) struct Progress<'w>(Option<&'w World<'w>>);

impl<'w> Progress<'w> {
    pub(super) fn new(world: &'w World<'w>) -> Self {
        Self((world.streams)().errors.then_some(world))
    }

    pub(super) fn show(&self, text: &str) {
        if let Some(world) = self.0 {
            world.terminal.progress(text);
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.show("");
    }
}
