//! `repositories`: what the Apps can reach.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::installations::{Progress, apps, of_app};
use super::output::{Output, count};
use super::{place, token};
use crate::config::{Config, Rule};
use crate::error::{Error, Result};
use crate::github::answers::{Installation, RepositoryInfo};
use crate::names::Place;
use crate::secret::Secret;
use crate::source::TokenSource;
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
) -> Result<()> {
    let mut found: Vec<(&Rule, RepositoryInfo)> = Vec::new();
    if let Some(name) = &options.name {
        let selected = place::selected(Some(name), config)?;
        let (issued, _) = token::issue(&selected, Need::Fresh, config, world)?;
        reached(selected.rule, &issued.token.secret, config, world, &mut found)?;
    } else {
        for rule in apps(config)? {
            for installation in of_app(rule, config, world)? {
                if !installation.is_usable() {
                    let owner = installation.owner().unwrap_or("an enterprise");
                    let why = super::installations::use_for_git(&installation);
                    world.terminal.warning(&Error::new(format!(
                        "installation {} on {owner} is left out: git can do {why}",
                        installation.id
                    )));
                    continue;
                }
                let token = token_of(rule, &installation, config, world)?;
                reached(rule, &token, config, world, &mut found)?;
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
        return output.json(&found.iter().map(value).collect::<Vec<_>>());
    }
    if found.is_empty() {
        return output.line("the App can reach no repository");
    }
    let rows: Vec<[String; 4]> = found
        .into_iter()
        .map(|(rule, it)| {
            let visibility = it.visibility.unwrap_or_default();
            let visibility = if it.archived { format!("{visibility}, archived") } else { visibility };
            [it.full_name, rule.host.to_string(), rule.app_id.clone(), visibility]
        })
        .collect();
    output.table(["REPOSITORY", "HOST", "APP", "VISIBILITY"], &rows)
}

/// A token of an installation that a list named.
fn token_of(rule: &Rule, installation: &Installation, config: &Config, world: &World<'_>) -> Result<Secret> {
    let owner = installation.owner().unwrap_or_default().to_ascii_lowercase();
    let source = TokenSource::new(rule, config, world);
    let place = Place::Owner(rule.host.clone(), owner);
    let issued = source.token_of(installation.id.into(), &place, Need::Fresh)?;
    if issued.token.is_new(world.clock) {
        source.probe_any_repository(&issued.token)?;
    }
    Ok(issued.token.secret)
}

fn reached<'c>(
    rule: &'c Rule,
    token: &Secret,
    config: &Config,
    world: &World<'_>,
    found: &mut Vec<(&'c Rule, RepositoryInfo)>,
) -> Result<()> {
    let progress = Progress::new(world);
    TokenSource::new(rule, config, world).github()?.repositories(token, |page| {
        found.extend(page.repositories.into_iter().map(|it| (rule, it)));
        progress.show(&count(found.len(), "repository", "repositories"));
        ControlFlow::Continue(())
    })?;
    Ok(())
}
