//! The turn of one process to change what is set up on this machine.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Cache;
use super::key::TurnKey;
use super::lock::{Lock, LockOutcome};
use crate::error::{Error, Result};

/// What one process at a time does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn<'p> {
    /// Changing what is set up: all configurations of this program share git's.
    SetUp,
    /// Making an App for this configuration: there is one record of how far that came.
    Register(&'p Path),
}

/// How long is waited. A setup that asks nobody takes less: it mints a token, and lets git list a repository. A register takes as
/// long as its person does; but what one starts at the moment in which it is killed holds its lock until it runs.
const PATIENCE: Duration = Duration::from_secs(60);
const INSTANT: Duration = Duration::from_secs(2);

impl Cache<'_> {
    /// Waits until no other process of this user does the same. `None` where there can be no lock: then nobody waits.
    ///
    /// # Errors
    /// If one still does it: it may be waiting for a person's answer.
    pub(crate) fn turn(&self, turn: Turn<'_>) -> Result<Option<Lock>> {
        match turn {
            Turn::SetUp => self.turn_within(PATIENCE, "setup", "", "another setup or uninstall"),
            Turn::Register(configuration) => {
                let what = configuration.to_string_lossy();
                self.turn_within(INSTANT, "register", &what, "another register")
            }
        }
    }

    pub(super) fn turn_within(
        &self,
        patience: Duration,
        kind: &str,
        what: &str,
        others: &str,
    ) -> Result<Option<Lock>> {
        /// Longer than anybody waits: it is not taken over.
        const NEVER: Duration = Duration::from_secs(24 * 3600);
        let Some(folder) = self.folder() else { return Ok(None) };
        let began = Instant::now();
        let is_late = || {
            self.world.tell_waiting(began.elapsed(), || format!("for {others}"));
            (began.elapsed() >= patience).then_some(())
        };
        match Lock::take(folder, kind, &TurnKey::new(what), NEVER, is_late) {
            Ok(LockOutcome::Locked(lock)) => Ok(Some(lock)),
            Ok(LockOutcome::Done(())) => {
                let what = format!("{others} of this user is running");
                Err(Error::new(what).hint("wait until it ends, or end it, and try again"))
            }
            Ok(LockOutcome::Unlocked) => Ok(None),
            Err(why) => {
                self.warn(&format!("going on without a lock: {why}"));
                Ok(None)
            }
        }
    }
}
