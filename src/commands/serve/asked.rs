//! From a request to what its token would be for. Here it is decided what is allowed; GitHub is not asked.

use super::audit::Note;
use super::policy::Policy;
use crate::commands::{bazel, by_socket, narrow, place, token};
use crate::config::{Config, Selected};
use crate::error::{Error, Result};
use crate::helper::protocol::Request;
use crate::names::{Place, redacted};
use crate::socket::{DECLINED, Message, SAME_VERSION};
use crate::source::Narrowing;
use crate::token::Permissions;

/// What a request asks for.
pub(super) enum Asked<'c> {
    /// A token, or to say whether one worked.
    Token(Allowed<'c>),
    /// No token: this is the answer.
    NoToken(Message),
}

/// A token that may be given out: from which rule, for which place, and narrowed to what.
pub(super) struct Allowed<'c> {
    pub(super) selected: Selected<'c>,
    pub(super) narrowing: Narrowing,
}

/// Finds out what a request asks for, and notes that.
///
/// # Errors
/// If it asks for what is not allowed, or for nothing that there is.
pub(super) fn asked<'c>(
    message: &Message,
    policy: &Policy,
    config: &'c Config,
    note: &mut Note,
) -> Result<Asked<'c>> {
    let asked = match message.word() {
        "get" | "store" | "erase" => by_git(message, policy, config, note)?,
        token::OPERATION => by_tools(message, policy, config, note)?,
        bazel::OPERATION => by_bazel(message, policy, config, note)?,
        by_socket::STATUS => Asked::NoToken(policy.to_message()),
        _ => return Err(Error::new("there is no such operation").hint(SAME_VERSION)),
    };
    if let Asked::Token(allowed) = &asked {
        allowed.put_into(note);
    }
    Ok(asked)
}

/// git's request in a message: all lines below the word.
pub(super) fn request_of(message: &Message) -> Result<Request> {
    let bytes = message.to_bytes();
    Request::read(bytes.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default())
}

fn by_git<'c>(message: &Message, policy: &Policy, config: &'c Config, note: &mut Note) -> Result<Asked<'c>> {
    let place = request_of(message)?.place(&|host, name| config.is_username(host, name));
    let Some(place) = place.filter(|place| policy.serves(place.host())) else {
        return Ok(Asked::NoToken(Message::new(DECLINED)));
    };
    note.places = place.to_string();
    policy.select(&place, &Narrowing::default(), config).map(Asked::Token)
}

fn by_tools<'c>(
    message: &Message,
    policy: &Policy,
    config: &'c Config,
    note: &mut Note,
) -> Result<Asked<'c>> {
    note.places = redacted(message.value("name").or(message.value("remote")).unwrap_or_default());
    let remote = || place::named(message.value("remote")?, config).ok().filter(|it| policy.serves(it.host()));
    let mut place = match message.value("name") {
        Some(name) => place::named(name, config)?,
        None => match remote() {
            Some(place) => place,
            None => Place::Host(policy.only_host()?.clone()),
        },
    };
    let mut asked_for = Narrowing::default();
    for name in message.values("repository[]") {
        let its = match name.contains(['/', ':']) {
            true => place::named(name, config)?,
            // One of the owner that is named.
            false => {
                let owner = place.owner().map_or_else(|| policy.only_owner(place.host()), Ok)?;
                place::named(&format!("https://{}/{owner}/{name}", place.host()), config)?
            }
        };
        if its.host() != place.host() && !asked_for.repositories.is_empty() {
            return Err(Error::new("one token cannot be for repositories on several hosts"));
        }
        match its.repository() {
            Some(repository) => asked_for.repositories.push(repository.clone()),
            None => return Err(Error::new(format!("{:?} is not a repository", redacted(name)))),
        }
        place = its;
    }
    note.places = listed_places(&place, &asked_for);
    if !policy.serves(place.host()) {
        return Ok(Asked::NoToken(Message::new(DECLINED)));
    }
    for permission in message.values("permission[]") {
        let (name, level) = narrow::permission(permission)
            .map_err(|why| Error::new(format!("{permission:?} is not a permission")).hint(why))?;
        asked_for.permissions.insert(name, level);
    }
    note.permissions = listed(&asked_for.permissions);
    policy.select(&place, &asked_for, config).map(Asked::Token)
}

/// Of the address only its repository or its host is noted: the rest may hold secrets.
fn by_bazel<'c>(
    message: &Message,
    policy: &Policy,
    config: &'c Config,
    note: &mut Note,
) -> Result<Asked<'c>> {
    let uri = bazel::address(message.value("uri").unwrap_or_default())?;
    note.places = uri.host().unwrap_or_default().to_owned();
    let Some(place) = bazel::place(&uri, config).filter(|place| policy.serves(place.host())) else {
        return Ok(Asked::NoToken(Message::new(DECLINED)));
    };
    note.places = place.to_string();
    match policy.select(&place, &Narrowing::default(), config) {
        // Bazel fetches public files of many owners: it goes on without a token.
        Err(why) if !policy.names_owner_of(&place) => {
            Ok(Asked::NoToken(Message::new(DECLINED).with("error", why.message())))
        }
        allowed => allowed.map(Asked::Token),
    }
}

impl Allowed<'_> {
    /// Notes what it is for.
    fn put_into(&self, note: &mut Note) {
        let Self { selected, narrowing } = self;
        note.places = listed_places(&selected.place, narrowing);
        note.permissions = listed(match narrowing.permissions.is_empty() {
            true => &selected.rule.permissions,
            false => &narrowing.permissions,
        });
    }
}

/// The repositories that a token is narrowed to, and without any the place that it is for.
fn listed_places(place: &Place, narrowing: &Narrowing) -> String {
    let host = place.host();
    let places: Vec<String> = match narrowing.repositories.as_slice() {
        [] => vec![place.to_string()],
        all => all.iter().map(|it| Place::Repository(host.clone(), it.clone()).to_string()).collect(),
    };
    places.join(",")
}

fn listed(permissions: &Permissions) -> String {
    let each: Vec<String> = permissions.iter().map(|(name, level)| format!("{name}:{level}")).collect();
    each.join(",")
}
