//! What a place for tokens can do.

use zeroize::Zeroizing;

use super::key::CacheKey;

/// Why a store did not do what it was asked, in words that follow a colon.
pub(super) type StoreError = String;

/// A place that keeps tokens. Entries are opaque bytes here.
pub(super) trait TokenStore {
    /// What a person calls it.
    fn name(&self) -> &'static str;

    /// The entry, if there is one.
    fn read(&self, key: &CacheKey) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError>;

    /// Whether there is an entry, readable or not.
    fn holds(&self, key: &CacheKey) -> bool {
        matches!(self.read(key), Ok(Some(_)))
    }

    /// Keeps an entry. It is of no use after `lifetime` seconds, and a store that can forgets it then.
    fn write(&self, key: &CacheKey, entry: &[u8], lifetime: u64) -> Result<(), StoreError>;

    /// Drops the entry, if there is one.
    fn remove(&self, key: &CacheKey) -> Result<(), StoreError>;
}
