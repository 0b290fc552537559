//! The socket as a file: made for this user alone, and removed at the end.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::umask;

use crate::cache::hold_folder;
use crate::error::{Error, Result, cause};
use crate::files::{self, is_absent};
use crate::time::{Unfinished, within};

/// A socket that is removed when this is dropped.
pub(super) struct Endpoint {
    path: PathBuf,
    /// Device and number of the file, by which it is told from one that somebody else put there.
    file: (u64, u64),
}

/// How long somebody who listens may take to be noticed.
const PATIENCE: Duration = Duration::from_secs(2);

impl Endpoint {
    /// Makes the socket, and its folder unless that is there. One that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// If it cannot be made, if others than this user may change its folder, or if something else is there.
    pub(super) fn make(path: &Path, mode: u32) -> Result<(Self, UnixListener)> {
        let failed = |why: &io::Error| Error::new(format!("cannot make {}: {}", path.display(), cause(why)));
        let name = path.file_name().ok_or_else(|| failed(&io::Error::other("it is the name of no file")))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        files::make_private_folder(folder).map_err(|e| failed(&e))?;
        let folder = folder.canonicalize().map_err(|e| failed(&e))?;
        check_folder(&folder).map_err(|e| {
            failed(&e).hint("name a path in a folder that only this user may change, such as ~/.ghapp/socket")
        })?;
        let path = folder.join(name);
        // Of several that begin at once, one makes it.
        let held = hold_folder(&folder, PATIENCE).map_err(|e| failed(&e))?;
        remove_dead(&path)?;
        // It is this user's alone from its first instant.
        let before = umask(Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(&path);
        umask(before);
        let listener = bound.map_err(|e| match e.kind() {
            io::ErrorKind::InvalidInput => {
                failed(&e).hint("the path of a socket has at most 107 bytes: name a shorter one")
            }
            _ => failed(&e),
        })?;
        drop(held);
        let metadata = fs::symlink_metadata(&path).map_err(|e| failed(&e))?;
        let endpoint = Self { path, file: (metadata.dev(), metadata.ino()) };
        if mode != 0o600 {
            fs::set_permissions(&endpoint.path, Permissions::from_mode(mode)).map_err(|e| failed(&e))?;
        }
        Ok((endpoint, listener))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let is_ours = |it: fs::Metadata| (it.dev(), it.ino()) == self.file;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            // One that stays is dead, and replaced the next time.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// An error unless the folder is this user's, and nobody else may change what is in it.
fn check_folder(folder: &Path) -> io::Result<()> {
    let metadata = files::check_own_folder(folder)
        .map_err(|e| io::Error::other(format!("its folder is not fit for it: {}", cause(&e))))?;
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("other users may write its folder"));
    }
    Ok(())
}

/// Removes a socket of this user's that nobody listens at.
fn remove_dead(path: &Path) -> Result<()> {
    let shown = path.display();
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if is_absent(&e) => return Ok(()),
        Err(e) => return Err(Error::new(format!("cannot look at {shown}: {}", cause(&e)))),
    };
    if !metadata.file_type().is_socket() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::new(format!("{shown} is there, and is no socket of this user's"))
            .hint("name another path, or remove it"));
    }
    let socket = path.to_owned();
    let is_dead = match within(PATIENCE, move || UnixStream::connect(socket)) {
        Ok(Err(e)) => e.kind() == io::ErrorKind::ConnectionRefused,
        Ok(Ok(_)) | Err(Unfinished::Late | Unfinished::NotStarted(_)) => false,
    };
    if !is_dead {
        return Err(Error::new(format!("another serve uses {shown} already"))
            .hint("name another path, or end the other one"));
    }
    fs::remove_file(path).map_err(|e| Error::new(format!("cannot replace {shown}: {}", cause(&e))))
}
