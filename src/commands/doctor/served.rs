//! Where the key is elsewhere: whether somebody serves at the socket, what tokens there are, and whether git asks for them.

use std::ffi::OsStr;

use super::git::{examine_fetch, examine_gits_side, examine_url, url_as_written};
use super::github::UNKNOWN;
use super::report::Report;
use crate::commands::by_socket::{self, TokenRequest};
use crate::commands::output::{soon, what_it_may};
use crate::commands::place;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::names::{Host, Place, without_user};
use crate::socket::{SAME_VERSION, VARIABLE, VERSION};
use crate::world::{PRIVATE_KEY, World};

/// How many places a token is asked for: each may cost a mint outside.
const MOST_PLACES: usize = 20;

pub(super) fn examine_socket(
    socket: &OsStr,
    name: Option<&str>,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    if world.variables.path(PRIVATE_KEY).is_some() {
        let what = Error::new(format!("{PRIVATE_KEY} is set here, where the key should not be"));
        report.warning("environment", what.hint("unset it here: only serve needs it"))?;
    }
    let served = match by_socket::served(socket, world) {
        Ok(served) => served,
        Err(why) => return report.failure("socket", why),
    };
    let (version, shown) = (&served.version, &served.socket);
    report.ok("socket", format!("git-credential-ghapp {version} serves at {shown} ({VARIABLE})"))?;
    if *version != VERSION {
        let what = Error::new(format!("this is git-credential-ghapp {VERSION}, and {version} serves"));
        report.warning("version", what.hint(SAME_VERSION))?;
    }
    report.ok("served", format!("tokens for {}; permissions: {}", served.whom(), served.what()))?;
    let allowed: Vec<Place> =
        served.allowed.iter().filter_map(|it| place::named(it, &Config::default()).ok()).collect();
    let remote = || place::remote().filter(|url| is_of_host(url, &allowed));
    let names = match name.map(str::to_owned).or_else(remote) {
        Some(name) => vec![name],
        None => served.allowed.iter().take(MOST_PLACES).cloned().collect(),
    };
    for (position, name) in names.iter().enumerate() {
        examine_name(socket, name, &allowed, position == 0, world, report)?;
    }
    Ok(())
}

/// Whether something on its host is served.
fn is_of_host(url: &str, allowed: &[Place]) -> bool {
    place::named(url, &Config::default())
        .is_ok_and(|place| allowed.iter().any(|it| it.host() == place.host()))
}

/// Whether there is a token for what is named, and whether git asks for it. What git is told is the same for all.
fn examine_name(
    socket: &OsStr,
    name: &str,
    allowed: &[Place],
    is_first: bool,
    world: &World<'_>,
    report: &mut Report<'_, '_>,
) -> Result<()> {
    let default = allowed.first().map_or_else(Host::github, |it| it.host().clone());
    let place = match place::parse(name, &default, &|host| allowed.iter().any(|it| it.host() == host)) {
        Ok(place) => place,
        Err(why) => return report.failure("token", why),
    };
    let named = place.to_string();
    let request =
        TokenRequest { name: Some(&named), repositories: &[], narrow: None, min_fresh: 0, identity: false };
    let given = match by_socket::require(socket, &request, world) {
        Ok(answer) => answer.given,
        Err(why) => return report.failure("token", why),
    };
    let expires = soon(given.token.expires_at(), world.clock.now());
    let permissions = what_it_may(given.granted.permissions.as_ref(), UNKNOWN);
    report.ok("token", format!("for {place}, with {permissions}; it expires {expires}"))?;
    if !is_first {
        return Ok(());
    }
    let url = url_as_written(name, &place);
    examine_url(&url, &place, &given.username, report)?;
    let url = without_user(&url);
    examine_gits_side(&url, &place, &given.username, &Config::default(), world, report)?;
    if place.repository().is_some() && report.is_fine() { examine_fetch(&url, report) } else { Ok(()) }
}
