//! `installations`: where the Apps are installed, and what they may do there.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::nothing_configured;
use super::output::{Output, count};
use crate::config::{Config, Rule};
use crate::connection::Connection;
use crate::error::{Failure, Result};
use crate::github::answers::Installation;
use crate::world::World;

/// How it is shown.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn installations(
    options: &Options,
    config: &Config,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    let mut rows: Vec<[String; 6]> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    for rule in apps(config)? {
        for found in of_app(rule, config, world)? {
            let owner = found.owner().unwrap_or("(an enterprise)").to_owned();
            let repositories = found.repository_selection.clone().unwrap_or_default();
            if options.json {
                values.push(json!({
                    "host": rule.host.to_string(),
                    "app": rule.issuer,
                    "id": found.id,
                    "owner": found.owner(),
                    "repository_selection": found.repository_selection,
                    "permissions": found.permissions,
                    "suspended": found.is_suspended(),
                    "html_url": found.html_url,
                }));
            }
            let id = found.id.to_string();
            rows.push([
                owner,
                rule.host.to_string(),
                rule.issuer.clone(),
                id,
                repositories,
                use_for_git(&found),
            ]);
        }
    }
    if options.json {
        return output.json(&values);
    }
    if rows.is_empty() {
        return output.line("the App is not installed anywhere");
    }
    output.table(["OWNER", "HOST", "APP", "ID", "REPOSITORIES", "GIT CAN"], &rows)
}

/// What git can do with a token of the installation.
pub(super) fn use_for_git(installation: &Installation) -> String {
    match installation.contents() {
        _ if installation.is_suspended() => "nothing: it is suspended",
        _ if installation.owner().is_none() => "nothing: it covers no repositories",
        Some("read") => "read",
        Some(_) => "read and write",
        None => "nothing: no permission on contents",
    }
    .to_owned()
}

/// One rule for each App that is configured.
pub(super) fn apps(config: &Config) -> Result<Vec<&Rule>> {
    let mut apps: Vec<&Rule> = Vec::new();
    for rule in &config.rules {
        if !apps.iter().any(|app| app.issuer == rule.issuer && app.api == rule.api) {
            apps.push(rule);
        }
    }
    if apps.is_empty() { Err(nothing_configured()) } else { Ok(apps) }
}

/// All installations of an App.
pub(super) fn of_app(rule: &Rule, config: &Config, world: &World<'_>) -> Result<Vec<Installation>> {
    let mut all: Vec<Installation> = Vec::new();
    let progress = Progress::new(world);
    Connection::with(rule, config, world, |connection| {
        connection.github()?.installations(|page| {
            all.extend(page);
            progress.show(&count(all.len(), "installation", "installations"));
            ControlFlow::Continue(())
        })
    })
    .map_err(Failure::into_error)?;
    Ok(all)
}

/// How far a list has come that takes several requests, where a person sees it.
pub(super) struct Progress<'w>(Option<&'w World<'w>>);

impl<'w> Progress<'w> {
    pub(super) fn new(world: &'w World<'w>) -> Self {
        Self((world.screen)().errors.then_some(world))
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
