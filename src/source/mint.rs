//! A token that is not cached: GitHub mints it, or a command gives it.

use super::TokenSource;
use crate::app::token_command::TokenCommand;
use crate::cache::{ApiState, Grant, TokenKey};
use crate::error::Result;
use crate::github::Failure;
use crate::names::{InstallationRef, Place};
use crate::token::{Granted, Label, Need, Token};

/// Who gives a token that is not cached.
#[derive(Clone, Copy)]
pub(crate) enum MintedBy<'r> {
    /// GitHub, of this installation.
    GitHub(&'r InstallationRef),
    /// A command.
    Command(&'r TokenCommand),
}

impl MintedBy<'_> {
    /// None: a command does not say of which installation a token is.
    pub(super) fn installation(self) -> Option<InstallationRef> {
        match self {
            Self::GitHub(installation) => Some(installation.clone()),
            Self::Command(_) => None,
        }
    }
}

impl TokenSource<'_> {
    /// Lets GitHub mint a token. Where there is a fallback, that does not take long.
    pub(super) fn mint(
        &self,
        installation: &InstallationRef,
        place: &Place,
        has_fallback: bool,
    ) -> Result<(Token, Granted), Failure> {
        self.open_git_server(place);
        let minted = self.github().and_then(|github| {
            if has_fallback {
                github.be_brief();
            }
            let minted = github.mint(
                &installation.id,
                &self.scope(place, installation),
                self.narrowing_is_without_contents(),
            )?;
            let state = ApiState { clock_offset: github.clock_offset(), limited_until: None };
            self.cache.note_api_state(&self.api_key(), &state);
            Ok(minted)
        });
        self.note_trouble(minted)
    }

    /// Lets a command give a token.
    pub(super) fn run(
        &self,
        command: &TokenCommand,
        key: &TokenKey,
        place: &Place,
        need: Need<'_>,
    ) -> Result<(Token, Granted), Failure> {
        self.check_outage(key)?;
        // Another time it may succeed, and what is cached may help until then.
        let given = command.token(&self.place_for_command(place), self.world).map_err(|why| {
            self.cache.note_outage(key, &why);
            Failure::Unreachable(why)
        })?;
        let token = Token::minted(given.0, given.1, self.rule.vendor().longest_lifetime, self.world.clock);
        if need.excludes(&token) {
            return Err(command.gave_it_again().into());
        }
        Ok((token, Granted::default()))
    }

    /// What a command is told of a place: no more than its token may be used for.
    pub(super) fn place_for_command(&self, place: &Place) -> Place {
        match place {
            Place::Repository(host, repository) if !self.rule.per_repository() => {
                Place::Owner(host.clone(), repository.owner.clone())
            }
            place => place.clone(),
        }
    }

    /// What is remembered about a token: whose it is, and what it may do.
    pub(super) fn grant(
        &self,
        minted_by: MintedBy<'_>,
        place: &Place,
        granted: &Granted,
        token: &Token,
    ) -> Grant {
        /// With more the label would be larger than the token, and some stores have little room.
        const MOST_LABELLED: usize = 8;
        let repositories = self.repositories(place);
        let is_few = repositories.len() <= MOST_LABELLED;
        let label = Label {
            host: self.rule.host.to_string(),
            api: self.rule.api.to_string(),
            app: self.rule.app_id.clone(),
            installation: minted_by.installation().map(|it| it.id),
            owner: place.owner().map(str::to_owned),
            repositories: repositories.into_iter().filter(|_| is_few).map(ToString::to_string).collect(),
            minted_elsewhere: false,
        };
        Grant { label, granted: granted.clone(), expires_at: token.expires_at() }
    }
}
