//! What a person calls where the key is elsewhere: whoever serves at the socket is asked.

use std::ffi::OsStr;

use serde::Serialize;
use ureq::http::Uri;

use super::narrow::Narrow;
use super::output::what_it_may;
use super::token::Given;
use super::{bazel, place, token};
use crate::error::{Error, Result};
use crate::names::{host_of, redacted, without_user};
use crate::socket::{self, ANSWERED, Message};
use crate::token::{Permissions, Token};
use crate::world::World;

/// Which token is asked for.
pub(super) struct TokenRequest<'w> {
    /// What a person names; default: the remote of the current repository, or the only thing that is served.
    pub(super) name: Option<&'w str>,
    pub(super) repositories: &'w [String],
    pub(super) narrow: Option<&'w Narrow>,
    /// For how many seconds it is to be valid at least.
    pub(super) min_fresh: i64,
    /// Whether the name and the address of the App's bot are asked for too.
    pub(super) identity: bool,
}

/// What is given.
pub(super) struct Answer {
    pub(super) given: Given,
    /// The name and the address of the App's bot.
    pub(super) identity: Option<(String, String)>,
}

/// Asks for a token. `None`: it is for a host that nothing is served of.
///
/// # Errors
/// If there is no answer, or a refusal.
pub(super) fn ask(socket: &OsStr, request: &TokenRequest<'_>, world: &World<'_>) -> Result<Option<Answer>> {
    // What a URL says of users and passwords is for nobody else.
    let name = request.name.map(without_user);
    let remote = if name.is_none() { place::remote().map(|url| without_user(&url)) } else { None };
    let mut message = Message::new(token::OPERATION)
        .with_some("name", name.as_deref())
        .with_some("remote", remote.as_deref())
        .with("min_fresh", &request.min_fresh.to_string())
        .with_some("identity", request.identity.then_some("1"));
    for repository in request.repositories {
        message = message.with("repository[]", &without_user(repository));
    }
    for (name, level) in request.narrow.map(Narrow::permissions).unwrap_or_default() {
        message = message.with("permission[]", &format!("{name}={level}"));
    }
    let answer = socket::ask(socket, &message, world)?;
    if answer.word() != ANSWERED {
        return Ok(None);
    }
    let given = Given::from_message(&answer, world.clock)?;
    let text = |key| answer.value(key).map(str::to_owned);
    Ok(Some(Answer { given, identity: text("identity_name").zip(text("identity_address")) }))
}

/// The same, where a person named what is to be served.
///
/// # Errors
/// The same, and if nothing is served of its host.
pub(super) fn require(socket: &OsStr, request: &TokenRequest<'_>, world: &World<'_>) -> Result<Answer> {
    ask(socket, request, world)?.ok_or_else(|| {
        let what = request.name.map_or_else(|| "this".to_owned(), |name| format!("{:?}", redacted(name)));
        Error::new(format!("nothing is served at {} for {what}", socket.to_string_lossy()))
            .hint("name a repository that serve allows, or add it where serve runs: --allow OWNER/REPO")
    })
}

/// Asks for a token for an address that Bazel fetches. `None`: there is none for it.
///
/// # Errors
/// If there is no answer, or a refusal.
pub(super) fn token_for_bazel(socket: &OsStr, uri: &Uri, world: &World<'_>) -> Result<Option<Token>> {
    // Neither the user nor the query of an address says which repository it is of, and both may be secrets.
    let address = format!("{}://{}{}", uri.scheme_str().unwrap_or_default(), host_of(uri), uri.path());
    let answer = socket::ask(socket, &Message::new(bazel::OPERATION).with("uri", &address), world)?;
    if answer.word() != ANSWERED {
        let why = answer.value("error").unwrap_or("nothing is served for this");
        world.terminal.trace(|| format!("declined: {why}"));
        return Ok(None);
    }
    token::token_of(&answer, world.clock).map(Some)
}

/// The name of the operation that asks what is served.
pub(super) const STATUS: &str = "status";

/// Who serves at the socket, and what.
#[derive(Debug, Serialize)]
pub(super) struct Served {
    /// The socket.
    pub(super) socket: String,
    /// The version of the program that serves.
    pub(super) version: String,
    /// The repositories and owners that tokens are given out for: their addresses, the first ones of very many.
    pub(super) allowed: Vec<String>,
    /// How many there are besides.
    pub(super) not_listed: usize,
    /// What tokens may do at most; `None`: what the rules allow where `serve` runs.
    pub(super) permissions: Option<Permissions>,
}

impl Served {
    /// What tokens are for, in words.
    pub(super) fn whom(&self) -> String {
        const MOST_SHOWN: usize = 10;
        let shown = self.allowed.iter().take(MOST_SHOWN).cloned().collect::<Vec<_>>().join(", ");
        match self.allowed.len().saturating_sub(MOST_SHOWN).saturating_add(self.not_listed) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    }

    /// What they may do, in words.
    pub(super) fn what(&self) -> String {
        what_it_may(self.permissions.as_ref(), "what the rules allow where serve runs")
    }
}

/// Asks what is served.
///
/// # Errors
/// If there is no answer, or a refusal.
pub(super) fn served(socket: &OsStr, world: &World<'_>) -> Result<Served> {
    let answer = socket::ask(socket, &Message::new(STATUS), world)?;
    let permissions = answer.values("permission[]").filter_map(|it| it.split_once('='));
    let permissions: Permissions =
        permissions.map(|(name, level)| (name.to_owned(), level.to_owned())).collect();
    Ok(Served {
        socket: socket.to_string_lossy().into_owned(),
        version: answer.value("version").unwrap_or("of an unknown version").to_owned(),
        allowed: answer.values("allowed[]").map(str::to_owned).collect(),
        not_listed: answer.value("not_listed").and_then(|text| text.parse().ok()).unwrap_or(0),
        permissions: (!permissions.is_empty()).then_some(permissions),
    })
}

/// That a command needs the App itself.
pub(super) fn not_here(command: &str) -> Error {
    Error::new(format!("{command} needs the App itself, and {} is set", socket::VARIABLE))
        .hint("run it where serve runs, or unset the variable")
}
