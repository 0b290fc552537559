//! The API and git's server: how they are reached, and what is remembered about trouble with them. Nothing is opened before it
//! is needed.

use std::rc::Rc;

use super::TokenSource;
use super::mint::MintedBy;
use crate::cache::{self, ApiState};
use crate::config::Rule;
use crate::error::Result;
use crate::git::network::{HttpSettings, Way};
use crate::git::probe::GitServer;
use crate::github::{Failure, GitHub, rate_limited};
use crate::names::{Place, Repository};
use crate::time::Timestamp;
use crate::token::Token;
use crate::world::World;

/// How a server is reached, which is asked on the way to the network only: its address, and where git itself goes.
pub(super) type Network = dyn Fn(&str, &str, &HttpSettings, &World<'_>) -> Result<Way>;

impl<'a> TokenSource<'a> {
    /// GitHub, asked as the App. An error: its rate limit is used up, it did not answer the process that this one waited for,
    /// or git's network settings are not usable.
    pub(crate) fn github(&self) -> Result<&GitHub<'a>, Failure> {
        if let Some(github) = self.github.get() {
            return Ok(github);
        }
        let Rule { api, app_id, .. } = self.rule;
        let state = self.cache.api_state(&self.api_key());
        let now = self.world.clock.now();
        if let Some(until) = state.limited_until.filter(|_| self.heeds_trouble) {
            return Err(rate_limited(api, app_id, until, now));
        }
        self.check_outage(&self.api_key())?;
        let gits_address = format!("https://{}/", self.rule.host);
        let way = (self.network)(&api.endpoint("/"), &gits_address, &self.http, self.world)?;
        let app = Rc::clone(&self.app);
        let github = GitHub::new(
            way,
            api,
            self.rule.vendor(),
            app,
            self.world,
            self.settings.deadline,
            state.clock_offset,
        );
        Ok(self.github.get_or_init(|| github))
    }

    /// git's server. An error: git's network settings are not usable.
    pub(super) fn git_server(&self) -> Result<&GitServer<'a>> {
        if let Some(server) = self.git_server.get() {
            return Ok(server);
        }
        let address = format!("https://{}/", self.rule.host);
        let Way { agent, .. } = (self.network)(&address, &address, &self.http, self.world)?;
        let username = &self.rule.vendor().username;
        let server = GitServer::reached(agent, &self.rule.host, username, self.world, self.settings.deadline);
        Ok(self.git_server.get_or_init(|| server))
    }

    /// Begins to connect to git's server where a probe comes next, so that this takes no time then.
    pub(super) fn open_git_server(&self, place: &Place) {
        if place.repository().is_some() && self.github().is_ok() {
            // An error comes again when the server is needed.
            let _ = self.git_server();
        }
    }

    /// Waits until git's server accepts a token that was minted just now. If it does not in time, git gets the token all the
    /// same, and the next call does not trust the route: the repository may have moved to another owner.
    pub(super) fn probe_fresh(&self, token: &Token, minted_by: MintedBy<'_>, place: &Place) -> Result<()> {
        if let Some(repository) = place.repository()
            && !self.narrowing_is_without_contents()
            && !self.is_accepted(token, repository)?
            && let MintedBy::GitHub(installation) = minted_by
        {
            self.cache.expire_route(&self.route_key(place), installation);
            self.cache.forget_route(&self.owner_key(place), installation);
        }
        Ok(())
    }

    /// Waits until git's server accepts a token, and warns if it does not in time.
    fn is_accepted(&self, token: &Token, repository: &Repository) -> Result<bool> {
        let warning = self.git_server()?.wait_until_accepted(repository, &token.secret);
        if let Some(warning) = &warning {
            self.world.terminal.warning(warning);
        }
        Ok(warning.is_none())
    }

    /// The first repository that a token is for. A token that was minted just now, without a repository to probe it with,
    /// is probed with that one.
    pub(crate) fn probe_any_repository(&self, token: &Token) -> Result<Option<Repository>, Failure> {
        let first = self.github()?.any_repository(&token.secret)?;
        let first = first.and_then(|it| Repository::parse(&it.full_name));
        let is_to_be_probed = token.is_new(self.world.clock) && !self.narrowing_is_without_contents();
        if let Some(repository) = first.as_ref().filter(|_| is_to_be_probed) {
            self.is_accepted(token, repository)?;
        }
        Ok(first)
    }

    /// Fails if the process that this one waited for got no answer.
    pub(super) fn check_outage(&self, key: &impl cache::Name) -> Result<(), Failure> {
        let outage = self.cache.outage(key).filter(|_| self.heeds_trouble);
        outage.map_or(Ok(()), |why| Err(Failure::Unreachable(why)))
    }

    /// Spares the next process a request that would be refused for the rate limit, and those who wait for this one requests
    /// that would not be answered.
    pub(super) fn note_trouble<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(Failure::Limited(_, until)) = &result {
            let key = self.api_key();
            let state = ApiState { limited_until: Some(*until), ..self.cache.api_state(&key) };
            self.cache.note_api_state(&key, &state);
        }
        if let (Err(Failure::Unreachable(why)), Some(_)) = (&result, self.github.get()) {
            self.cache.note_outage(&self.api_key(), why);
        }
        result
    }

    /// Until when GitHub is not asked for git, if it is remembered that its rate limit is used up.
    pub(crate) fn limited_until(&self) -> Option<Timestamp> {
        self.cache.api_state(&self.api_key()).limited_until
    }

    /// By how many seconds GitHub's clock is ahead, as it was last seen.
    pub(crate) fn clock_offset(&self) -> i64 {
        let noted = || self.cache.api_state(&self.api_key()).clock_offset;
        self.github.get().map_or_else(noted, GitHub::clock_offset)
    }
}
