//! The files that setup changes: configuration and private keys.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::{Error, Result, cause};
use crate::files::{
    Access, Writing, check_folder_of_secrets, check_owner_of_folder, is_absent, make_private_folder,
    read_text, write_whole,
};
use crate::secret::Secret;

/// A file's text; `None` if there is none.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>> {
    match read_text(path) {
        Ok(text) => Ok(Some(text)),
        // Where a file stands in the place of the folder, writing is what fails.
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(Error::new(format!("cannot read {}: {}", path.display(), cause(&e)))),
    }
}

/// Replaces a file as a whole or not at all. Its mode stays, and so does a link to it.
pub(super) fn replace(path: &Path, content: &str) -> Result<()> {
    put(path, content, Access::AsBefore)
}

/// The same of a file that is this user's alone.
pub(super) fn replace_private(path: &Path, content: &str) -> Result<()> {
    put(path, content, Access::Private)
}

fn put(path: &Path, content: &str, access: Access) -> Result<()> {
    let failed = |e: &io::Error| {
        Error::new(format!("cannot write {}: {}", path.display(), cause(e)))
            .hint("look at the permissions of the file and its folder, or name another file: --config FILE")
    };
    let real = match fs::canonicalize(path) {
        Ok(real) => real,
        // Where it leads may be mounted later.
        Err(_) if path.is_symlink() => {
            return Err(failed(&io::Error::other("it is a link that leads nowhere")));
        }
        Err(_) => path.to_owned(),
    };
    let folder = real.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| failed(&e))?;
    let writing = Writing { unfinished: folder, access, replaces: true, lasts: true };
    write_whole(&real, content.as_bytes(), writing).map_err(|e| failed(&e))
}

pub(super) fn read_key(path: &Path) -> Result<Secret> {
    let text = read_text(path);
    text.map(Secret::new)
        .map_err(|e| Error::new(format!("cannot read the private key {}: {}", path.display(), cause(&e))))
}

/// Writes a key to a folder of keys, which is made if it is not there.
pub(super) fn put_key(path: &Path, key: &Secret) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_private_folder(folder)
        .map_err(|e| Error::new(format!("cannot make {}: {}", folder.display(), cause(&e))))?;
    // Somebody else may have made it, where the configuration is in a folder of many.
    check_folder_of_secrets(folder).map_err(|e| {
        let what = format!("the private key is not put into {}: {}", folder.display(), cause(&e));
        Error::new(what)
            .hint("let it be a folder of yours that only you may write to, or name a configuration elsewhere")
    })?;
    write_key(path, key)
}

/// Puts a key back into the folder that it was moved from, unless that is somebody else's by now.
pub(super) fn put_back(path: &Path, key: &Secret) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    check_owner_of_folder(folder).map_err(|e| {
        let what = format!("the private key is not moved back to {}: {}", path.display(), cause(&e));
        Error::new(what).hint("put a folder of yours in its place, and try again")
    })?;
    write_key(path, key)
}

/// Writes a key where no other file is, for this user alone.
fn write_key(path: &Path, key: &Secret) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let writing = Writing { unfinished: folder, access: Access::Private, replaces: false, lasts: true };
    let written = write_whole(path, key.expose().as_bytes(), writing);
    written.map_err(|e| Error::new(format!("cannot write the private key {}: {}", path.display(), cause(&e))))
}

pub(super) fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|e| Error::new(format!("cannot remove {}: {}", path.display(), cause(&e))))
}

/// Removes a key that was copied to another place. The message says what to do where that is not possible.
pub(super) fn take_away(path: &Path) -> Result<()> {
    remove(path).map_err(|why| {
        why.hint("look at the permissions of its folder, or leave the key where it is: without --move-key")
    })
}

/// Whether there is a regular file here, and no link, with nothing in it.
pub(super) fn is_empty_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
}
