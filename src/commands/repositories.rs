//! `repositories`: what the Apps can reach.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::installations::{Progress, apps, of_app, trouble};
use super::output::{Output, count};
use super::{place, token};
use crate::config::{Config, Rule};
use crate::error::{Error, Result};
use crate::github::Failure;
use crate::github::answers::{Installation, RepositoryInfo};
use crate::names::Place;
use crate::secret::Secret;
use crate::source::{Issued, MintedBy, Narrowing, TokenSource, with_token};
use crate::token::Need;
use crate::world::World;

/// What is shown, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only what the token for this OWNER/REPO, OWNER or URL reaches; default: all installations of all Apps
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn repositories(
    options: &Options,
    config: &Config,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<u8> {
    let mut code = 0;
    let mut found: Vec<(&Rule, RepositoryInfo)> = Vec::new();
    if let Some(name) = &options.name {
        let selected = place::selected(Some(name), "repositories", config, world)?;
        with_token(
            |need| {
                Ok::<_, Error>(
                    token::issue(&selected, &Narrowing::default(), need, "repositories", config, world)?.0,
                )
            },
            |issued| reached(selected.rule, &issued.token.secret, config, world, &mut found),
        )?;
    } else {
        for rule in apps(config)? {
            if let Err(why) = of_all_installations(rule, config, world, &mut found) {
                world.terminal.warning(&trouble(rule, &why));
                code = 1;
            }
        }
    }
    found.sort_by(|(_, a), (_, b)| a.full_name.cmp(&b.full_name));
    found.dedup_by(|(a_rule, a), (b_rule, b)| a.full_name == b.full_name && a_rule.host == b_rule.host);
    if options.json {
        let value = |(rule, it): &(&Rule, RepositoryInfo)| -> Value {
            json!({
                "host": rule.host.to_string(),
                "app": rule.app_id,
                "full_name": it.full_name,
                "visibility": it.visibility,
                "archived": it.archived,
            })
        };
        output.json(&found.iter().map(value).collect::<Vec<_>>())?;
        return Ok(code);
    }
    if found.is_empty() {
        if code == 0 {
            output.line("the App can reach no repository")?;
        }
        return Ok(code);
    }
    let rows: Vec<[String; 4]> = found
        .into_iter()
        .map(|(rule, it)| {
            let visibility = it.visibility.unwrap_or_default();
            let visibility = if it.archived { format!("{visibility}, archived") } else { visibility };
            [it.full_name, rule.host.to_string(), rule.app_id.clone(), visibility]
        })
        .collect();
    output.table(["REPOSITORY", "HOST", "APP", "VISIBILITY"], &rows)?;
    Ok(code)
}

fn of_all_installations<'c>(
    rule: &'c Rule,
    config: &Config,
    world: &World<'_>,
    found: &mut Vec<(&'c Rule, RepositoryInfo)>,
) -> Result<()> {
    for installation in of_app(rule, false, config, world)? {
        if !installation.is_usable() {
            let owner = installation.owner().unwrap_or("an enterprise");
            let why = super::installations::git_can(&installation);
            let what = format!("installation {} on {owner} is left out: {why}", installation.id);
            let hint = super::installations::step_to_usable(&installation);
            world.terminal.warning(&Error::new(what).hint(hint));
            continue;
        }
        with_token(
            |need| token_of(rule, &installation, need, config, world),
            |issued| reached(rule, &issued.token.secret, config, world, found),
        )?;
    }
    Ok(())
}

/// A token of an installation that a list named.
fn token_of(
    rule: &Rule,
    installation: &Installation,
    need: Need<'_>,
    config: &Config,
    world: &World<'_>,
) -> Result<Issued, Failure> {
    let owner = installation.owner().unwrap_or_default().to_ascii_lowercase();
    let source = TokenSource::new(rule, config, world);
    let place = Place::Owner(rule.host.clone(), owner);
    let issued = source.token_of(MintedBy::GitHub(&installation.id.clone().into()), &place, need)?;
    if issued.token.is_new(world.clock) {
        source.probe_any_repository(&issued.token)?;
    }
    Ok(issued)
}

fn reached<'c>(
    rule: &'c Rule,
    token: &Secret,
    config: &Config,
    world: &World<'_>,
    found: &mut Vec<(&'c Rule, RepositoryInfo)>,
) -> Result<(), Failure> {
    let progress = Progress::new(world);
    TokenSource::new(rule, config, world).github()?.repositories(token, |page| {
        found.extend(page.repositories.into_iter().map(|it| (rule, it)));
        progress.show(&count(found.len(), "repository", "repositories"));
        ControlFlow::Continue(())
    })?;
    Ok(())
}
