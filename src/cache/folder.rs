//! The cache folder: small files, each replaced as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result, cause};
use crate::files::{is_absent, make_private_folder, private};

/// The most that is read of a file in here, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// Where unfinished files stand. What is older than [`ABANDONED`] in here was left by a process that was killed.
const UNFINISHED: &str = "unfinished";
const LOCKS: &str = "locks";
const ABANDONED: Duration = Duration::from_secs(60);

/// A folder that only this user can read and write.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Opens the folder, and makes it if it is not there.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let refused =
            |why: String| Error::new(format!("the cache folder {} is not used: {why}", root.display()));
        let metadata = match fs::metadata(root) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make_private_folder(root).map_err(|e| refused(cause(&e)))?;
                fs::metadata(root).map_err(|e| refused(cause(&e)))?
            }
            Err(e) => return Err(refused(cause(&e))),
        };
        if !metadata.is_dir() {
            return Err(refused("it is not a directory".to_owned()));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let user = rustix::process::geteuid().as_raw();
            if metadata.uid() != user {
                return Err(refused(format!("it belongs to user {}, not to {user}", metadata.uid()))
                    .hint("set XDG_CACHE_HOME to a folder of your own"));
            }
            if metadata.mode() & 0o077 != 0 {
                return Err(
                    refused("others may enter it".to_owned()).hint(format!("chmod 700 '{}'", root.display()))
                );
            }
        }
        Ok(Self { root: root.to_owned() })
    }

    /// The file's content, which is never secret as it is: what is, is sealed. `None` if there is no such file.
    pub(super) fn read(&self, kind: &str, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut content = Vec::with_capacity(1024);
        match File::open(self.root.join(kind).join(name)) {
            Ok(file) => file.take(MAX_FILE).read_to_end(&mut content).map(|_| Some(content)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Replaces the file's content: whoever reads finds the old content or the new one.
    pub(super) fn write(&self, kind: &str, name: &str, content: &[u8]) -> io::Result<()> {
        let unfinished = self.root.join(UNFINISHED);
        make_private_folder(&unfinished)?;
        make_private_folder(&self.root.join(kind))?;
        sweep(&unfinished, ABANDONED);
        let temporary = unfinished.join(format!("{}-{name}", std::process::id()));
        let written = private().create(true).truncate(true).open(&temporary).and_then(|mut file| {
            file.write_all(content)?;
            drop(file);
            fs::rename(&temporary, self.root.join(kind).join(name))
        });
        if written.is_err() {
            // What cannot be removed now is swept later.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// What a file of [`Folder::write_json`] says; one that cannot be read or parsed is the same as none.
    pub(super) fn read_json<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Option<T> {
        serde_json::from_slice(&self.read(kind, name).ok()??).ok()
    }

    /// Writes down something that is not secret.
    pub(super) fn write_json(&self, kind: &str, name: &str, what: &impl Serialize) -> io::Result<()> {
        self.write(kind, name, &serde_json::to_vec(what)?)
    }

    /// The names of all files of a kind.
    pub(super) fn names(&self, kind: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(kind)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Removes files of a kind that were written so long ago. Nothing depends on it, so nothing is reported.
    pub(super) fn sweep(&self, kind: &str, age: Duration) {
        sweep(&self.root.join(kind), age);
    }

    /// Removes everything in the folder but locks, which other processes may hold.
    pub(super) fn clear(&self) -> Result<()> {
        let failed = |e: io::Error| {
            Error::new(format!("cannot clear the cache folder {}: {}", self.root.display(), cause(&e)))
        };
        for entry in fs::read_dir(&self.root).map_err(failed)?.flatten() {
            if entry.file_name() != LOCKS && entry.path().is_dir() {
                fs::remove_dir_all(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Removes the file, if it is there.
    pub(super) fn remove(&self, kind: &str, name: &str) -> io::Result<()> {
        match fs::remove_file(self.root.join(kind).join(name)) {
            Err(e) if !is_absent(&e) => Err(e),
            _ => Ok(()),
        }
    }

    /// An open file that stays where it is, for locking.
    pub(super) fn lock_file(&self, name: &str) -> io::Result<File> {
        let folder = self.root.join(LOCKS);
        let path = folder.join(name);
        match private().create(true).truncate(false).open(&path) {
            Err(e) if is_absent(&e) => {
                make_private_folder(&folder)?;
                private().create(true).truncate(false).open(&path)
            }
            opened => opened,
        }
    }
}

/// Removes files that were written longer ago than `limit`. Nothing depends on it, so nothing is reported.
fn sweep(folder: &Path, limit: Duration) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|m| m.elapsed().ok());
        if age.is_some_and(|age| age > limit) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
