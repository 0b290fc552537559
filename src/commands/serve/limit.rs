//! How often something may happen within a time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A limit, and how much there was since it began to count.
pub(super) struct Limit {
    most: u32,
    within: Duration,
    counted: Mutex<(Instant, u32)>,
}

/// Whether there is room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Yes,
    /// This is the first for which there is none.
    NoLonger,
    No,
}

impl Limit {
    pub(super) fn new(most: u32, within: Duration) -> Self {
        Self { most, within, counted: Mutex::new((Instant::now(), 0)) }
    }

    /// Counts one more.
    pub(super) fn next(&self) -> Room {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, count) = &mut *counted;
        if began.elapsed() >= self.within {
            (*began, *count) = (Instant::now(), 0);
        }
        *count = count.saturating_add(1);
        match count.checked_sub(self.most) {
            None | Some(0) => Room::Yes,
            Some(1) => Room::NoLonger,
            Some(_) => Room::No,
        }
    }
}
