//! The one place that locks. Locks are of files, so they end with the process that holds them, however it ends.

use std::fs::{File, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::key::Name;
use crate::error::cause;

/// Shared by all names that begin with the same two digits, so that thousands of repositories do not leave
/// thousands of lock files.
const SHARED_DIGITS: usize = 2;

/// How long is paused between two looks, at first and later.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// What came of waiting for a lock.
#[derive(Debug)]
pub(super) enum LockOutcome<T> {
    /// The lock is held now.
    Locked(Lock),
    /// Another process did the work meanwhile, with this result.
    Done(T),
    /// The lock cannot be had, and the work is done without it.
    Unlocked,
}

impl Lock {
    /// Takes the lock of a name. While another process holds it, looks whether what is wanted is `done`, so that many
    /// that wait for one need not take turns. An error says why the lock cannot be had within the deadline.
    pub(super) fn take<T>(
        folder: &Folder,
        kind: &str,
        name: &impl Name,
        deadline: Duration,
        done: impl Fn() -> Option<T>,
    ) -> Result<LockOutcome<T>, String> {
        let began = Instant::now();
        let file = folder
            .lock_file(&format!("{kind}-{}", &name.name()[..SHARED_DIGITS]))
            .map_err(|e| format!("a lock file cannot be opened: {}", cause(&e)))?;
        let mut pause = FIRST_PAUSE;
        loop {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that locks")]
            match file.try_lock() {
                Ok(()) => return Ok(LockOutcome::Locked(Self { _file: file })),
                Err(TryLockError::WouldBlock) if began.elapsed() < deadline => thread::sleep(pause),
                Err(TryLockError::WouldBlock) => {
                    return Err(format!("another process has held the lock for {} s", deadline.as_secs()));
                }
                Err(TryLockError::Error(e)) => return Err(format!("a file cannot be locked: {}", cause(&e))),
            }
            if let Some(result) = done() {
                return Ok(LockOutcome::Done(result));
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::TokenKey;
    use super::*;
    use crate::names::{Host, InstallationId};
    use crate::token::Scope;

    #[test]
    fn a_lock_excludes_until_it_is_dropped() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(&temporary.path().join("cache")).unwrap();
        let key = TokenKey::new(&Host::github().api(), "1", InstallationId(2), &Scope::default());
        let take =
            |kind, done: Option<u8>| Lock::take(&folder, kind, &key, Duration::from_millis(20), || done);
        let held = take("token", None).unwrap();
        assert!(matches!(held, LockOutcome::Locked(_)));
        assert_eq!(take("token", None).unwrap_err(), "another process has held the lock for 0 s");
        assert!(matches!(take("token", Some(7)), Ok(LockOutcome::Done(7))));
        assert!(matches!(take("route", Some(7)), Ok(LockOutcome::Locked(_))));
        drop(held);
        assert!(matches!(take("token", None), Ok(LockOutcome::Locked(_))));
    }
}
