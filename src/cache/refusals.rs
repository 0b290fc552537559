//! The refusal limit: tokens that are refused one after the other end in an error, not in a mint for each of them.
//!
//! git-lfs repeats `get` and `erase` thousands of times when a token is refused for a reason that another token would not
//! change.

use super::Cache;
use super::folder::Kind;
use super::grants::shared_token;
use super::key::{Name as _, TokenKey};
use super::shared::Opened;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::time::Timestamp;

const KIND: Kind = Kind::of_digests("refusals");
/// Which tokens were refused here, by their fingerprints. The engine of a shared cache may still have one of them.
const REFUSED: Kind = Kind::of_digests("refused");
pub(super) const KINDS: [Kind; 2] = [KIND, REFUSED];

/// How many refused tokens are known again.
const MOST_KNOWN: usize = 8;

/// So many tokens may be refused within so many seconds before no new one is minted.
const LIMIT: usize = 3;
const WINDOW: i64 = 60;

/// The name of the count that machines share.
pub(super) fn shared_name(key: &TokenKey) -> String {
    format!("refusals {}", key.name())
}

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
        dropped |= self.erase_shared(key, token);
        if dropped {
            self.count_refusal(key);
            self.note_refused(key, token);
        }
        dropped
    }

    /// Drops the entry that other machines see, if it is exactly this token. Gives whether it is.
    pub(crate) fn withdraw(&self, key: &TokenKey, token: &Secret) -> bool {
        self.drop_shared(key.name(), |entry| {
            shared_token(entry, self.shared.ahead()).is_some_and(|(shared, _)| shared.secret.matches(token))
        })
    }

    /// The same for one that was refused, which other machines count too.
    fn erase_shared(&self, key: &TokenKey, token: &Secret) -> bool {
        if !self.withdraw(key, token) {
            return false;
        }
        let name = shared_name(key);
        let on_all_machines =
            self.read_shared(&[&name]).and_then(|entries| entries.into_iter().next()).flatten();
        self.note_fleets_refusals(key, &on_all_machines);
        let ahead = self.shared.ahead();
        let refusals = self.refusals(key).into_iter().chain([self.world.clock.now()]);
        let refusals: Vec<Timestamp> = refusals.map(|then| then.plus(ahead)).collect();
        self.share(&name, &serde_json::to_vec(&refusals).unwrap_or_default(), WINDOW, None);
        self.share_now();
        true
    }

    /// Counts here what was refused elsewhere.
    pub(super) fn note_fleets_refusals(&self, key: &TokenKey, entry: &Opened) {
        let refusals = entry.as_ref().and_then(|entry| serde_json::from_slice::<Vec<Timestamp>>(entry).ok());
        let ahead = self.shared.ahead();
        let refusals: Vec<_> = refusals.into_iter().flatten().map(|then| then.plus(-ahead)).collect();
        self.fleets_refusals.replace((key.clone(), refusals));
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
            self.share(&shared_name(key), b"[]", WINDOW, None);
            self.share_now();
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

    /// Lets a refused token be known again, where another cache may give it back.
    fn note_refused(&self, key: &TokenKey, token: &Secret) {
        let Some(folder) = self.folder().filter(|_| self.is_shared()) else { return };
        let mut refused = self.refused(key);
        refused.push(token.fingerprint());
        let first = refused.len().saturating_sub(MOST_KNOWN);
        // Without the note the token is refused once more.
        let _ = folder.write_json(REFUSED, key.name(), &&refused[first..]);
    }

    /// The fingerprints of tokens that were refused here.
    pub(super) fn refused(&self, key: &TokenKey) -> Vec<String> {
        self.folder().and_then(|folder| folder.read_json(REFUSED, key.name())).unwrap_or_default()
    }

    /// When tokens were refused within the last minute.
    fn refusals(&self, key: &TokenKey) -> Vec<Timestamp> {
        let all: Option<Vec<Timestamp>> = self.folder().and_then(|folder| folder.read_json(KIND, key.name()));
        let now = self.world.clock.now();
        let is_recent = |then: &Timestamp| (0..WINDOW).contains(&now.since(*then));
        let here: Vec<_> = all.into_iter().flatten().filter(is_recent).collect();
        // Those of other machines have this one's among them.
        let (of, everywhere) = &*self.fleets_refusals.borrow();
        let everywhere: Vec<_> =
            everywhere.iter().copied().filter(|then| of == key && is_recent(then)).collect();
        if everywhere.len() > here.len() { everywhere } else { here }
    }
}
