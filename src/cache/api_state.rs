//! What one process learnt about an API and the next one need not learn again.

use serde::{Deserialize, Serialize};

use super::Cache;
use super::folder::Kind;
use super::key::{ApiStateKey, Name as _};
use super::shared::Opened;
use crate::time::Timestamp;

pub(super) const KIND: Kind = Kind::of_digests("apis");

/// How long what is noted here is believed, in seconds: what one answer or one clock said wrongly is over after that.
const MEMORY: i64 = 3600;

/// The state of an API, as one App uses it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApiState {
    /// How many seconds the API's clock is ahead of the local one, if that matters.
    pub(crate) clock_offset: i64,
    /// The API is not to be asked before this time, by the local clock.
    pub(crate) limited_until: Option<Timestamp>,
}

/// A state, and when it was noted, by the local clock.
#[derive(Serialize, Deserialize)]
struct Noted {
    at: Timestamp,
    state: ApiState,
}

impl ApiState {
    /// The same by a clock that is so many seconds ahead of the one that its times are by.
    fn by_clock_ahead(self, seconds: i64) -> Self {
        let limited_until = self.limited_until.map(|until| until.plus(seconds));
        Self { clock_offset: self.clock_offset.saturating_sub(seconds), limited_until }
    }
}

impl Cache<'_> {
    /// Notes what the fleet knows of an API, for this run.
    pub(super) fn note_fleets_api_state(&self, entry: &Opened) {
        let ahead = self.shared.ahead();
        let noted = entry.as_ref().and_then(|entry| serde_json::from_slice::<Noted>(entry).ok());
        let now = self.world.clock.now().plus(ahead);
        let noted = noted.filter(|noted| (0..=MEMORY).contains(&now.since(noted.at)));
        self.fleets_api_state.set(noted.map(|noted| noted.state.by_clock_ahead(-ahead)));
    }

    /// The state of an API, as it was last noted, as far as that can be believed.
    pub(crate) fn api_state(&self, key: &ApiStateKey) -> ApiState {
        let now = self.world.clock.now();
        let noted = self.noted_state(key).filter(|noted| (0..=MEMORY).contains(&now.since(noted.at)));
        let noted = noted.map(|noted| noted.state);
        let mut state = noted.or(self.fleets_api_state.get()).unwrap_or_default();
        state.limited_until = state.limited_until.filter(|until| (1..=MEMORY).contains(&until.since(now)));
        state
    }

    /// Notes the state of an API. What cannot be noted is learnt again by the next process.
    pub(crate) fn note_api_state(&self, key: &ApiStateKey, state: &ApiState) {
        if self.is_shared() {
            let ahead = self.shared.ahead();
            let (at, state) = (self.world.clock.now().plus(ahead), state.by_clock_ahead(ahead));
            let noted = serde_json::to_vec(&Noted { at, state }).unwrap_or_default();
            self.share(key.name(), &noted, MEMORY, None);
        }
        // The usual state needs no note, but takes the place of another one: also of one that is not believed now, because
        // it comes from the future, and would be when that has come.
        if let Some(folder) = self.folder()
            && (*state != ApiState::default() || self.noted_state(key).is_some_and(|it| it.state != *state))
        {
            let _ = folder.write_json(KIND, key.name(), &Noted { at: self.world.clock.now(), state: *state });
        }
    }

    fn noted_state(&self, key: &ApiStateKey) -> Option<Noted> {
        self.folder().and_then(|folder| folder.read_json(KIND, key.name()))
    }
}
