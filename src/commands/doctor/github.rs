//! GitHub's side: the network, the key, what is cached, the App, its installation, and whether a token works.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::report::Report;
use crate::app::key::{self, KeySource, PrivateKey};
use crate::app::sign_command::SignCommand;
use crate::app::{Identity, jwt};
use crate::cache::Learnt;
use crate::commands::cached::cached;
use crate::commands::installations;
use crate::commands::output::{soon, what_it_may};
use crate::config::{Config, Rule, Selected};
use crate::error::{Error, Result};
use crate::files::open_to_others;
use crate::git::network;
use crate::git::probe::GitServer;
use crate::names::{InstallationRef, Place};
use crate::source::{Issued, Outcome, Routing, TokenSource};
use crate::terminal::path_in_shell;
use crate::time::{describe, describe_offset, offset_matters};
use crate::token::{Need, Token};
use crate::world::World;

/// What is shown where GitHub did not say what a token may do.
pub(super) const UNKNOWN: &str = "unknown permissions";

pub(super) fn examine_network(rule: &Rule, world: &World<'_>, report: &mut Report<'_, '_>) -> Result<()> {
    match network::describe(&rule.api.endpoint("/"), &format!("https://{}/", rule.host), world) {
        Ok(found) => {
            let proxy = found.proxy.map_or_else(|| "no proxy".to_owned(), |proxy| format!("proxy {proxy}"));
            if found.unverified {
                let what = Error::new(format!("{}: {proxy}, and its certificate is not checked", rule.api));
                report.warning(
                    "network",
                    what.hint("name the CA instead: git config --global http.sslCAInfo FILE"),
                )
            } else {
                report.ok("network", format!("{}: {proxy}, {}", rule.api, found.certificates))
            }
        }
        Err(why) => report.failure("network", why),
    }
}

/// Whether there is something that proves that we are the App.
pub(super) fn examine_key(
    rule: &Rule,
    source: &TokenSource<'_>,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<bool> {
    if let Identity::SignCommand(sign) = &rule.identity {
        return examine_sign_command(sign, source, world, report);
    }
    let read = |source: &Rc<dyn KeySource>| {
        let began = Instant::now();
        (key::read(&**source, world), began.elapsed())
    };
    let all: Vec<_> = rule.identity.keys().iter().map(|source| (source, read(source))).collect();
    let works = all.iter().any(|(_, (key, _))| key.is_ok());
    for (source, (key, took)) in all {
        match key {
            Ok(key) => tell_of_key(&**source, &key, took, report)?,
            // Another one signs.
            Err(why) if works => report.warning("private key", why)?,
            Err(why) => report.failure("private key", why)?,
        }
    }
    Ok(works)
}

fn tell_of_key(
    source: &dyn KeySource,
    key: &PrivateKey,
    took: Duration,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let mut place = source.short();
    if source.command().is_some() {
        place += &format!(" in {} ms", took.as_millis());
    }
    let fingerprint = key.public().map_or_else(String::new, |public| public.fingerprint());
    if let Some(path) = source.file()
        && let Some(mode) = open_to_others(path)
    {
        let what = Error::new(format!("{place} is readable by others (mode {mode:o}); {fingerprint}"));
        return report.warning("private key", what.hint(format!("chmod 600 {}", path_in_shell(path))));
    }
    report.ok("private key", format!("{place}, {fingerprint}"))
}

/// Whether the command signs.
fn examine_sign_command(
    sign: &SignCommand,
    source: &TokenSource<'_>,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<bool> {
    let began = Instant::now();
    if let Err(why) = source.app().jwt(world.clock.now(), jwt::LIFETIME) {
        report.failure("sign command", why)?;
        return Ok(false);
    }
    let signed = format!("{} signs in {} ms", sign.command.name(), began.elapsed().as_millis());
    match sign.public_key()? {
        Some(key) => report.ok("sign command", format!("{signed}, with the key {}", key.fingerprint()))?,
        None => {
            let what =
                Error::new(format!("{signed}; only GitHub can tell whether the key is one of the App's"));
            let hint = "name the App's public key in public-key: openssl rsa -in KEY.pem -pubout";
            report.warning("sign command", what.hint(hint))?;
        }
    }
    Ok(true)
}

/// Whether the command gives a token: it is called once, whatever is cached.
pub(super) fn examine_token_command(
    selected: &Selected<'_>,
    source: &TokenSource<'_>,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    const STEP: &str = "token command";
    match source.token(&selected.place, Need::New) {
        Ok(Outcome::Issued(issued)) => {
            let took = issued.command_took.map(|took| format!(" in {} ms", took.as_millis()));
            let (name, took) = (&selected.rule.app_id, took.unwrap_or_default());
            let expires = soon(issued.token.expires_at(), world.clock.now());
            report.ok(STEP, format!("{name} gave a token{took}, which expires {expires}"))?;
            examine_git_server(selected, &issued, source, world, report)
        }
        Ok(Outcome::NotInstalled(why)) | Err(why) => report.failure(STEP, why),
    }
}

pub(super) fn examine_stores(
    source: &TokenSource<'_>,
    config: &Config,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let stores = source.cache().test_stores();
    let works = stores.iter().any(|(_, result)| result.is_ok());
    if stores.is_empty() {
        let what = Error::new("tokens are not cached (cache = \"none\"), so every call mints one");
        report.warning("token store", what)?;
    }
    for (name, result) in &stores {
        match result {
            Ok(()) => report.ok("token store", format!("{name} works"))?,
            Err(why) if works => {
                report.warning("token store", Error::new(format!("{name} is not used: {why}")))?;
            }
            Err(why) => {
                let what = Error::new(format!("{name} does not work, so every call mints: {why}"));
                report.failure("token store", what.hint("try cache = \"file\", or GHAPP_CACHE=file"))?;
            }
        }
    }
    examine_shared_cache(source, report)?;
    examine_locks(source, report)?;
    let now = world.clock.now();
    let (cached, failures) = cached(config, world);
    for why in failures {
        report.warning("cached tokens", why)?;
    }
    let is_one_apps = cached.iter().all(|it| it.label.app == cached[0].label.app);
    let tokens = cached.iter().map(|it| {
        let app = if is_one_apps { String::new() } else { format!(" ({})", it.label.app) };
        format!("{} on {}{app} expires {}", it.whom(), it.label.host, soon(it.expires_at, now))
    });
    let tokens: Vec<String> = tokens.collect();
    let listed = if tokens.is_empty() { "none".to_owned() } else { tokens.join(", ") };
    report.ok("cached tokens", listed)
}

/// Whether machines can share what they learn and mint. Without that each is by itself, as it would be anyway.
fn examine_shared_cache(source: &TokenSource<'_>, report: &mut Report<'_, '_>) -> Result<()> {
    let Some(address) = source.cache().shared_with() else { return Ok(()) };
    match source.cache().test_shared() {
        Ok(-1..=1) => report.ok("shared cache", format!("{address} works")),
        Ok(ahead) => {
            let offset = describe_offset(ahead);
            report.ok("shared cache", format!("{address} works; this clock is {offset} its clock"))
        }
        Err(why) => {
            let what = format!("{address} is not used, so this machine mints for itself: {}", why.message());
            let advice = "check that it runs, and that this machine may connect to it";
            report.warning("shared cache", Error::new(what).hint(advice).hint_of(&why))
        }
    }
}

/// Whether another process is stuck on the way to a token, for which everybody else waits.
fn examine_locks(source: &TokenSource<'_>, report: &mut Report<'_, '_>) -> Result<()> {
    /// What works is seldom at one thing for so long.
    const PATIENCE: Duration = Duration::from_secs(3);
    for path in source.cache().held_locks(PATIENCE) {
        let what =
            format!("another process has held a lock for {} s, and others wait for it", PATIENCE.as_secs());
        let hint = format!("it may hang; find it: fuser -v {}", path_in_shell(&path));
        report.warning("locks", Error::new(what).hint(hint))?;
    }
    Ok(())
}

/// Whether GitHub knows the App.
pub(super) fn examine_app(
    source: &TokenSource<'_>,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<bool> {
    if let Some(until) = source.limited_until() {
        let left = describe(until.since(world.clock.now()));
        let what = format!(
            "the rate limit of App {} is used up, so git gets no new token for {left}; cached ones keep working",
            source.app().id()
        );
        let hint = "to ask GitHub now: git-credential-ghapp token --fresh";
        report.warning("rate limit", Error::new(what).hint(hint))?;
    }
    let github = match source.github() {
        Ok(github) => github,
        Err(why) => {
            report.failure("App", why.into_error())?;
            return Ok(false);
        }
    };
    github.leave_clock_to_caller();
    let app = match github.app() {
        Ok(app) => app,
        Err(why) => {
            report.failure("App", why.into_error())?;
            return Ok(false);
        }
    };
    match github.measured_clock_offset() {
        Some(offset) if offset_matters(offset) => {
            let what =
                format!("this clock is {} GitHub's, whose time is used instead", describe_offset(offset));
            report.warning("clock", Error::new(what).hint("set the clock"))?;
        }
        Some(_) => report.ok("clock", "right to within seconds")?,
        None => report.warning("clock", Error::new("the server does not say what time it is"))?,
    }
    match &app {
        Some(app) => {
            let name = app.name.as_ref().unwrap_or(&app.slug);
            report.ok("App", format!("{name}{}, {}", app.of_owner(), app.html_url))?;
        }
        None => report.ok("App", format!("{}, which this API does not describe", source.app().id()))?,
    }
    Ok(true)
}

pub(super) fn examine_installation(
    selected: &Selected<'_>,
    source: &TokenSource<'_>,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let routing = source.routing(&selected.place);
    let found = match selected.rule.installation.clone() {
        Some(id) => Some(id.into()),
        // Whatever is remembered: that may be what is wrong.
        None => match source.look_up_afresh(&selected.place) {
            Ok(found) => found,
            Err(why) => return report.failure("installation", why.into_error()),
        },
    };
    examine_route(&routing, found.as_ref(), selected, report)?;
    if let Some(InstallationRef { id, .. }) = found {
        let details = source.github().and_then(|github| github.installation(&id));
        match details {
            Ok(Some(details)) => {
                let owner = details.owner().unwrap_or("an enterprise").to_owned();
                let selection = installations::selection(&details);
                let git_can = installations::git_can(&details);
                let text = format!("{id} on {owner}, {selection} repositories; {git_can}");
                if details.is_usable() {
                    report.ok("installation", text)?;
                } else {
                    let hint = installations::step_to_usable(&details);
                    report.failure("installation", Error::new(text).hint(hint))?;
                    return Ok(());
                }
            }
            Ok(None) => {
                let what = Error::new(format!("there is no installation {id} of this App"));
                let hint = "install the App again, or correct installation-id in the configuration";
                report.failure("installation", what.hint(hint))?;
                if selected.rule.installation.is_some() {
                    return Ok(());
                }
            }
            Err(why) => report.warning("installation", why.into_error())?,
        }
    }
    match source.token(&selected.place, Need::Fresh) {
        Ok(Outcome::NotInstalled(why)) => report.failure("installation", why),
        Ok(Outcome::Issued(issued)) => {
            let granted = source.granted(&issued).permissions;
            report.ok("token", format!("issued, with {}", what_it_may(granted.as_ref(), UNKNOWN)))?;
            examine_git_server(selected, &issued, source, world, report)
        }
        Err(why) => report.failure("token", why),
    }
}

/// How a call comes to the installation, and whether what it remembered was right.
fn examine_route(
    routing: &Routing,
    found: Option<&InstallationRef>,
    Selected { rule, place }: &Selected<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let owner = place.owner().unwrap_or_default();
    match (routing, found) {
        (Routing::Remembered(old, _), Some(found)) if old.id != found.id => {
            let (old, new) = (&old.id, &found.id);
            let what = format!("installation {old} was remembered, but GitHub says {new}, which is used from now on");
            report.warning("route", Error::new(what))
        }
        (Routing::Remembered(old, _), None) => {
            let what = format!("installation {} was remembered, but GitHub says that there is none", old.id);
            report.warning("route", Error::new(what))
        }
        (Routing::Configured, _) => report.ok("route", "installation-id in the configuration names the installation"),
        (Routing::Remembered(_, Learnt::Lookup), _) => report.ok("route", "remembered from a lookup"),
        (Routing::Remembered(_, Learnt::Probe), _) => report.ok(
            "route",
            format!("remembered: git's server accepted the token of {owner}'s installation"),
        ),
        (Routing::ByOwner(installation), _) => report.ok(
            "route",
            format!(
                "none is remembered for {}; a call would probe it with the token of {owner}'s installation {}",
                place.repository().map_or_else(String::new, ToString::to_string),
                installation.id
            ),
        ),
        (Routing::ByLookup, _) => report.ok("route", format!("looked up at {}", rule.api)),
    }
}

/// Whether git's server accepts the token.
pub(super) fn examine_git_server(
    selected: &Selected<'_>,
    issued: &Issued,
    source: &TokenSource<'_>,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(12);
    let Place::Repository(host, repository) = &selected.place else {
        return report.ok("probe", "skipped, because no repository was named");
    };
    let probe = |token: &Token| {
        GitServer::new(host, &selected.rule.vendor().username, world, PATIENCE)?.probe(
            repository,
            &token.secret,
            PATIENCE,
        )
    };
    let mut probed = probe(&issued.token);
    if matches!(probed, Ok(401)) && !issued.token.is_new(world.clock) {
        // It was revoked since it was cached: git gets a new one, and so does this.
        let refused = issued.token.secret.fingerprint();
        match source.token(&selected.place, Need::OtherThan(&refused)) {
            Ok(Outcome::Issued(issued)) => probed = probe(&issued.token),
            Ok(Outcome::NotInstalled(why)) | Err(why) => return report.failure("token", why),
        }
        report.ok("token", "the cached one was refused, so a new one was minted")?;
    }
    match probed {
        Ok(status) if status < 400 => {
            report.ok("probe", format!("{host} accepts the token for {repository}"))
        }
        Ok(404) => {
            let what = Error::new(format!(
                "{host} returned 404: the token does not reach {repository}, or there is no such repository"
            ));
            let hint = match selected.rule.identity.token_command() {
                Some(_) => format!("let {} give one that does", selected.rule.client()),
                None => format!("add the repository to the installation of App {}", selected.rule.app_id),
            };
            report.failure("probe", what.hint(hint))
        }
        Ok(status) => {
            let what = Error::new(format!("{host} returned {status} to the token for {repository}"));
            report.failure("probe", what.hint("check the installation's permissions and the IP allow list"))
        }
        Err(why) => report.failure("probe", why),
    }
}
