//! Stores that may hang: work on them has a deadline, and one that was found ill is left alone for a while.

use std::time::Duration;

use super::folder::Folder;
use super::store::StoreError;
use crate::clock::{Clock, Timestamp, within};

/// How long git waits for a store, at most.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long an ill store is left alone, in seconds.
const LEFT_ALONE: i64 = 180;
const KIND: &str = "unhealthy";

/// Whether a store is well, as far as this and earlier processes saw.
pub(super) struct Health<'a> {
    /// The name of its marker.
    store: &'static str,
    folder: Option<&'a Folder>,
    clock: Clock,
}

impl<'a> Health<'a> {
    pub(super) fn new(store: &'static str, folder: Option<&'a Folder>, clock: Clock) -> Self {
        Self { store, folder, clock }
    }

    /// Works on the store in a thread of its own, which is abandoned at the deadline. `Err(None)` of the work
    /// means that the store is ill.
    pub(super) fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Option<StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.is_left_alone() {
            return Err(format!("it did not answer lately and is left alone for {LEFT_ALONE} s"));
        }
        match within(DEADLINE, work) {
            Some(Ok(value)) => Ok(value),
            Some(Err(Some(why))) => Err(why),
            Some(Err(None)) => {
                self.leave_alone();
                Err("it is not available".to_owned())
            }
            None => {
                self.leave_alone();
                Err(format!("it did not answer within {} s", DEADLINE.as_secs()))
            }
        }
    }

    fn is_left_alone(&self) -> bool {
        let until: Option<Timestamp> = self.folder.and_then(|folder| folder.recall(KIND, self.store));
        until.is_some_and(|until| (1..=LEFT_ALONE).contains(&until.since(self.clock.now())))
    }

    fn leave_alone(&self) {
        if let Some(folder) = self.folder {
            // Without the marker the next call waits once more; that is all.
            let _ = folder.note(KIND, self.store, &self.clock.now().plus(LEFT_ALONE));
        }
    }
}
