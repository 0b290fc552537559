//! `status`: whether each App works, and which tokens are cached, for whom, for what, and until when.

use serde_json::{Value, json};

use super::by_socket::{self, Served};
use super::cached::{Cached, cached};
use super::installations::{each_client, git_can, of_app, owner};
use super::output::{Colour, Output, soon, time, what_it_may};
use crate::config::{Config, Flags, Rule};
use crate::error::Result;
use crate::github::answers::{AppInfo, Installation};
use crate::socket;
use crate::source::TokenSource;
use crate::world::World;

/// How it is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn status(
    options: &Options,
    flags: &Flags,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<u8> {
    if let Some(socket) = socket::of(world) {
        return tell_of_socket(&by_socket::served(&socket, world)?, options, output).map(|()| 0);
    }
    let config = &Config::load(flags, world)?;
    let (cached, failures) = cached(config, world);
    let (apps, commands): (Vec<&Rule>, Vec<&Rule>) =
        each_client(config).into_iter().partition(|rule| rule.identity.token_command().is_none());
    let checked: Vec<(&Rule, Result<Standing>)> =
        apps.into_iter().map(|rule| (rule, standing(rule, config, world))).collect();
    for why in &failures {
        world.terminal.warning(why);
    }
    let fails = !failures.is_empty() || checked.iter().any(|(_, standing)| standing.is_err());
    if options.json {
        let apps: Vec<Value> = checked.iter().map(|(rule, standing)| app_as_json(rule, standing)).collect();
        let tokens: Vec<Value> = cached.iter().map(|it| as_json(it, world)).collect();
        let mut whole = json!({ "apps": apps, "tokens": tokens });
        if let Some((address, _)) = &config.cache.shared.address {
            whole["shared_cache"] = json!(address.to_string());
        }
        output.json(&whole)?;
        return Ok(u8::from(fails));
    }
    for (rule, standing) in &checked {
        tell(rule, standing, output)?;
    }
    for rule in &commands {
        output.line(&format!("{} on {}: doctor tests it", rule.client(), rule.host))?;
    }
    if checked.is_empty() && commands.is_empty() {
        output.line("no App is configured; to set one up: git-credential-ghapp setup")?;
    }
    if cached.is_empty() {
        output.line("no token is cached")?;
        return Ok(u8::from(fails));
    }
    let now = world.clock.now();
    let row = |it: &Cached| {
        let label = &it.label;
        let (host, app) = (label.host.clone(), label.app.clone());
        let installation = label.installation.as_ref().map_or_else(String::new, |it| it.to_string());
        let expires = match is_from_the_future(it, world) {
            true => "not used: the clock was set back".to_owned(),
            false => soon(it.expires_at, now),
        };
        [
            it.whom(),
            host,
            app,
            installation,
            expires,
            it.store.to_owned(),
            what_it_may(it.granted.permissions.as_ref(), "not noted"),
        ]
    };
    let rows: Vec<_> = cached.iter().map(row).collect();
    output.line("")?;
    output.table(["OWNER", "HOST", "APP", "INSTALLATION", "EXPIRES", "STORE", "PERMISSIONS"], &rows)?;
    tell_of_sharing(config, &cached, output)?;
    Ok(u8::from(fails))
}

/// The same where the key is elsewhere: nothing is configured here, or cached.
fn tell_of_socket(served: &Served, options: &Options, output: &mut Output<'_>) -> Result<()> {
    if options.json {
        return output.json(&json!({ "apps": [], "tokens": [], "served": served }));
    }
    output.word(Colour::Good, "ok     ")?;
    let (version, socket) = (&served.version, &served.socket);
    output.line(&format!("  git-credential-ghapp {version} serves at {socket} ({})", socket::VARIABLE))?;
    output.line(&format!("         tokens for: {}", served.whom()))?;
    output.line(&format!("         permissions: {}", served.what()))
}

/// What other machines have of this, and what `logout` does about that.
fn tell_of_sharing(config: &Config, cached: &[Cached], output: &mut Output<'_>) -> Result<()> {
    let Some((address, _)) = &config.cache.shared.address else { return Ok(()) };
    let elsewhere = cached.iter().filter(|it| it.label.minted_elsewhere).count();
    output.line("")?;
    output.line(&format!(
        "shared with other machines in {address}; {elsewhere} of {} {} minted by another machine",
        cached.len(),
        if elsewhere == 1 { "was" } else { "were" }
    ))?;
    output.line("logout revokes what this machine minted, for all; logout --shared also what others minted")
}

/// An App that works.
struct Standing {
    /// As GitHub describes it; other APIs may not.
    app: Option<AppInfo>,
    installations: Vec<Installation>,
}

/// Whether an App works: its key can be read, and GitHub knows it.
fn standing(rule: &Rule, config: &Config, world: &World<'_>) -> Result<Standing> {
    let source = TokenSource::new(rule, config, world);
    source.app().check_key()?;
    let github = source.github()?;
    github.be_brief();
    let app = github.app()?;
    Ok(Standing { app, installations: of_app(rule, true, config, world)? })
}

fn tell(rule: &Rule, standing: &Result<Standing>, output: &mut Output<'_>) -> Result<()> {
    match standing {
        Ok(Standing { app, installations }) => {
            let owner = |it: &Installation| match it.is_usable() {
                true => owner(it),
                false => format!("{} ({})", owner(it), git_can(it)),
            };
            let owners: Vec<String> = installations.iter().map(owner).collect();
            let where_to = if owners.is_empty() { "nothing".to_owned() } else { owners.join(", ") };
            output.word(Colour::Good, "ok     ")?;
            let who = match app {
                Some(app) => format!("{} ({})", app.slug, rule.app_id),
                None => rule.app_id.clone(),
            };
            output.line(&format!("  {who} on {}: installed on {where_to}", rule.host))
        }
        Err(why) => {
            output.word(Colour::Bad, "failure")?;
            output.line(&format!("  {} on {}: {why}", rule.app_id, rule.host))?;
            why.next_step().map_or(Ok(()), |step| output.line(&format!("         hint: {step}")))
        }
    }
}

fn app_as_json(rule: &Rule, standing: &Result<Standing>) -> Value {
    let mut value = json!({
        "host": rule.host.to_string(),
        "api": rule.api.to_string(),
        "app": rule.app_id,
        "ok": standing.is_ok(),
    });
    match standing {
        Ok(Standing { app, installations }) => {
            value["slug"] = json!(app.as_ref().map(|app| &app.slug));
            value["installed_on"] = installations.iter().filter_map(Installation::owner).collect();
        }
        Err(why) => {
            value["error"] = json!(why.message());
            value["hint"] = json!(why.next_step());
        }
    }
    value
}

/// Whether a token was minted under a clock that was ahead of this one: nothing is known of its time.
fn is_from_the_future(it: &Cached, world: &World<'_>) -> bool {
    it.token.as_ref().is_some_and(|token| token.remaining(world.clock) <= 0)
}

fn as_json(it: &Cached, world: &World<'_>) -> Value {
    let label = &it.label;
    let expires_at = (!is_from_the_future(it, world)).then(|| time(it.expires_at));
    json!({
        "host": label.host,
        "api": label.api,
        "app": label.app,
        "installation": label.installation,
        "owner": label.owner,
        "repositories": if label.repositories.is_empty() { Value::Null } else { json!(label.repositories) },
        "repository_selection": it.granted.repository_selection,
        "permissions": it.granted.permissions,
        "expires_at": expires_at,
        "kept_in": it.store,
        "minted_here": !label.minted_elsewhere,
    })
}
