//! Route files: where an installation was found, one small file each, with nothing secret in it.

use serde::{Deserialize, Serialize};

use super::Cache;
use super::key::{Name, RouteKey};
use crate::clock::Timestamp;
use crate::error::{Failure, cause};
use crate::names::Found;

const KIND: &str = "routes";

/// How long it is remembered that there is no installation, in seconds: a person who just installed the App
/// does not want to wait.
const REMEMBER_MISSING: i64 = 30;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RouteFile {
    Found(Found),
    MissingSince(Timestamp),
}

impl Cache<'_> {
    /// Where the route leads: as remembered, or as `look_up` finds out, which runs in one process at a time.
    /// `None`: there is no installation.
    ///
    /// # Errors
    /// Those of `look_up`.
    pub fn find_or_look_up(
        &self,
        key: &RouteKey,
        look_up: impl FnOnce() -> Result<Option<Found>, Failure>,
    ) -> Result<Option<Found>, Failure> {
        if let Some(known) = self.remembered(key) {
            return Ok(known);
        }
        let _lock = self.lock("route", key, "looking up the installation");
        if let Some(known) = self.remembered(key) {
            return Ok(known);
        }
        let found = look_up()?;
        let file = found.map_or(RouteFile::MissingSince(self.clock.now()), RouteFile::Found);
        if let (Some(folder), Ok(content)) = (self.folder(), serde_json::to_vec(&file))
            && let Err(e) = folder.write(KIND, key.name(), &content)
        {
            self.warn(&format!("cannot remember the installation: {}", cause(&e)));
        }
        Ok(found)
    }

    /// What is known without asking GitHub; an unreadable file is the same as none.
    pub fn remembered(&self, key: &RouteKey) -> Option<Option<Found>> {
        let content = self.folder()?.read(KIND, key.name()).ok()??;
        match serde_json::from_slice(&content).ok()? {
            RouteFile::Found(found) => Some(Some(found)),
            RouteFile::MissingSince(then) => {
                (0..REMEMBER_MISSING).contains(&self.clock.now().since(then)).then_some(None)
            }
        }
    }

    /// Forgets where the route leads.
    pub fn forget_route(&self, key: &RouteKey) {
        if let Some(folder) = self.folder() {
            // A file that stays leads to the same stale installation, and to one more lookup.
            let _ = folder.remove(KIND, key.name());
        }
    }
}
