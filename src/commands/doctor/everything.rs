//! Without a name: each App that is configured, its key, its installations, and a fetch from each of them.

use super::git::{examine_fetch, examine_gits_side, examine_whole_host};
use super::github::{
    examine_app, examine_git_server, examine_key, examine_network, examine_stores, examine_token_command,
};
use super::report::Report;
use crate::commands::installations::{each_client, git_can, of_app, owner, selection, step_to_usable};
use crate::config::{Config, Rule, Selected};
use crate::error::{Error, Result};
use crate::github::answers::Installation;
use crate::names::{Place, Repository};
use crate::source::{Issued, Outcome, TokenSource, with_token};
use crate::token::Need;
use crate::world::World;

/// How many places of an App are gone to: each costs a mint and some requests.
const MOST_PLACES: usize = 20;

pub(super) fn examine_everything(
    config: &Config,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let mut examined_stores = false;
    for app in each_client(config) {
        report.begin(format!("{} on {}", app.client(), app.host))?;
        let source = TokenSource::new(app, config, world);
        examine_network(app, world, report)?;
        examine_whole_host(app, report)?;
        if app.identity.token_command().is_some() {
            examine_stores(&source, config, world, report)?;
            examine_commands_places(app, config, world, report)?;
            continue;
        }
        if !examine_key(app, &source, world, report)? {
            continue;
        }
        if !examined_stores {
            examine_stores(&source, config, world, report)?;
            examined_stores = true;
        }
        if examine_app(&source, world, report)? {
            match of_app(app, false, config, world) {
                Ok(installations) => examine_places(app, &installations, config, world, report)?,
                Err(why) => report.failure("installation", why)?,
            }
        }
    }
    Ok(())
}

/// What the rules of a command name.
fn examine_commands_places(
    client: &Rule,
    config: &Config,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let rules = config.rules.iter().filter(|rule| rule.is_same_client(client) && rule.host == client.host);
    let mut places = Vec::new();
    for rule in rules {
        let repositories = rule.repositories.iter();
        places.extend(repositories.map(|it| (rule, Place::Repository(rule.host.clone(), it.clone()))));
    }
    if places.is_empty() {
        return report.ok("token command", "its token depends on the repository: name one to try it");
    }
    for (rule, place) in places.into_iter().take(MOST_PLACES) {
        let source = TokenSource::new(rule, config, world);
        examine_token_command(&Selected { rule, place }, &source, world, report)?;
    }
    Ok(())
}

/// What the rules of an App name, and where they name nothing, every owner that it is installed on.
fn examine_places(
    app: &Rule,
    installations: &[Installation],
    config: &Config,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let mut places: Vec<(&Rule, Place)> = Vec::new();
    for rule in config.rules.iter().filter(|rule| rule.is_same_client(app)) {
        let host = || rule.host.clone();
        let repositories = rule.repositories.iter().map(|it| Place::Repository(host(), it.clone()));
        let owners = rule.owners.iter().map(|owner| Place::Owner(host(), owner.clone()));
        let every = installations.iter().filter(|it| {
            !rule.names_what_it_is_for() && rule.installation.as_ref().is_none_or(|pinned| *pinned == it.id)
        });
        let every = every.filter_map(|it| Some(Place::Owner(host(), it.owner()?.to_ascii_lowercase())));
        places.extend(repositories.chain(owners).chain(every).map(|place| (rule, place)));
    }
    if places.is_empty() {
        let what = Error::new("the App is not installed anywhere");
        return report.failure("installation", what.hint("install it from the App's page"));
    }
    for (rule, place) in places.iter().take(MOST_PLACES) {
        examine_place(rule, place, installations, config, world, report)?;
    }
    match places.len().saturating_sub(MOST_PLACES) {
        0 => Ok(()),
        more => report.ok("installation", format!("{more} more were not checked; name one to check it")),
    }
}

/// One owner or repository: whether a token can be had, and whether git gets there.
fn examine_place(
    rule: &Rule,
    place: &Place,
    installations: &[Installation],
    config: &Config,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let is_its = |it: &&Installation| {
        it.owner().is_some_and(|login| place.owner().is_some_and(|owner| owner.eq_ignore_ascii_case(login)))
    };
    let installation = installations.iter().find(is_its);
    let shown = match installation {
        Some(it) => {
            let (owner, selection, git_can) = (owner(it), selection(it), git_can(it));
            format!("{} on {owner}, {selection} repositories; {git_can}", it.id)
        }
        None => place.to_string(),
    };
    if let Some(it) = installation.filter(|it| !it.is_usable()) {
        return report.failure("installation", Error::new(shown).hint(step_to_usable(it)));
    }
    if rule.per_repository() && place.repository().is_none() {
        let what = format!("{shown}; each token is for one repository: name one to check it");
        return report.ok("installation", what);
    }
    let source = TokenSource::new(rule, config, world);
    let mut tried = "it covers no repository to fetch from".to_owned();
    let fine = report.problems_of(|report| {
        let issued = match source.token(place, Need::Fresh) {
            Ok(Outcome::Issued(issued)) => issued,
            Ok(Outcome::NotInstalled(why)) => return report.failure("installation", why),
            Err(why) => return report.failure("token", why),
        };
        let name = match name_of_repository(place, &source, &issued, world) {
            Ok(name) => name,
            Err(why) => return report.failure("token", why),
        };
        let Some((name, repository)) = name.and_then(|name| Some((name.clone(), Repository::parse(&name)?)))
        else {
            return Ok(());
        };
        tried = format!("git fetches {name}");
        let url = format!("https://{}/{name}", rule.host);
        let place = Place::Repository(rule.host.clone(), repository);
        examine_gits_side(&url, &place, &rule.vendor().username, config, world, report)?;
        let selected = Selected { rule, place };
        examine_git_server(&selected, &issued, &source, world, report)?;
        if report.is_fine() { examine_fetch(&url, report) } else { Ok(()) }
    })?;
    if fine { report.ok("installation", format!("{shown}; {tried}")) } else { Ok(()) }
}

/// A repository to fetch from, as GitHub spells it.
fn name_of_repository(
    place: &Place,
    source: &TokenSource<'_>,
    issued: &Issued,
    world: &World<'_>,
) -> Result<Option<String>> {
    if let Some(repository) = place.repository() {
        return Ok(Some(repository.to_string()));
    }
    if issued.token.is_new(world.clock) {
        source.probe_any_repository(&issued.token)?;
    }
    let obtain = |need: Need<'_>| match source.token(place, need)? {
        Outcome::Issued(issued) => Ok(issued),
        Outcome::NotInstalled(why) => Err(why),
    };
    let any = with_token(obtain, |issued| source.github()?.any_repository(&issued.token.secret))?;
    Ok(any.map(|it| it.full_name))
}
