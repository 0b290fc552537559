//! For stores that may hang: a call has a deadline, and a store that missed it is not asked again for a while.

use std::time::Duration;

use super::{Opening, StoreError};
use crate::cache::folder::{Folder, Kind};
use crate::time::{Clock, Timestamp, Unfinished, no_thread, within};

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long a store that did not answer is not asked, in seconds.
const PAUSE: i64 = 180;
pub(super) const KIND: Kind = Kind::of_words("unhealthy", &["keyring", "secret-service", "shared-cache"]);

pub(in crate::cache) struct CircuitBreaker<'a> {
    /// The name of the store's marker.
    store: &'static str,
    folder: Option<&'a Folder<'a>>,
    clock: Clock,
}

impl<'a> CircuitBreaker<'a> {
    pub(in crate::cache) fn new(store: &'static str, opening: &Opening<'a>) -> Self {
        Self { store, folder: opening.folder, clock: opening.world.clock }
    }

    /// Works on the store in a thread of its own, which is abandoned at the deadline. `Err(None)` of the work means that
    /// the store cannot be talked to.
    pub(super) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Option<StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.is_open() {
            return Err(format!("it did not answer a moment ago, so it is skipped for {PAUSE} s"));
        }
        match within(DEADLINE, work) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Some(why))) => Err(why),
            Ok(Err(None)) => {
                self.open();
                Err("it is not available".to_owned())
            }
            Err(Unfinished::NotStarted(e)) => Err(no_thread("ask it", &e).message().to_owned()),
            Err(Unfinished::Late) => {
                self.open();
                Err(format!("it did not answer within {} s", DEADLINE.as_secs()))
            }
        }
    }

    /// Whether the store is not asked.
    pub(in crate::cache) fn is_open(&self) -> bool {
        let until: Option<Timestamp> = self.folder.and_then(|folder| folder.read_json(KIND, self.store));
        until.is_some_and(|until| (1..=PAUSE).contains(&until.since(self.clock.now())))
    }

    /// Lets the store be skipped for a while.
    pub(in crate::cache) fn open(&self) {
        if let Some(folder) = self.folder {
            // Without the marker the next call waits once more; that is all.
            let _ = folder.write_json(KIND, self.store, &self.clock.now().plus(PAUSE));
        }
    }
}
