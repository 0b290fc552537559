//! What is known about an API and about refusals: small files that spare a process what another one went through.

use serde::{Deserialize, Serialize};

use super::Cache;
use super::key::{ApiKey, CacheKey, Name};
use crate::clock::Timestamp;
use crate::error::{Error, Failure};
use crate::secret::Secret;

const APIS: &str = "apis";
pub(super) const REFUSALS: &str = "refusals";
const TOLD: &str = "told";
const DAY: i64 = 24 * 3600;

/// So many tokens of one kind may be refused within [`MINUTE`] before no new one is minted: git-lfs repeats
/// get and erase thousands of times when a token is refused that is not the token's fault.
const PATIENCE: usize = 3;
const MINUTE: i64 = 60;

/// What an App learnt from an API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// How many seconds the API's clock is ahead of the local one, if that matters.
    pub clock_offset: i64,
    /// The API does not want to be asked before this time, by the local clock.
    pub limited_until: Option<Timestamp>,
}

impl Cache<'_> {
    /// What is known about an API; nothing, if nothing was noted.
    pub fn known(&self, key: &ApiKey) -> Known {
        self.folder().and_then(|folder| folder.recall(APIS, key.name())).unwrap_or_default()
    }

    /// Notes what is known about an API. What cannot be noted is learnt again by the next process.
    pub fn note(&self, key: &ApiKey, known: &Known) {
        if let Some(folder) = self.folder() {
            let _ = folder.note(APIS, key.name(), known);
        }
    }

    /// Whether nobody was told today. Where that cannot be noted, it is told each time.
    pub(super) fn is_first_time_today(&self, what: &str) -> bool {
        let Some(folder) = self.folder() else { return true };
        let now = self.clock.now();
        let told: Option<Timestamp> = folder.recall(TOLD, what);
        if told.is_some_and(|then| (0..DAY).contains(&now.since(then))) {
            return false;
        }
        let _ = folder.note(TOLD, what, &now);
        true
    }

    /// The refusals of the last minute.
    fn refusals(&self, key: &CacheKey) -> Vec<Timestamp> {
        let all: Option<Vec<Timestamp>> =
            self.folder().and_then(|folder| folder.recall(REFUSALS, key.name()));
        let now = self.clock.now();
        all.into_iter().flatten().filter(|then| (0..MINUTE).contains(&now.since(*then))).collect()
    }

    /// Counts a token that was refused although it was not expired.
    pub(super) fn count_refusal(&self, key: &CacheKey) {
        let mut refusals = self.refusals(key);
        refusals.push(self.clock.now());
        if let Some(folder) = self.folder() {
            // Without the count there is no brake; the request is what matters.
            let _ = folder.note(REFUSALS, key.name(), &refusals);
        }
    }

    /// Whether so many tokens were refused that another one would be too.
    pub(super) fn brake(&self, key: &CacheKey) -> Result<(), Failure> {
        if self.refusals(key).len() < PATIENCE {
            return Ok(());
        }
        Err(Failure::Refused(
            Error::new(format!(
                "GitHub refused {PATIENCE} fresh tokens within a minute, so no other is minted"
            ))
            .hint("check the installation's permissions and the IP allow list, and try again in a minute"),
        ))
    }

    /// A token worked: if it is the one that is cached, the count begins anew.
    pub fn accept(&self, key: &CacheKey, token: &Secret) {
        if !self.refusals(key).is_empty()
            && self.read(key).is_some_and(|entry| entry.token.matches(token))
            && let Some(folder) = self.folder()
        {
            // A count that stays is forgotten within a minute.
            let _ = folder.remove(REFUSALS, key.name());
        }
    }
}
