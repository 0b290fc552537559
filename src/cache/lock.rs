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

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a name, waiting for whoever holds it until the deadline has passed. What is not
    /// obtained is explained.
    pub(super) fn take(
        folder: &Folder,
        kind: &str,
        name: &impl Name,
        deadline: Duration,
    ) -> Result<Self, String> {
        let began = Instant::now();
        let file = folder
            .lock_file(&format!("{kind}-{}", &name.name()[..SHARED_DIGITS]))
            .map_err(|e| format!("a lock file cannot be opened: {}", cause(&e)))?;
        let mut pause = Duration::from_millis(2);
        loop {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that locks")]
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if began.elapsed() < deadline => thread::sleep(pause),
                Err(TryLockError::WouldBlock) => {
                    return Err(format!("another process has held the lock for {} s", deadline.as_secs()));
                }
                Err(TryLockError::Error(e)) => return Err(format!("a file cannot be locked: {}", cause(&e))),
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::CacheKey;
    use super::*;
    use crate::names::{Host, InstallationId, Scope};

    #[test]
    fn a_lock_excludes_until_it_is_dropped() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(&temporary.path().join("cache")).unwrap();
        let key = CacheKey::new(&Host::github().api(), "1", InstallationId(2), &Scope::default());
        let held = Lock::take(&folder, "token", &key, Duration::ZERO).unwrap();
        let refused = Lock::take(&folder, "token", &key, Duration::from_millis(20)).unwrap_err();
        assert_eq!(refused, "another process has held the lock for 0 s");
        assert!(Lock::take(&folder, "route", &key, Duration::ZERO).is_ok());
        drop(held);
        assert!(Lock::take(&folder, "token", &key, Duration::ZERO).is_ok());
    }
}
