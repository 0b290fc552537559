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
    /// Changing what is set up: git's configuration is one for all of this program's.
    SetUp,
    /// Making an App that this configuration is for: of one is noted how far it came.
    Register(&'p Path),
}

/// For those that wait for nobody's answer. One of them mints a token, and lets git list a repository.
const PATIENCE: Duration = Duration::from_secs(60);

impl Cache<'_> {
    /// Waits until no other process of this user's does the same. Where that cannot be known, it is done all the same.
    ///
    /// # Errors
    /// If one still does it: it may wait for somebody's answer.
    pub(crate) fn turn(&self, turn: Turn<'_>) -> Result<Option<Lock>> {
        match turn {
            Turn::SetUp => self.turn_within(PATIENCE, "setup", "", "another setup or uninstall"),
            Turn::Register(configuration) => {
                let what = configuration.to_string_lossy();
                self.turn_within(Duration::ZERO, "register", &what, "another register")
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
                let what = format!("{others} of this user's is at work");
                Err(Error::new(what).hint("let it come to its end, or end it, and try again"))
            }
            Ok(LockOutcome::Unlocked) => Ok(None),
            Err(why) => {
                self.warn(&format!("going on without a lock: {why}"));
                Ok(None)
            }
        }
    }
}
