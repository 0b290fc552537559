//! The cache folder: small files, each replaced as a whole or not at all. What is in it and is not ours stays as it is.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result, cause};
use crate::files::{self, Access, Unfinished, Writing, is_absent, make_private_folder, private};
use crate::terminal::Terminal;
#[cfg(unix)]
use crate::terminal::path_in_shell;
use crate::time::Clock;

/// The most that is read of a file in here, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// A kind of files: the folder in the cache folder that they stand in, and how they are named.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    folder: &'static str,
    names: Names,
}

#[derive(Clone, Copy, Debug)]
enum Names {
    /// Digests, of 64 hex digits, after one of these prefixes.
    Digests(&'static [&'static str]),
    /// One of these.
    Words(&'static [&'static str]),
}

impl Kind {
    /// Files that are named by a digest.
    pub(super) const fn of_digests(folder: &'static str) -> Self {
        Self { folder, names: Names::Digests(&[""]) }
    }

    /// Files that have one of these names.
    pub(super) const fn of_words(folder: &'static str, words: &'static [&'static str]) -> Self {
        Self { folder, names: Names::Words(words) }
    }

    /// Whether a file of this kind can have the name. No other file is touched.
    fn has(&self, name: &str) -> bool {
        match self.names {
            Names::Digests(prefixes) => prefixes
                .iter()
                .filter_map(|prefix| name.strip_prefix(prefix))
                .any(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())),
            Names::Words(words) => words.contains(&name),
        }
    }
}

/// Where files stand until they are whole. What is old in here was left by a process that was killed.
pub(super) const UNFINISHED: Kind =
    Kind { folder: "unfinished", names: Names::Digests(&[files::UNFINISHED_PREFIX]) };
/// Locks that are held, and those of processes that were killed.
pub(super) const LOCKS: Kind =
    Kind { folder: "locks", names: Names::Digests(&["entry-", "route-", "token-", "seal-seal-"]) };

/// Locks of commands that change what is set up. Unlike the others they may be held for long: a person may be asked.
pub(super) const TURNS: Kind = Kind { folder: "locks", names: Names::Digests(&["setup-", "register-"]) };

/// A folder that only this user can read and write.
pub(crate) struct Folder<'a> {
    root: PathBuf,
    terminal: &'a Terminal,
}

impl<'a> Folder<'a> {
    /// Opens the folder, and makes it if it is not there. One that is a link is not followed: it is cleared now and then.
    pub(crate) fn open(root: &Path, terminal: &'a Terminal) -> Result<Self> {
        let refused = |e: &io::Error| {
            Error::new(format!("the cache folder {} is not used: {}", root.display(), cause(e)))
                .hint("set XDG_CACHE_HOME to a folder of your own")
        };
        let metadata = match files::check_own_folder(root) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make_private_folder(root).and_then(|()| files::check_own_folder(root))
            }
            checked => checked,
        };
        let metadata = metadata.map_err(|e| refused(&e))?;
        #[cfg(unix)]
        if std::os::unix::fs::MetadataExt::mode(&metadata) & 0o077 != 0 {
            // One that has this program's name is for nobody else.
            let hint = match root.file_name() {
                Some(name) if name == "git-credential-ghapp" => format!("chmod 700 {}", path_in_shell(root)),
                _ => "name a folder that is not there yet: cache-folder".to_owned(),
            };
            return Err(refused(&io::Error::other("other users may enter it")).hint(hint));
        }
        #[cfg(not(unix))]
        let _ = metadata;
        Ok(Self { root: root.to_owned(), terminal })
    }

    /// The folder of a kind, if it is there and ours.
    fn existing(&self, kind: Kind) -> io::Result<PathBuf> {
        let folder = self.root.join(kind.folder);
        files::check_own_folder(&folder).map(|_| folder)
    }

    /// A folder in here, which is made if it is not there.
    fn ready(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.root.join(name);
        make_private_folder(&folder)?;
        files::check_own_folder(&folder)?;
        Ok(folder)
    }

    /// The file's content, which is never secret as it is: what is, is sealed. `None` if there is no such file.
    pub(super) fn read(&self, kind: Kind, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut content = Vec::with_capacity(1024);
        match files::open_own(OpenOptions::new().read(true), &self.root.join(kind.folder).join(name)) {
            Ok(file) => file.take(MAX_FILE).read_to_end(&mut content).map(|_| Some(content)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Replaces the file's content. There is no `fsync`: what a power cut damages is a miss.
    pub(super) fn write(&self, kind: Kind, name: &str, content: &[u8]) -> io::Result<()> {
        let unfinished = self.ready(UNFINISHED.folder)?;
        let file = self.ready(kind.folder)?.join(name);
        let writing =
            Writing { unfinished: &unfinished, access: Access::Private, replaces: true, lasts: false };
        let unfinished = Unfinished::write(&file, content, writing)?;
        self.terminal.trace(|| format!("cache: replace {}/{name}", kind.folder));
        unfinished.finish()
    }

    /// What a file of [`Folder::write_json`] says; one that cannot be read or parsed is the same as none.
    pub(super) fn read_json<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Option<T> {
        serde_json::from_slice(&self.read(kind, name).ok()??).ok()
    }

    /// Writes down something that is not secret.
    pub(super) fn write_json(&self, kind: Kind, name: &str, what: &impl Serialize) -> io::Result<()> {
        self.write(kind, name, &serde_json::to_vec(what)?)
    }

    /// The names of all files of a kind.
    pub(super) fn names(&self, kind: Kind) -> Vec<String> {
        let Ok(folder) = self.existing(kind) else { return Vec::new() };
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| kind.has(name)).collect()
    }

    /// Removes files of a kind that were written so long ago, and those from as far in the future: they were written under
    /// another clock, and would stay for as long as that was ahead. Nothing depends on it, so nothing is reported.
    pub(super) fn sweep(&self, kind: Kind, limit: Duration, clock: Clock) {
        for name in self.names(kind) {
            let path = self.root.join(kind.folder).join(&name);
            let written = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
            let apart =
                |written| clock.wall().duration_since(written).unwrap_or_else(|ahead| ahead.duration());
            let age = written.ok().map(apart);
            if age.is_some_and(|age| age > limit) {
                let _ = self.remove(kind, &name);
            }
        }
    }

    /// Removes all files of these kinds.
    pub(super) fn clear(&self, kinds: impl IntoIterator<Item = Kind>) -> Result<()> {
        for kind in kinds {
            for name in self.names(kind) {
                self.remove(kind, &name).map_err(|e| {
                    Error::new(format!(
                        "cannot clear the cache folder {}: {}",
                        self.root.display(),
                        cause(&e)
                    ))
                })?;
            }
            // One that is not empty holds what is not ours.
            let _ = self.existing(kind).and_then(fs::remove_dir);
        }
        Ok(())
    }

    /// Whether nothing is in the folder but files of these kinds, so that it goes with them.
    pub(super) fn has_only(&self, kinds: &[Kind]) -> bool {
        let names = |folder: &Path| -> Vec<OsString> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name()).collect()
        };
        let is_one = |folder: &OsString, file: &OsString| {
            let is_of = |kind: &Kind| *folder == kind.folder && file.to_str().is_some_and(|it| kind.has(it));
            kinds.iter().any(is_of)
        };
        names(&self.root).iter().all(|folder| {
            kinds.iter().any(|kind| *folder == kind.folder && self.existing(*kind).is_ok())
                && names(&self.root.join(folder)).iter().all(|file| is_one(folder, file))
        })
    }

    /// Removes the folder itself, if nothing is in it any more. Whether it is gone.
    pub(super) fn remove_if_empty(&self) -> bool {
        fs::remove_dir(&self.root).is_ok()
    }

    /// Removes the file, if it is there.
    pub(super) fn remove(&self, kind: Kind, name: &str) -> io::Result<()> {
        self.terminal.trace(|| format!("cache: remove {}/{name}", kind.folder));
        match self.existing(kind).and_then(|folder| fs::remove_file(folder.join(name))) {
            Err(e) if !is_absent(&e) => Err(e),
            _ => Ok(()),
        }
    }

    /// An open file for locking, and where it is.
    pub(super) fn lock_file(&self, name: &str) -> io::Result<(File, PathBuf)> {
        let path = self.ready(LOCKS.folder)?.join(name);
        let file = files::open_own(private().create(true).truncate(false), &path)?;
        Ok((file, path))
    }
}
