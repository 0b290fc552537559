//! Tokens of a command: there is no key here, but a broker that has tokens.

use serde::Deserialize;
use serde_json::Value;

use crate::command::ConfiguredCommand;
use crate::error::{Error, Result};
use crate::names::Place;
use crate::secret::Secret;
use crate::time::Timestamp;
use crate::token::is_token;
use crate::world::World;

/// The setting that names the command.
pub(crate) const SETTING: &str = "token-command";

/// What the command is told of the place: the host, the owner, and `OWNER/REPO`. What the token is not for alone is empty.
/// They begin like this program's own variables, and are none of them: a command may run git, which runs this program.
pub(crate) const VARIABLES: [&str; 3] = ["GHAPP_FOR_HOST", "GHAPP_FOR_OWNER", "GHAPP_FOR_REPOSITORY"];

/// For how many seconds a token is kept of which the command does not say when it expires. It may come from a cache of the
/// broker's, and have most of its hour behind it.
const UNKNOWN_LIFETIME: i64 = 600;

/// A command that prints a token.
#[derive(Clone, Debug)]
pub(crate) struct TokenCommand {
    /// What is run.
    pub(crate) command: ConfiguredCommand,
}

/// What the command prints: the token alone, or this.
#[derive(Deserialize)]
struct Printed {
    token: Secret,
    #[serde(default)]
    expires_at: Value,
}

impl TokenCommand {
    /// Lets the command give a token for a place, and tells for how many seconds that is valid.
    ///
    /// # Errors
    /// If it fails, or if what it prints is not a token, or one that has expired.
    pub(crate) fn token(&self, place: &Place, world: &World<'_>) -> Result<(Secret, i64)> {
        let host = place.host().to_string();
        let repository = place.repository().map(ToString::to_string).unwrap_or_default();
        let values = [host.as_str(), place.owner().unwrap_or_default(), &repository];
        let variables: Vec<(&str, &str)> = VARIABLES.into_iter().zip(values).collect();
        let printed = self.command.run(b"", &variables, world)?;
        let text =
            std::str::from_utf8(printed.trim_ascii()).map_err(|_| self.wrong("bytes that are no text"))?;
        let (token, expires_at) = if text.starts_with('{') {
            // serde's own message could quote the token.
            let printed: Printed = serde_json::from_str(text)
                .map_err(|_| self.wrong("JSON without a token, or text that only begins like JSON"))?;
            (printed.token, Some(printed.expires_at).filter(|value| !value.is_null()))
        } else {
            (Secret::new(text.to_owned()), None)
        };
        if !is_token(token.expose()) {
            return Err(self.wrong("something that is not one token"));
        }
        let Some(expires_at) = expires_at else { return Ok((token, UNKNOWN_LIFETIME)) };
        let expires_at = Timestamp::parse(&expires_at)
            .ok_or_else(|| self.wrong("a token with an expires_at that is not a time"))?;
        match expires_at.since(world.clock.now()) {
            lifetime @ 1.. => Ok((token, lifetime)),
            lifetime => {
                let ago = crate::time::describe(lifetime);
                let what =
                    format!("{} printed a token that has expired already, {ago} ago", self.command.name());
                Err(self
                    .command
                    .failure(what)
                    .hint("set the clock, if it is not right, or ask who runs the broker"))
            }
        }
    }

    /// That it gave the very token that git's server refused.
    pub(crate) fn gave_it_again(&self) -> Error {
        let what = format!("{} printed the token that was just refused", self.command.name());
        self.command
            .failure(what)
            .hint("let it get a new one: a token that is refused was revoked, or reaches nothing there")
    }

    fn wrong(&self, what: &str) -> Error {
        self.command
            .failure(format!("{} printed {what}", self.command.name()))
            .hint("it must print a token alone, or JSON with token and expires_at")
    }
}
