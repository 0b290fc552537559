//! Files that are written as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
#[cfg(unix)]
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

#[cfg(unix)]
use super::check_owner;
use super::private;
use crate::secret::hex;

/// What the names of unfinished files begin with; 64 hex digits follow.
pub(crate) const UNFINISHED_PREFIX: &str = ".new-";

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing<'a> {
    /// The folder where the content stands until it is whole; on the same file system as the file itself.
    pub(crate) unfinished: &'a Path,
    pub(crate) access: Access,
    /// Whether a file that is there is replaced. Otherwise it is an error.
    pub(crate) replaces: bool,
    /// Whether the file must be whole after a power cut too.
    pub(crate) lasts: bool,
}

/// Who may use a file that is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    /// This user.
    Private,
    /// Everybody, who may run it; this user alone may write it.
    Program,
    /// Who may use the file that it replaces; a new one, whoever this user's new files are for.
    AsBefore,
}

/// Writes a file as a whole or not at all: whoever reads finds the old content or the new one, whenever the writer is
/// killed. A link in the place of the file is replaced, not followed.
///
/// # Errors
/// If it cannot be written, or is there and must not be replaced. Nothing is changed then.
pub(crate) fn write_whole(path: &Path, content: &[u8], how: Writing<'_>) -> io::Result<()> {
    Unfinished::write(path, content, how)?.finish()
}

/// A file whose content stands under another name until it is finished. If it never is, that name is all that stays, and
/// nothing reads it.
#[derive(Debug)]
pub(crate) struct Unfinished<'a> {
    temporary: PathBuf,
    path: &'a Path,
    how: Writing<'a>,
}

impl<'a> Unfinished<'a> {
    /// Writes the content of a file that is not there yet, or is as it was.
    ///
    /// # Errors
    /// If it cannot be written. Nothing is changed then.
    pub(crate) fn write(path: &'a Path, content: &[u8], how: Writing<'a>) -> io::Result<Self> {
        // A name that nobody can foresee, and that no other process has, on this machine or another.
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("there are no random numbers"))?;
        let temporary = how.unfinished.join(format!("{UNFINISHED_PREFIX}{}", hex(&random)));
        let before = match how.access {
            Access::Private | Access::Program => None,
            Access::AsBefore => fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file),
        };
        let mut options = if matches!(how.access, Access::AsBefore) && before.is_none() {
            let mut options = OpenOptions::new();
            options.write(true);
            options
        } else {
            private()
        };
        let mut file = options.create_new(true).open(&temporary)?;
        let unfinished = Self { temporary, path, how };
        let written = file
            .write_all(content)
            .and_then(|()| before.as_ref().map_or(Ok(()), |before| take_over(&file, before)))
            .and_then(|()| if matches!(how.access, Access::Program) { let_run(&file) } else { Ok(()) })
            .and_then(|()| if how.lasts { file.sync_all() } else { Ok(()) });
        unfinished.or_remove(written)?;
        Ok(unfinished)
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// If that cannot be done, or another file is there that must not be replaced. Nothing is changed then.
    pub(crate) fn finish(self) -> io::Result<()> {
        let placed = if !self.how.replaces && fs::symlink_metadata(self.path).is_ok() {
            Err(io::ErrorKind::AlreadyExists.into())
        } else {
            fs::rename(&self.temporary, self.path)
        };
        self.or_remove(placed)?;
        if self.how.lasts
            && let Some(folder) = self.path.parent()
        {
            // The file is there and whole. Where a folder cannot be synchronised, the old file may come back after a power
            // cut.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(())
    }

    fn or_remove(&self, result: io::Result<()>) -> io::Result<()> {
        if result.is_err() {
            // One that cannot be removed has a name that nothing reads.
            let _ = fs::remove_file(&self.temporary);
        }
        result
    }
}

/// Lets everybody run a file.
#[cfg(unix)]
fn let_run(file: &File) -> io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

#[cfg(not(unix))]
fn let_run(_: &File) -> io::Result<()> {
    Ok(())
}

/// Gives a file the permissions and the owner of another one.
fn take_over(file: &File, before: &fs::Metadata) -> io::Result<()> {
    file.set_permissions(before.permissions())?;
    #[cfg(unix)]
    if check_owner("it", before).is_err() {
        // Root changes the file of another user, which stays that user's. Whoever is not root replaces it by one's own.
        let _ = std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid()));
    }
    Ok(())
}
