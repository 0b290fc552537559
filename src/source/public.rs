//! Tokens for public repositories that the App is not installed on. Any token reads what is public, and GitHub limits who
//! comes without one: so git gets one that may do next to nothing.

use std::rc::Rc;

use super::{Issued, Narrowing, TokenSource};
use crate::config::RuleScope;
use crate::error::{Error, Result};
use crate::names::{Place, Repository};
use crate::token::{Need, Permissions};

impl<'a> TokenSource<'a> {
    /// A token for a public repository outside of all installations, which git's server accepts for it. `None`: the rule
    /// gives none, or there is no such repository that everybody may read.
    pub(crate) fn for_public(&self, place: &Place, need: Need<'_>) -> Option<Issued> {
        let owner = self.rule.public_repositories.as_ref()?;
        let repository = place.repository()?;
        let whose = Place::Owner(place.host().clone(), owner.clone());
        self.world.terminal.trace(|| format!("route: perhaps {place} is public: a token of {owner} will do"));
        match self.accepted_for(repository, &whose, need) {
            Ok(issued) => issued,
            Err(why) => {
                self.world.terminal.warning(&why);
                None
            }
        }
    }

    fn accepted_for(&self, repository: &Repository, whose: &Place, need: Need<'_>) -> Result<Option<Issued>> {
        let mut levels = vec![self.limited_to("metadata")];
        // A token that reads contents reads the owner's private ones too: a rule for single repositories gives none.
        let rule = self.rule;
        let reads = rule.permissions.is_empty() || rule.permissions.contains_key("contents");
        if reads && rule.scope() != RuleScope::Repository {
            levels.push(self.limited_to("contents"));
        }
        // What git's server did not accept is not cached: where there is only the wider one, that is the one to take.
        if let [metadata, contents] = levels.as_slice()
            && !metadata.has_cached(whose, need)
            && contents.has_cached(whose, need)
        {
            levels.remove(0);
        }
        let server = self.git_server()?;
        for source in &levels {
            let mut issued = source.of_owner(whose, need)?;
            if issued.was_cached() {
                match server.probe(repository, &issued.token.secret, self.settings.deadline) {
                    Ok(200) => return Ok(Some(issued)),
                    // It was revoked since it was cached.
                    Ok(401) => {
                        let refused = issued.token.secret.fingerprint();
                        issued = source.of_owner(whose, Need::OtherThan(&refused))?;
                    }
                    _ => return Ok(None),
                }
            }
            // A fresh token may not be accepted for some time yet, so git's server cannot tell whether the repository exists.
            if !source.github()?.sees(repository, &issued.token.secret)? {
                return Ok(None);
            }
            match server.wait_until_accepted(repository, &issued.token.secret) {
                None => return Ok(Some(issued)),
                Some(_) => {
                    source.cache.erase(&issued.key, &issued.token.secret);
                }
            }
        }
        Err(Error::new(format!("{} accepts no token of {whose} for {repository}", rule.host))
            .hint("leave out public-repositories, if this happens again and again"))
    }

    /// A source of the same App's tokens, of which each may only read this.
    fn limited_to(&self, permission: &str) -> Self {
        let permissions = Permissions::from([(permission.to_owned(), "read".to_owned())]);
        let app = Rc::clone(&self.app);
        Self {
            network: self.network,
            narrowing: Narrowing { repositories: Vec::new(), permissions },
            heeds_trouble: self.heeds_trouble,
            ..Self::of(app, self.rule, self.settings.clone(), self.world)
        }
    }

    fn of_owner(&self, owner: &Place, need: Need<'_>) -> Result<Issued> {
        self.token(owner, need)?.issued()
    }

    /// Whether a fresh token for a place is cached.
    pub(crate) fn has_cached(&self, place: &Place, need: Need<'_>) -> bool {
        self.cached_key(place).is_some_and(|key| self.cache.fresh(&key, need).is_some())
    }
}
