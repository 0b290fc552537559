//! What one process learnt about an API and the next one need not learn again.

use serde::{Deserialize, Serialize};

use super::Cache;
use super::folder::Kind;
use super::key::{ApiStateKey, Name as _};
use crate::time::Timestamp;

pub(super) const KIND: Kind = Kind::of_digests("apis");

/// The state of an API, as one App uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApiState {
    /// How many seconds the API's clock is ahead of the local one, if that matters.
    pub(crate) clock_offset: i64,
    /// The API is not to be asked before this time, by the local clock.
    pub(crate) limited_until: Option<Timestamp>,
}

impl Cache<'_> {
    /// The state of an API, as it was last noted.
    pub(crate) fn api_state(&self, key: &ApiStateKey) -> ApiState {
        self.folder().and_then(|folder| folder.read_json(KIND, key.name())).unwrap_or_default()
    }

    /// Notes the state of an API. What cannot be noted is learnt again by the next process.
    pub(crate) fn note_api_state(&self, key: &ApiStateKey, state: &ApiState) {
        if let Some(folder) = self.folder()
            && self.api_state(key) != *state
        {
            let _ = folder.write_json(KIND, key.name(), state);
        }
    }
}
