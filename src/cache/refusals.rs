//! The refusal limit: tokens that are refused one after the other end in an error, not in a mint for each of them.
//!
//! git-lfs repeats `get` and `erase` thousands of times when a token is refused for a reason that another token would not
//! change.

use super::Cache;
use super::folder::Kind;
use super::key::{Name as _, TokenKey};
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::time::Timestamp;

pub(super) const KIND: Kind = Kind::of_digests("refusals");

/// So many tokens may be refused within so many seconds before no new one is minted.
const LIMIT: usize = 3;
const WINDOW: i64 = 60;

impl Cache<'_> {
    /// An error if so many tokens were refused within the last minute that another one would be too.
    pub(super) fn check_refusal_limit(&self, key: &TokenKey) -> Result<()> {
        if self.refusals(key).len() < LIMIT {
            return Ok(());
        }
        Err(Error::new(format!("GitHub refused {LIMIT} fresh tokens within a minute, so no other is minted"))
            .hint("check the installation's permissions and the IP allow list, and try again in a minute"))
    }

    /// git's server refused a token: drops the entry from every store that holds exactly this token, and counts that. Gives
    /// whether one did.
    pub(crate) fn erase(&self, key: &TokenKey, token: &Secret) -> bool {
        let _lock = self.lock_entry(key);
        let mut dropped = false;
        for store in self.stores().flatten() {
            if self.read_from(&*store, key).is_some_and(|entry| entry.secret.matches(token)) {
                dropped = true;
                if let Err(why) = store.remove(key) {
                    self.warn(&format!("cannot remove a refused token: {}: {why}", store.name()));
                }
            }
        }
        if dropped {
            self.count_refusal(key);
        }
        dropped
    }

    /// git's server accepted a token: if it is the one that is cached, the count begins anew.
    pub(crate) fn accept(&self, key: &TokenKey, token: &Secret) {
        if self.refusals(key).is_empty() {
            return;
        }
        let _lock = self.lock_entry(key);
        if self.cached(key).is_some_and(|entry| entry.secret.matches(token))
            && let Some(folder) = self.folder()
        {
            // A count that stays is forgotten within a minute.
            let _ = folder.remove(KIND, key.name());
        }
    }

    fn count_refusal(&self, key: &TokenKey) {
        let mut refusals = self.refusals(key);
        refusals.push(self.world.clock.now());
        if let Some(folder) = self.folder() {
            // Without the count there is no limit, but the request can go on.
            let _ = folder.write_json(KIND, key.name(), &refusals);
        }
    }

    /// When tokens were refused within the last minute.
    fn refusals(&self, key: &TokenKey) -> Vec<Timestamp> {
        let all: Option<Vec<Timestamp>> = self.folder().and_then(|folder| folder.read_json(KIND, key.name()));
        let now = self.world.clock.now();
        all.into_iter().flatten().filter(|then| (0..WINDOW).contains(&now.since(*then))).collect()
    }
}
