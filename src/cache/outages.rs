//! That an API, or a command that gives tokens, did not answer. It is noted for those who waited meanwhile: they need not
//! find it out one after the other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Cache;
use super::folder::Kind;
use super::key::Name;
use crate::error::Error;

pub(super) const KIND: Kind = Kind::of_digests("outages");

/// Why there was no answer, and when that was certain: since the Unix epoch, by the local clock.
#[derive(Serialize, Deserialize)]
struct Outage {
    at: Duration,
    message: String,
    hint: Option<String>,
}

impl Cache<'_> {
    /// Notes that there was no answer, after it was tried as long as it may be. What a command says of it is not kept.
    pub(crate) fn note_outage(&self, key: &impl Name, why: &Error) {
        let (message, hint) = (why.own_words().to_owned(), why.next_step().map(str::to_owned));
        if let Some(folder) = self.folder() {
            // Without the note the next one tries for itself.
            let _ = folder.write_json(KIND, key.name(), &Outage { at: self.now_exactly(), message, hint });
        }
    }

    /// Why another process got no answer since this one began. Whoever begins later tries anew.
    pub(crate) fn outage(&self, key: &impl Name) -> Option<Error> {
        let Outage { at, message, hint } = self.folder()?.read_json(KIND, key.name())?;
        let error = Error::new(message);
        let is_since = self.world.clock.began() <= at && at <= self.now_exactly();
        is_since.then(|| hint.into_iter().fold(error, Error::hint))
    }

    fn now_exactly(&self) -> Duration {
        self.world.clock.began() + self.world.clock.elapsed()
    }
}
