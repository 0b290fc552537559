//! `get`: from git's question to its answer. How a token is had is told in [`crate::connection`].

use crate::cache::{Entry, Wanted};
use crate::config::Config;
use crate::connection::{Connection, Outcome};
use crate::error::{Error, Result};
use crate::protocol::{Answer, Request};
use crate::route::{Route, route};
use crate::world::World;

/// What came of a request.
#[derive(Debug)]
pub enum Ending {
    /// Not ours: nothing is said, somebody else may answer.
    Declined,
    /// The rule is for every owner, and the App is not installed on this one: somebody else's credential may
    /// reach it. Told as a warning.
    NotInstalled(Error),
    /// The answer.
    Answered(Answer),
    /// A rule matched, but no token could be had.
    Failed {
        /// Why.
        error: Error,
        /// Whether git is told to ask nobody else.
        quit: bool,
    },
}

/// Answers a request.
pub fn get(request: &Request, config: &Config, world: &World<'_>) -> Ending {
    match route(request, config) {
        Ok(None) => {
            world.terminal.trace(|| "declined: nothing is configured for this".to_owned());
            Ending::Declined
        }
        Ok(Some(route)) => credential(request, &route, config, world)
            .unwrap_or_else(|error| Ending::Failed { error, quit: route.rule.quit_on_failure }),
        Err(error) => Ending::Failed { error, quit: true },
    }
}

fn credential(request: &Request, route: &Route<'_>, config: &Config, world: &World<'_>) -> Result<Ending> {
    world.terminal.trace(|| format!("rule: App {} ({})", route.rule.issuer, route.rule.origin));
    let wanted = request.refused.as_deref().map_or(Wanted::Any, Wanted::NotThis);
    match Connection::with(route.rule, config, world, |connection| connection.token(route, wanted))? {
        Outcome::Issued(issued) => {
            world.terminal.trace(|| {
                let remaining = issued.entry.remaining(world.clock.now());
                format!("answered: token of installation {}, {remaining} s left", issued.found.installation)
            });
            Ok(Ending::Answered(answer(issued.entry, request)))
        }
        // A rule for every owner is also asked for what others reach; one that names the owner is not.
        Outcome::NotInstalled(error) if route.rule.names_what_it_is_for() => Err(error),
        Outcome::NotInstalled(error) => Ok(Ending::NotInstalled(error)),
    }
}

/// A token for git. If git understands that, it comes back once should this token be refused.
fn answer(entry: Entry, request: &Request) -> Answer {
    let may_come_back = request.understands_state && request.refused.is_none();
    Answer::Credential {
        expires_at: entry.expires_at.plus(-entry.clock_offset),
        come_back: may_come_back.then(|| entry.token.fingerprint()),
        password: entry.token,
    }
}
