//! Grant files: what the cached tokens are for, without the tokens. `status` and `logout` need them; nothing that git gets
//! depends on them.

use serde::{Deserialize, Serialize};

use super::Cache;
use super::key::{Name as _, TokenKey};
use crate::names::InstallationId;
use crate::time::Timestamp;
use crate::token::Granted;

pub(super) const KIND: &str = "grants";

/// What one token is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    /// The host whose git takes it.
    pub(crate) host: String,
    /// The API that gave it.
    pub(crate) api: String,
    /// The App's client ID or App ID.
    pub(crate) app: String,
    /// The installation.
    pub(crate) installation: InstallationId,
    /// The account that the App is installed on, as far as the request told.
    pub(crate) owner: Option<String>,
    /// The one repository that it was narrowed to.
    pub(crate) repository: Option<String>,
    /// What it may do.
    pub(crate) granted: Granted,
    /// When it expires, by the local clock.
    pub(crate) expires_at: Timestamp,
}

impl Cache<'_> {
    /// Notes what a token is for. Without the note it serves git just as well.
    pub(crate) fn note_grant(&self, key: &TokenKey, grant: &Grant) {
        if let Some(folder) = self.folder() {
            let _ = folder.write_json(KIND, key.name(), grant);
        }
    }

    /// What a token is for, if that was noted.
    pub(crate) fn grant(&self, key: &TokenKey) -> Option<Grant> {
        self.folder()?.read_json(KIND, key.name())
    }

    pub(super) fn forget_grant(&self, key: &TokenKey) {
        if let Some(folder) = self.folder() {
            // One that stays is forgotten when its token has expired.
            let _ = folder.remove(KIND, key.name());
        }
    }

    /// Everything that is noted about tokens that have not expired, of all Apps. Those that expire last come last.
    pub(crate) fn grants(&self) -> Vec<(TokenKey, Grant)> {
        let Some(folder) = self.folder() else { return Vec::new() };
        let keys = folder.names(KIND).into_iter().filter_map(|name| TokenKey::from_name(&name));
        let mut grants: Vec<(TokenKey, Grant)> =
            keys.filter_map(|key| self.grant(&key).map(|grant| (key, grant))).collect();
        grants.retain(|(key, grant)| {
            let lives = grant.expires_at > self.world.clock.now();
            if !lives {
                self.forget_grant(key);
            }
            lives
        });
        grants.sort_by_key(|(_, grant)| grant.expires_at);
        grants
    }
}
