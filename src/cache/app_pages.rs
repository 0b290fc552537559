//! Where an App's page is, for the message that it is not installed somewhere: only GitHub knows, and it need not be asked
//! by every call that fails.

use serde::{Deserialize, Serialize};

use super::Cache;
use super::folder::Kind;
use super::key::{ApiStateKey, Name as _};
use crate::time::Timestamp;

pub(super) const KIND: Kind = Kind::of_digests("pages");

/// How long it is remembered, in seconds. Apps can be renamed.
const REMEMBER: i64 = 24 * 3600;

/// An App's name in addresses, and where it is installed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AppPage {
    pub(crate) slug: String,
    pub(crate) install: String,
}

#[derive(Serialize, Deserialize)]
struct Remembered<T> {
    page: T,
    at: Timestamp,
}

impl Cache<'_> {
    /// The App's page, if that was learnt lately.
    pub(crate) fn app_page(&self, key: &ApiStateKey) -> Option<AppPage> {
        let Remembered { page, at } = self.folder()?.read_json(KIND, key.name())?;
        (0..REMEMBER).contains(&self.world.clock.now().since(at)).then_some(page)
    }

    /// Remembers the App's page. Where that fails, the next call asks again.
    pub(crate) fn remember_app_page(&self, key: &ApiStateKey, page: &AppPage) {
        if let Some(folder) = self.folder() {
            let _ = folder.write_json(KIND, key.name(), &Remembered { page, at: self.world.clock.now() });
        }
    }
}
