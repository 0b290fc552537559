//! What is in the cache, for a person: listed, tested, and forgotten.

use std::path::Path;

use super::folder::{Kind, LOCKS, TURNS, UNFINISHED};
use super::key::TokenKey;
use super::store::{self, Store};
use super::{Cache, TOLD, api_state, app_pages, grants, outages, refusals, routes};
use crate::error::{Error, Result};
use crate::files::is_absent;
use crate::secret::Secret;
use crate::token::{Label, Token};

/// What a store has under a name.
pub(crate) struct Entry {
    pub(crate) key: TokenKey,
    /// The store's name.
    pub(crate) store: &'static str,
    /// The token, and whose it is. `None`: it is sealed under another key than this App's.
    pub(crate) content: Option<(Token, Option<Label>)>,
}

impl Cache<'_> {
    /// Every entry in the stores that a token may be read from, and why one of them cannot tell.
    pub(crate) fn entries(&self) -> (Vec<Entry>, Vec<Error>) {
        let (mut entries, mut failures) = (Vec::new(), Vec::new());
        let noted = self.noted();
        for store in self.stores().flatten() {
            let mut keys = match store.keys() {
                Ok(keys) => keys.unwrap_or_default(),
                // A store that cannot be read either answers nobody.
                Err(_) if store.read(&TokenKey::for_self_test(self.world.clock.began())).is_err() => continue,
                Err(why) => {
                    failures
                        .push(Error::new(format!("cannot list the tokens in the {}: {why}", store.name())));
                    Vec::new()
                }
            };
            keys.extend(noted.iter().filter(|key| store.holds(key)).cloned());
            keys.sort_unstable();
            keys.dedup();
            entries.extend(keys.into_iter().map(|key| Entry {
                content: self.read_with_label(&*store, &key),
                store: store.name(),
                key,
            }));
        }
        (entries, failures)
    }

    /// What a store has under a name, with the label.
    pub(crate) fn entry(&self, store: &str, key: &TokenKey) -> Option<(Token, Option<Label>)> {
        let store = self.stores().flatten().find(|it| it.name() == store)?;
        self.read_with_label(&*store, key)
    }

    fn read_with_label(&self, store: &dyn Store, key: &TokenKey) -> Option<(Token, Option<Label>)> {
        let bytes = store.read(key).ok()??;
        Some((Token::from_bytes(&bytes)?, Label::from_bytes(&bytes)))
    }

    /// Tests each store with an entry that is dropped again. Gives the name of each, and why it is not of use.
    pub(crate) fn test_stores(&self) -> Vec<(String, Result<(), String>)> {
        let key = TokenKey::for_self_test(self.world.clock.began());
        let test = |store: &dyn Store| {
            store.write(&key, b"test", 60)?;
            let read = store.read(&key);
            store.remove(&key)?;
            match read? {
                Some(entry) if *entry == b"test" => Ok(()),
                _ => Err("what was written cannot be read again".to_owned()),
            }
        };
        let tested = self.stores().map(|store| match store {
            Ok(store) => (store.name().to_owned(), test(store.as_ref())),
            Err(why) => ("store".to_owned(), Err(why)),
        });
        let mut tested: Vec<_> = tested.collect();
        if let Err(why) = &self.folder {
            tested.push(("cache folder".to_owned(), Err(why.to_string())));
        }
        tested
    }

    /// Drops the entry from every store.
    pub(crate) fn forget(&self, key: &TokenKey) -> Result<()> {
        self.stores().flatten().try_for_each(|store| drop_from(&*store, key))?;
        self.forget_grant(key);
        Ok(())
    }

    /// Drops the entry from every store, except where it holds another token than this one: that may have taken its place
    /// meanwhile, and nobody could revoke it if it were dropped too. Whether none is left.
    ///
    /// # Errors
    /// If a store does not drop it.
    pub(crate) fn forget_token(&self, key: &TokenKey, secret: &Secret) -> Result<bool> {
        let _lock = self.lock_entry(key);
        let is_another =
            |entry: &Token| !entry.secret.matches(secret) && entry.remaining(self.world.clock) > 0;
        let (others, its): (Vec<_>, Vec<_>) = self
            .stores()
            .flatten()
            .partition(|store| self.read_from(&**store, key).is_some_and(|entry| is_another(&entry)));
        its.iter().try_for_each(|store| drop_from(&**store, key))?;
        if others.is_empty() {
            self.forget_grant(key);
        }
        Ok(others.is_empty())
    }

    /// Forgets everything: sealed tokens, routes, the state of APIs, what was told.
    ///
    /// # Errors
    /// If the folder is not one that is used, or a file cannot be removed.
    pub(crate) fn forget_everything(&self) -> Result<()> {
        match &self.folder {
            Ok(folder) => folder.clear(own_kinds()),
            // It is not there, and cannot be made.
            Err(_) if self.settings.folder(self.world).is_none_or(|it| !is_there(it)) => Ok(()),
            Err(why) => Err(why.clone()),
        }
    }

    /// Forgets what files are sealed under, where the platform's keyring keeps that.
    ///
    /// # Errors
    /// If the keyring does not forget it.
    pub(crate) fn forget_sealing_secret(&self) -> Result<()> {
        let forgotten = store::forget_secret(self.opening());
        forgotten
            .map_err(|why| Error::new(format!("cannot remove the secret that files are sealed under: {why}")))
    }

    /// Whether [`Cache::remove`] would remove the folder.
    ///
    /// # Errors
    /// If the folder is not one that is used.
    pub(crate) fn can_be_removed(&self) -> Result<bool> {
        let folder = self.folder.as_ref().map_err(Clone::clone)?;
        Ok(folder.has_only(&own_kinds().chain([LOCKS, TURNS]).collect::<Vec<_>>()))
    }

    /// Forgets everything and removes the folder. Whether it is gone: what is in it and is not ours stays, and so does the
    /// folder then.
    ///
    /// # Errors
    /// As [`Cache::forget_everything`].
    pub(crate) fn remove(&self) -> Result<bool> {
        self.forget_everything()?;
        let Some(folder) = self.folder() else { return Ok(true) };
        folder.clear([LOCKS, TURNS])?;
        Ok(folder.remove_if_empty())
    }
}

/// All kinds of files but the locks.
fn own_kinds() -> impl Iterator<Item = Kind> {
    let own = [api_state::KIND, app_pages::KIND, grants::KIND, outages::KIND, routes::KIND, TOLD, UNFINISHED];
    store::KINDS.into_iter().chain(refusals::KINDS).chain(own)
}

/// Drops the entry from a store, if it has one.
fn drop_from(store: &dyn Store, key: &TokenKey) -> Result<()> {
    if !store.holds(key) {
        return Ok(());
    }
    let name = store.name();
    store.remove(key).map_err(|why| Error::new(format!("cannot remove a token: {name}: {why}")))
}

/// Whether something stands there.
fn is_there(path: &Path) -> bool {
    !path.symlink_metadata().is_err_and(|e| is_absent(&e))
}
