//! Grant files: what the cached tokens are for, without the tokens. They are for people, and for the end of a job;
//! nothing that git gets is decided by them.

use serde::{Deserialize, Serialize};

use super::Cache;
use super::key::{CacheKey, Name};
use crate::clock::Timestamp;
use crate::names::{Granted, InstallationId};

pub(super) const KIND: &str = "grants";

/// What one token is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The host whose git takes it.
    pub host: String,
    /// The API that gave it.
    pub api: String,
    /// The App's client ID or App ID.
    pub app: String,
    /// The installation.
    pub installation: InstallationId,
    /// The account that the App is installed on, as far as the request told.
    pub owner: Option<String>,
    /// The one repository that it was narrowed to.
    pub repository: Option<String>,
    /// What it may do.
    pub granted: Granted,
    /// When it expires, by the local clock.
    pub expires_at: Timestamp,
}

impl Cache<'_> {
    /// Notes what a token is for. Without the note it serves git just as well.
    pub fn note_grant(&self, key: &CacheKey, grant: &Grant) {
        if let Some(folder) = self.folder() {
            let _ = folder.note(KIND, key.name(), grant);
        }
    }

    /// What a token is for, if that was noted.
    #[must_use]
    pub fn grant(&self, key: &CacheKey) -> Option<Grant> {
        self.folder()?.recall(KIND, key.name())
    }

    pub(super) fn forget_grant(&self, key: &CacheKey) {
        if let Some(folder) = self.folder() {
            // One that stays is forgotten when its token has expired.
            let _ = folder.remove(KIND, key.name());
        }
    }

    /// Everything that is noted about tokens that have not expired, of all Apps. Those that expire last come last.
    #[must_use]
    pub fn grants(&self) -> Vec<(CacheKey, Grant)> {
        let Some(folder) = self.folder() else { return Vec::new() };
        let keys = folder.names(KIND).into_iter().filter_map(|name| CacheKey::from_name(&name));
        let mut grants: Vec<(CacheKey, Grant)> =
            keys.filter_map(|key| self.grant(&key).map(|grant| (key, grant))).collect();
        grants.retain(|(key, grant)| {
            let lives = grant.expires_at > self.clock.now();
            if !lives {
                self.forget_grant(key);
            }
            lives
        });
        grants.sort_by_key(|(_, grant)| grant.expires_at);
        grants
    }
}
