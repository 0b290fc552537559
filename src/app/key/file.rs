//! A private key in a file.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::{KeySource, KeyText, MAX_KEY};
use crate::error::{Error, Result, cause};
use crate::files::read_secret;
use crate::origin::Origin;
#[cfg(unix)]
use crate::terminal::path_in_shell;
use crate::world::World;

/// How long a pipe that the key comes through may take: the program at its other end may ask a vault.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct KeyFile {
    path: PathBuf,
    origin: Origin,
}

/// Any text names a file.
pub(super) fn named(
    text: &str,
    resolve: &dyn Fn(&str) -> PathBuf,
    origin: &Origin,
) -> Option<Rc<dyn KeySource>> {
    Some(Rc::new(KeyFile { path: resolve(text), origin: origin.clone() }))
}

impl KeySource for KeyFile {
    fn read(&self, _: &World<'_>) -> Result<KeyText> {
        read(&self.path, &self.describe())
    }

    fn describe(&self) -> String {
        format!("{} ({})", self.path.display(), self.origin)
    }

    fn short(&self) -> String {
        self.path.display().to_string()
    }

    fn setting(&self) -> Option<String> {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        Some(path.display().to_string())
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

/// Reads a key's file, which messages call by `shown`.
pub(super) fn read(path: &Path, shown: &str) -> Result<KeyText> {
    let unreadable = |e: io::Error| {
        let error = Error::new(match e.kind() {
            io::ErrorKind::NotFound => format!("the private key file {shown} does not exist"),
            _ => format!("cannot read the private key {shown}: {}", cause(&e)),
        });
        match who_may_read(path).filter(|_| e.kind() == io::ErrorKind::PermissionDenied) {
            Some(hint) => error.hint(hint),
            None => error
                .hint("download a private key on the App's settings page and name its file in private-key"),
        }
    };
    let secret = read_secret(path, MAX_KEY, PATIENCE);
    if secret.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::IsADirectory) {
        return Err(Error::new(format!("the private key {shown} is a directory"))
            .hint("name the .pem file itself in private-key"));
    }
    secret.map(KeyText::new).map_err(unreadable)
}

/// What lets this user read a file that it may not read: whom its mode allows.
#[cfg(unix)]
fn who_may_read(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(metadata) = std::fs::metadata(path) else {
        let folder = path_in_shell(path.parent()?);
        return Some(format!("this user may not enter its folder; let it: chmod o+x {folder}"));
    };
    let mode = metadata.mode() & 0o777;
    if metadata.uid() == rustix::process::geteuid().as_raw() {
        return Some(format!(
            "its mode is {mode:03o}; let its owner read it: chmod 600 {}",
            path_in_shell(path)
        ));
    }
    if mode & 0o040 == 0 {
        let path = path_in_shell(path);
        return Some(format!(
            "its mode is {mode:o}; let a group read it: chgrp GROUP {path} && chmod 640 {path}"
        ));
    }
    let group = metadata.gid().to_string();
    // <https://man7.org/linux/man-pages/man5/group.5.html>
    let groups = crate::files::read_text(Path::new("/etc/group")).unwrap_or_default();
    let named = groups.lines().find(|line| line.split(':').nth(2) == Some(group.as_str()));
    let name = named.and_then(|line| line.split(':').next()).unwrap_or(&group);
    Some(format!("its mode is {mode:o}; be a member of its group, {name}: usermod -aG {name} USER"))
}

#[cfg(not(unix))]
fn who_may_read(_: &Path) -> Option<String> {
    None
}
