//! `get`: from git's question to its answer. Where the token comes from is told in [`crate::source`].

use std::io::Write;

use super::protocol::{Answer, Request};
use crate::config::variables::or_is_empty;
use crate::config::{Config, Rule, Selected, for_public, select};
use crate::error::{Error, Result};
use crate::names::{Host, Place};
use crate::source::{Outcome, TokenSource};
use crate::token::Token;
use crate::world::World;

/// Answers a request. Without an answer git asks its next helper.
///
/// # Errors
/// If a rule answers for the place, but no token can be had. git is told not to ask anybody else, unless the rule says so.
pub(super) fn get(
    request: &Request,
    config: &Config,
    world: &World<'_>,
    mut stdout: impl Write,
) -> Result<()> {
    if config.rules.is_empty() {
        world.terminal.warning(&nothing_configured(world));
        return Ok(());
    }
    let place = request.place(&|host, name| config.is_username(host, name));
    let selected = place.clone().map_or(Ok(None), |place| select(place, config));
    let quits = match &selected {
        Ok(Some(selected)) => selected.rule.quit_on_failure,
        // It is not clear which rule is meant: it is each one for this host.
        _ => config.rules.iter().any(|rule| {
            rule.quit_on_failure
                && request.host.as_deref().and_then(Host::parse).is_none_or(|it| it == rule.host)
        }),
    };
    let answer = selected.and_then(|selected| match selected {
        Some(selected) => {
            let source = TokenSource::for_git(selected.rule, config, world);
            answer(request, &selected, &source, world)
        }
        None => Ok(public(place.as_ref(), request, config, world)),
    });
    match answer {
        Ok(Some(answer)) => answer.write(stdout),
        Ok(None) => Ok(()),
        Err(error) => {
            if quits {
                // Where git cannot be told any more, the exit code and the message still are.
                let _ = Answer::Quit.write(&mut stdout);
            }
            Err(error)
        }
    }
}

/// The answer by a rule. `None`: the App is not installed there, and the rule does not promise that it is.
fn answer(
    request: &Request,
    selected: &Selected<'_>,
    source: &TokenSource<'_>,
    world: &World<'_>,
) -> Result<Option<Answer>> {
    match issue(request, selected, source, world)? {
        Outcome::Issued(issued) => Ok(Some(credential(issued.token, selected.rule, request))),
        // A rule for every owner is also asked about repositories that somebody else's credential may reach.
        Outcome::NotInstalled(why) if !selected.rule.names_what_it_is_for() => {
            world.terminal.warning(&why);
            Ok(None)
        }
        Outcome::NotInstalled(why) => Err(why),
    }
}

/// The answer for a place that no rule is for: if it is a public repository, and a rule gives tokens for those.
fn public(place: Option<&Place>, request: &Request, config: &Config, world: &World<'_>) -> Option<Answer> {
    let answer = place.and_then(|place| {
        let rule = for_public(place, config)?;
        world.terminal.trace(|| format!("rule: {} ({})", rule.client(), rule.origin));
        let need = request.need();
        let issued = TokenSource::for_git(rule, config, world).for_public(place, need)?;
        Some(credential(issued.token, rule, request))
    });
    if answer.is_none() {
        world.terminal.trace(|| "declined: nothing is configured for this".to_owned());
    }
    answer
}

/// A token that git can use.
///
/// # Errors
/// If none can be had.
pub(crate) fn issue(
    request: &Request,
    selected: &Selected<'_>,
    source: &TokenSource<'_>,
    world: &World<'_>,
) -> Result<Outcome> {
    let Selected { rule, place } = selected;
    world.terminal.trace(|| format!("rule: {} ({})", rule.client(), rule.origin));
    let outcome = source.token(place, request.need())?;
    if let Outcome::Issued(issued) = &outcome {
        world.terminal.trace(|| {
            let remaining = issued.token.remaining(world.clock);
            match &issued.installation {
                Some(it) => format!("answered: token of installation {}, {remaining} s left", it.id),
                None => format!("answered: token of {}, {remaining} s left", rule.client()),
            }
        });
        // git would drop it without a word, and ask a person for a password.
        if issued.token.remaining(world.clock) <= 0 {
            return Err(Error::new(format!("the token for {place} expired before git could get it"))
                .hint(format!("ask who runs {} how long its tokens live", rule.api)));
        }
    }
    Ok(outcome)
}

/// A token for git. If it is refused, a git that understands `state[]` asks once more.
fn credential(token: Token, rule: &Rule, request: &Request) -> Answer {
    Answer::Credential {
        username: rule.vendor().username.to_string(),
        expires_at: token.expires_at(),
        state: request.may_retry().then(|| token.secret.fingerprint()),
        password: token.secret,
    }
}

/// For a person who set git up for this helper and forgot the other half.
fn nothing_configured(world: &World<'_>) -> Error {
    let file = world.folders.user_config.as_ref();
    let file = file.map_or("its configuration".into(), |path| path.to_string_lossy());
    let what = Error::new("no App is configured, so git gets no credential").hint(format!(
        "git-credential-ghapp setup, or describe the App in {file}, or set GHAPP_APP_ID and GHAPP_PRIVATE_KEY_FILE"
    ));
    or_is_empty(what, world)
}
