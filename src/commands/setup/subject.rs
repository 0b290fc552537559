//! Which App, or which command that gives tokens, is set up: as flags, the environment, a person and the configuration name
//! it, and as GitHub knows it.

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use super::super::installations::{owner, selection, use_for_git};
use super::super::nothing_configured;
use super::super::output::{Output, count};
use super::Options;
use super::journal::Journal;
use super::key;
use super::rule::Present;
use crate::app::token_command;
use crate::commands::person::{Person, TRIES};
use crate::config::variables::or_is_empty;
use crate::config::{Config, Flags, Rule, SETTINGS, SOURCES, Setting};
use crate::error::{Error, Result};
use crate::github::Failure;
use crate::github::answers::{AppInfo, Installation};
use crate::names::Host;
use crate::source::TokenSource;
use crate::world::{PRIVATE_KEY, World};

/// How often GitHub is asked whether the App is installed now, and how long in all.
const PAUSE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(600);

/// The App as it is named, and as GitHub knows it; or one of another vendor, or a command that gives tokens.
pub(super) struct Subject {
    /// The flags, with what a person typed and what the configuration says.
    pub(super) flags: Flags,
    /// What they say, as if they stood on git's helper line.
    pub(super) config: Config,
    /// The rule that they make.
    pub(super) rule: Rule,
    /// `None` where a command gives the tokens, or where another vendor's API does not describe the App.
    pub(super) app: Option<AppInfo>,
    pub(super) installations: Vec<Installation>,
}

impl Subject {
    /// Finds out which App or command is meant. Where a person types what is missing, and GitHub does not know that, it is asked for
    /// again.
    pub(super) fn find(
        options: &Options,
        given: &Flags,
        present: &Present,
        journal: &Journal,
        world: &World<'_>,
        person: &mut Person<'_>,
    ) -> Result<Self> {
        for tries in 1.. {
            let (flags, typed) = complete(options, given, present, journal, world, person)?;
            let refused = match Self::as_github_knows(flags, present, world) {
                Ok(subject) => return Ok(subject),
                Err(failure @ (Failure::Unreachable(_) | Failure::Limited(..))) => return Err(failure.into()),
                Err(failure) => Error::from(failure),
            };
            if !typed || tries == TRIES {
                return Err(refused);
            }
            person.tell(&refused);
        }
        Err(nothing_configured())
    }

    fn as_github_knows(flags: Flags, present: &Present, world: &World<'_>) -> Result<Self, Failure> {
        // Checked like any other configuration, as if the flags stood on git's helper line.
        let mut config = Config::load_without_files(&flags, world)?;
        let Some(rule) = config.rules.last_mut() else { return Err(nothing_configured().into()) };
        // What flags cannot say of another vendor's API is in the file.
        let is_it = |it: &&Rule| it.app_id == rule.app_id && it.host == rule.host;
        if let Some(configured) = present.rules.iter().find(is_it) {
            rule.take_vendor(configured);
        }
        let rule = rule.clone();
        let source = TokenSource::new(&rule, &config, world);
        if rule.identity.token_command().is_some() {
            return Ok(Self { flags, rule: rule.clone(), app: None, installations: Vec::new(), config });
        }
        source.app().check_key()?;
        let app = source.github()?.app()?;
        let installations = installations_of(&source)?;
        Ok(Self { flags, rule: rule.clone(), app, installations, config })
    }

    /// Waits until the App is installed somewhere, if it is not: that takes a person and a browser. After some minutes
    /// setup goes on without, and says what is left to do.
    pub(super) fn wait_until_installed(&mut self, world: &World<'_>, output: &mut Output<'_>) -> Result<()> {
        let Some(app) = self.app.as_ref().filter(|_| self.installations.is_empty()) else { return Ok(()) };
        output.line(&format!("App {} is not installed anywhere yet: {}", app.slug, app.install_hint()))?;
        let minutes = PATIENCE.as_secs() / 60;
        output.line(&format!(
            "waiting for that, {minutes} minutes at most; Ctrl-C ends it, and no configuration is changed then"
        ))?;
        let began = Instant::now();
        let source = TokenSource::new(&self.rule, &self.config, world);
        while self.installations.is_empty() && began.elapsed() < PATIENCE {
            thread::sleep(PAUSE);
            self.installations = installations_of(&source)?;
        }
        Ok(())
    }

    /// Shows the App, where it is installed, and where it is not.
    pub(super) fn tell(&self, world: &World<'_>, output: &mut Output<'_>) -> Result<()> {
        let Self { app, rule, installations, .. } = self;
        if rule.identity.token_command().is_some() {
            return Ok(());
        }
        let installed = count(installations.len(), "installation", "installations");
        let who =
            app.as_ref().map_or_else(|| rule.client(), |app| format!("App {}{}", app.slug, app.of_owner()));
        output.line(&format!("{who} on {}, {installed}", rule.host))?;
        let rows: Vec<[String; 4]> = installations
            .iter()
            .map(|it| [owner(it), it.id.to_string(), selection(it), use_for_git(it)])
            .collect();
        if !rows.is_empty() {
            output.table(["OWNER", "ID", "REPOSITORIES", "GIT CAN"], &rows)?;
        }
        let hint = || match app {
            Some(app) => app.install_hint(),
            None => "install it, and run setup again".to_owned(),
        };
        let covered = |owner: &str| {
            installations.iter().any(|it| it.owner().is_some_and(|it| it.eq_ignore_ascii_case(owner)))
        };
        for owner in rule.named_owners() {
            if !covered(owner) {
                let what = Error::new(format!("the App is not installed on {owner}"));
                world.terminal.warning(&what.hint(hint()));
            }
        }
        if installations.is_empty() {
            world.terminal.warning(&Error::new("the App is not installed anywhere").hint(hint()));
        }
        Ok(())
    }

    /// Whether git will find App and key in its environment, so that nothing of them is written.
    pub(super) fn is_from_environment(&self, world: &World<'_>) -> bool {
        let flags = &self.flags;
        let is_set = |name: &str| world.variables.path(name).is_some();
        let mut sources = sources();
        (is_set("GHAPP_APP_ID") || is_set("GHAPP_TOKEN_COMMAND"))
            && !flags.has("app-id")
            && (is_set(PRIVATE_KEY) || sources.clone().any(|source| is_set(source.variable)))
            && !sources.any(|source| flags.has(source.name()))
    }
}

fn installations_of(source: &TokenSource<'_>) -> Result<Vec<Installation>, Failure> {
    let mut installations = Vec::new();
    source.github()?.installations(|page| {
        installations.extend(page);
        ControlFlow::Continue(())
    })?;
    Ok(installations)
}

/// The settings that say where the key is.
fn sources() -> impl Iterator<Item = &'static Setting> + Clone {
    SETTINGS.iter().filter(|setting| SOURCES.contains(&setting.key))
}

/// The flags, with what is missing from a person, and with the key of an App that is configured already. Whether a person
/// typed something of that.
fn complete(
    options: &Options,
    flags: &Flags,
    present: &Present,
    journal: &Journal,
    world: &World<'_>,
    person: &mut Person<'_>,
) -> Result<(Flags, bool)> {
    let missing = |what: &str| {
        let what = Error::new(format!("{what} is named")).hint(
            "git-credential-ghapp setup --app-id ID --private-key FILE (to make an App: git-credential-ghapp register); in CI set GHAPP_APP_ID and GHAPP_PRIVATE_KEY",
        );
        or_is_empty(what, world)
    };
    let mut flags = flags.clone();
    let mut typed = false;
    let is_set = |name: &str| world.variables.path(name).is_some();
    if options.rotate_key.is_some() {
        only_app(&mut flags, present, world)?;
    }
    let is_command = flags.has(token_command::SETTING) || is_set("GHAPP_TOKEN_COMMAND");
    let host = flags.last("host").map(str::to_ascii_lowercase);
    let is_app = |rule: &Rule| {
        rule.identity.token_command().is_none()
            && host.as_deref().is_none_or(|host| host == rule.host.to_string())
    };
    // A person may mean another one, and is asked.
    if !person.present
        && !flags.has("app-id")
        && !is_set("GHAPP_APP_ID")
        && !is_command
        && present.rules.iter().any(is_app)
    {
        only_app(&mut flags, present, world)?;
    }
    if !flags.has("app-id") && !is_set("GHAPP_APP_ID") && !is_command {
        let answer = person.ask("client ID or App ID")?.ok_or_else(|| missing("no App"))?;
        typed = true;
        // The flag is one of this program's.
        let _ = flags.set("app-id", OsString::from(answer));
    }
    take_configured_host(&mut flags, present, is_set("GHAPP_HOST"), is_set("GHAPP_API_URL"));
    let named = match &options.rotate_key {
        Some(path) => vec![path.display().to_string()],
        None => flags.each("private-key").map(str::to_owned).collect(),
    };
    // A public key alone goes with the command that is there already.
    let says_the_source = |source: &Setting| {
        let is_other = !["private-key", "public-key"].contains(&source.key);
        is_set(source.variable) || (is_other && flags.has(source.name()))
    };
    if named.is_empty() && (is_set(PRIVATE_KEY) || sources().any(says_the_source)) {
        return Ok((flags, typed));
    }
    let named = if named.is_empty() {
        let configured = configured_sources(&flags, present);
        if !configured.is_empty() {
            for (name, values) in configured {
                flags.replace(name, values);
            }
            return Ok((flags, typed));
        }
        typed = true;
        vec![key::ask_for_file(person, world)?.ok_or_else(|| missing("no private key file"))?]
    } else {
        named
    };
    let found: Result<Vec<String>> =
        named.iter().map(|named| key::in_configuration(named, journal, world)).collect();
    flags.replace("private-key", found?);
    Ok((flags, typed))
}

/// Names the App whose key is to be another one, if there is one App only.
fn only_app(flags: &mut Flags, present: &Present, world: &World<'_>) -> Result<()> {
    let named = flags.last("app-id").map(str::to_owned).or(world.variables.text("GHAPP_APP_ID")?);
    let mut apps: Vec<&Rule> = Vec::new();
    for rule in &present.rules {
        let meant = named.as_ref().is_none_or(|named| *named == rule.app_id)
            && rule.identity.token_command().is_none()
            && flags.last("host").is_none_or(|host| host.eq_ignore_ascii_case(&rule.host.to_string()));
        if meant && !apps.iter().any(|it| it.app_id == rule.app_id && it.host == rule.host) {
            apps.push(rule);
        }
    }
    match (apps.as_slice(), &named) {
        ([app], _) => {
            let _ = flags.set("app-id", OsString::from(&app.app_id));
            let _ = flags.set("host", OsString::from(app.host.to_string()));
            let _ = flags.set("api-url", OsString::from(app.api.to_string()));
            Ok(())
        }
        // By its other id, perhaps.
        ([], Some(_)) => Ok(()),
        ([], None) => Err(nothing_configured()),
        (several, _) => {
            let each: Vec<String> = several.iter().map(|rule| format!("--app-id {}", rule.app_id)).collect();
            Err(Error::new("several Apps are configured").hint(format!("say which: {}", each.join(" or "))))
        }
    }
}

/// Names the host of an App that is configured for one host only, and the API that it is configured with there.
fn take_configured_host(flags: &mut Flags, present: &Present, host_is_set: bool, api_is_set: bool) {
    let is_it = |rule: &&Rule| Some(rule.app_id.as_str()) == flags.last("app-id");
    let configured: Vec<&Rule> = present.rules.iter().filter(is_it).collect();
    let Some((first, rest)) = configured.split_first() else { return };
    if !host_is_set
        && !flags.has("host")
        && first.host != Host::github()
        && rest.iter().all(|rule| rule.host == first.host)
    {
        flags.replace("host", vec![first.host.to_string()]);
    }
    let host = flags.last("host").map(str::to_ascii_lowercase);
    let same_host = configured.iter().find(|rule| host.as_deref() == Some(rule.host.to_string().as_str()));
    if let Some(rule) = same_host.filter(|rule| rule.api != rule.host.api())
        && !api_is_set
        && !flags.has("api-url")
    {
        flags.replace("api-url", vec![rule.api.to_string()]);
    }
}

/// Where the file says that the key of this App is, as flags that are not given.
fn configured_sources(flags: &Flags, present: &Present) -> Vec<(&'static str, Vec<String>)> {
    let rule = present.rules.iter().find(|rule| Some(rule.app_id.as_str()) == flags.last("app-id"));
    let written = |rule| sources().map(move |it| (it.name(), it.as_flags(rule)));
    let configured = rule.into_iter().flat_map(written);
    configured.filter(|(name, values)| !values.is_empty() && !flags.has(name)).collect()
}
