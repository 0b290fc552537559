//! The one place that locks. Locks are of files, so they end with the process that holds them, however it ends.
//!
//! Each name has a lock file of its own. Whoever holds the lock removes the file before the lock ends, so that thousands of
//! repositories do not leave thousands of files. Whoever gets the lock of a file that was removed opens the new one.

use std::fs::{self, File, TryLockError};
#[cfg(unix)]
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::folder::{Folder, LOCKS};
use super::key::Name;
use crate::error::cause;

/// How long is paused between two looks, at first and later.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);
/// How often a lock file is opened anew because it was removed. More often happens only on a file system that gives the same
/// file another number each time.
const MOST_OPENED: usize = 200;
/// The lock file that is held for the instant in which another one is removed from under its holder.
const TAKEOVER: &str = "takeover";

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
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
    /// that wait for one need not take turns.
    ///
    /// `patience` is longer than the work of a holder may take. One that holds the lock for longer was stopped, and one of
    /// those who wait takes it over. An error says why the lock cannot be had within twice that time.
    pub(super) fn take<T>(
        folder: &Folder<'_>,
        kind: &str,
        name: &impl Name,
        patience: Duration,
        done: impl Fn() -> Option<T>,
    ) -> Result<LockOutcome<T>, String> {
        let name = format!("{kind}-{}", name.name());
        let began = Instant::now();
        let mut waiting = Waiting::open(folder, &name)?;
        let (mut waiting_since, mut opened) = (began, 1);
        let (mut pause, mut took_over) = (FIRST_PAUSE, false);
        loop {
            let got_it = waiting.try_lock()?;
            if !waiting.is_in_place() && opened < MOST_OPENED {
                waiting = Waiting::open(folder, &name)?;
                (waiting_since, opened) = (Instant::now(), opened + 1);
                continue;
            }
            if got_it {
                let Waiting { file, path } = waiting;
                return Ok(LockOutcome::Locked(Self { file, path }));
            }
            if let Some(result) = done() {
                return Ok(LockOutcome::Done(result));
            }
            // Also where the machine slept meanwhile, one lock is taken over before this one gives up.
            let is_stuck = waiting_since.elapsed() >= patience;
            if began.elapsed() >= patience * 2 && (took_over || !is_stuck) {
                return Err(format!(
                    "other processes have held the lock for {} s",
                    began.elapsed().as_secs()
                ));
            }
            if is_stuck {
                waiting.take_over(folder)?;
                took_over = true;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Locks a folder, until what is given is dropped.
///
/// # Errors
/// If another process holds the lock for longer than `patience`, or the system has no such locks.
#[cfg(unix)]
pub(crate) fn hold_folder(path: &Path, patience: Duration) -> io::Result<File> {
    let (folder, began) = (File::open(path)?, Instant::now());
    loop {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that locks")]
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::Error(e)) => return Err(e),
            Err(TryLockError::WouldBlock) if began.elapsed() >= patience => {
                return Err(io::Error::other("another process holds the lock of its folder"));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(LONGEST_PAUSE),
        }
    }
}

/// The lock files that other processes hold now, and still after `patience`.
pub(super) fn held(folder: &Folder<'_>, patience: Duration) -> Vec<PathBuf> {
    let began = Instant::now();
    let mut held = folder.names(LOCKS);
    loop {
        let waiting = held.iter().filter_map(|name| Waiting::open(folder, name).ok());
        let waiting: Vec<Waiting> = waiting.filter(|it| matches!(it.try_lock(), Ok(false))).collect();
        let paths: Vec<PathBuf> = waiting.into_iter().map(|it| it.path).collect();
        if paths.is_empty() || began.elapsed() >= patience {
            return paths;
        }
        let name = |path: &PathBuf| Some(path.file_name()?.to_str()?.to_owned());
        held = paths.iter().filter_map(name).collect();
        thread::sleep(LONGEST_PAUSE);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // One that was taken over has another file in its place.
        if is_in_place(&self.file, &self.path) {
            // A file that stays is locked again, or swept.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A lock file that may be locked by another process.
struct Waiting {
    file: File,
    path: PathBuf,
}

impl Waiting {
    fn open(folder: &Folder<'_>, name: &str) -> Result<Self, String> {
        let opened = folder.lock_file(name).map(|(file, path)| Self { file, path });
        opened.map_err(|e| format!("a lock file cannot be opened: {}", cause(&e)))
    }

    fn try_lock(&self) -> Result<bool, String> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that locks")]
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(format!("a file cannot be locked: {}", cause(&e))),
        }
    }

    fn is_in_place(&self) -> bool {
        is_in_place(&self.file, &self.path)
    }

    /// Removes the file from under its holder, unless another process is doing that, or did.
    fn take_over(&self, folder: &Folder<'_>) -> Result<(), String> {
        let taking_over = Self::open(folder, TAKEOVER)?;
        if taking_over.try_lock()? && self.is_in_place() {
            fs::remove_file(&self.path)
                .map_err(|e| format!("a lock file cannot be removed: {}", cause(&e)))?;
        }
        Ok(())
    }
}

/// Whether this is the file that is at a path.
#[cfg(unix)]
fn is_in_place(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(file), Ok(found)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (file.dev(), file.ino()) == (found.dev(), found.ino())
}

/// Whether this is the file that is at a path: without numbers of files it is, if there is one.
#[cfg(not(unix))]
fn is_in_place(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::Terminal;

    struct Named(&'static str);

    impl Name for Named {
        fn name(&self) -> &str {
            self.0
        }
    }

    struct Fixture {
        temporary: tempfile::TempDir,
    }

    impl Fixture {
        fn new() -> Self {
            Self { temporary: tempfile::tempdir().unwrap() }
        }

        fn take(
            &self,
            name: &'static str,
            patience: u64,
            done: Option<u8>,
        ) -> Result<LockOutcome<u8>, String> {
            let terminal = Terminal::new(std::io::sink());
            let folder = Folder::open(&self.temporary.path().join("cache"), &terminal).unwrap();
            Lock::take(&folder, "token", &Named(name), Duration::from_millis(patience), || done)
        }

        fn files(&self) -> usize {
            std::fs::read_dir(self.temporary.path().join("cache").join("locks")).unwrap().count()
        }
    }

    #[test]
    fn a_lock_excludes_until_it_is_dropped_and_leaves_no_file() {
        let fixture = Fixture::new();
        let held = fixture.take("a", 10_000, None).unwrap();
        assert!(matches!(held, LockOutcome::Locked(_)));
        assert!(matches!(fixture.take("a", 10_000, Some(7)), Ok(LockOutcome::Done(7))));
        assert!(matches!(fixture.take("ab", 10_000, Some(7)), Ok(LockOutcome::Locked(_))), "another name");
        drop(held);
        assert_eq!(fixture.files(), 0);
        assert!(matches!(fixture.take("a", 10_000, Some(7)), Ok(LockOutcome::Locked(_))));
    }

    #[test]
    fn a_lock_that_is_held_for_too_long_is_taken_over_by_one() {
        let fixture = Fixture::new();
        let stopped = fixture.take("a", 10_000, None).unwrap();
        // As if the machine had slept: all the time that there is has passed at once.
        let second = fixture.take("a", 0, None).unwrap();
        assert!(matches!(second, LockOutcome::Locked(_)));
        // The one that was stopped goes on, and does not end the lock of the other.
        drop(stopped);
        assert!(matches!(fixture.take("a", 10_000, Some(7)), Ok(LockOutcome::Done(7))));
    }

    #[test]
    fn of_many_that_wait_one_at_a_time_gets_the_lock() {
        let fixture = Fixture::new();
        let stopped = fixture.take("a", 10_000, None).unwrap();
        let (inside, most) = (std::sync::atomic::AtomicU32::new(0), std::sync::atomic::AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let outcome = fixture.take("a", 2_000, None).unwrap();
                    assert!(matches!(outcome, LockOutcome::Locked(_)));
                    let now = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                    most.fetch_max(now, std::sync::atomic::Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(5));
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        drop(stopped);
    }
}
