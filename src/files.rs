//! Files and folders: read without surprises, written as a whole, and this user's alone where that matters.

#[cfg(any(windows, test))]
mod sddl;
mod whole;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
#[cfg(unix)]
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

#[cfg(unix)]
use rustix::fs::OFlags;
use zeroize::Zeroizing;

pub(crate) use whole::{Access, UNFINISHED_PREFIX, Unfinished, Writing, write_whole};

/// The most that is read of a file for people, in bytes: a configuration, a list of certificates.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Opens a regular file. A pipe, a device, a socket or a folder in its place is an error, and is not waited for.
///
/// # Errors
/// If it cannot be opened, or is something else.
pub(crate) fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let (file, metadata) = open(options, path, true)?;
    only_regular(&metadata).map(|()| file)
}

/// The same, of a file that nobody but this user can have put there: it is this user's, and no link.
///
/// # Errors
/// The same, and if it is a link or belongs to another user.
pub(crate) fn open_own(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let (file, metadata) = open(options, path, false)?;
    only_regular(&metadata)?;
    check_owner("it", &metadata).map(|()| file)
}

/// Whether this user may write to a regular file that is there.
pub(crate) fn may_write(path: &Path) -> bool {
    open_regular(OpenOptions::new().append(true), path).is_ok()
}

/// An error if it belongs to another user, who is not root.
fn check_owner_or_root(what: &str, metadata: &fs::Metadata) -> io::Result<()> {
    #[cfg(unix)]
    if metadata.uid() == 0 {
        return Ok(());
    }
    check_owner(what, metadata)
}

/// An error if it belongs to another user. Where files have no owners that can be told there is none.
#[cfg(unix)]
fn check_owner(what: &str, metadata: &fs::Metadata) -> io::Result<()> {
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner == user {
        return Ok(());
    }
    Err(io::Error::other(format!("{what} belongs to user {owner}, not to {user}")))
}

#[cfg(not(unix))]
fn check_owner(_: &str, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// Opens whatever is there without waiting for it, and tells what it is. Where the platform has no such flags, links are
/// followed in any case.
#[cfg(unix)]
fn open(options: &mut OpenOptions, path: &Path, follows_links: bool) -> io::Result<(File, fs::Metadata)> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    flags.set(OFlags::NOFOLLOW, !follows_links);
    let opened = options.custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|e| match rustix::io::Errno::from_io_error(&e) {
        // A socket; a pipe that nobody reads.
        Some(rustix::io::Errno::NXIO) => not_a_file(),
        Some(rustix::io::Errno::LOOP) if !follows_links => is_a_link(),
        _ => e,
    })?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

#[cfg(not(unix))]
fn open(options: &mut OpenOptions, path: &Path, _: bool) -> io::Result<(File, fs::Metadata)> {
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

fn only_regular(metadata: &fs::Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => Ok(()),
        () if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        () => Err(not_a_file()),
    }
}

fn not_a_file() -> io::Error {
    io::Error::other("it is not a file")
}

fn is_a_link() -> io::Error {
    io::Error::other("it is a symbolic link")
}

/// The content of a regular file.
///
/// # Errors
/// If it cannot be read, is not a regular file, or is larger than [`MAX_FILE`].
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (file, metadata) = open(OpenOptions::new().read(true), path, true)?;
    read_opened(&file, &metadata)
}

fn read_opened(file: &File, metadata: &fs::Metadata) -> io::Result<Vec<u8>> {
    only_regular(metadata)?;
    let mut content = Vec::with_capacity(usize::try_from(metadata.len().min(MAX_FILE)).unwrap_or(0));
    file.take(MAX_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("it is larger than {} MiB", MAX_FILE >> 20)));
    }
    Ok(content)
}

/// The same, as text.
///
/// # Errors
/// The same, and if it is not UTF-8.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    as_text(read(path)?)
}

fn as_text(content: Vec<u8>) -> io::Result<String> {
    String::from_utf8(content).map_err(|e| {
        // What Windows calls "Unicode".
        let is_utf16 = matches!(e.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
        io::Error::other(if is_utf16 { "it is UTF-16; save it as UTF-8" } else { "it is not valid UTF-8" })
    })
}

/// Who has a say in a file. Where files have no owners that can be told, nobody else than this user has.
pub(crate) struct Writers {
    metadata: fs::Metadata,
    #[cfg(windows)]
    file: File,
}

impl Writers {
    fn new(metadata: fs::Metadata, file: File) -> Self {
        #[cfg(not(windows))]
        drop(file);
        Self {
            metadata,
            #[cfg(windows)]
            file,
        }
    }

    /// Whether everybody may write it. Many systems give each user a group of its own, and let it write.
    pub(crate) fn everybody(&self) -> bool {
        #[cfg(unix)]
        return self.metadata.mode() & 0o002 != 0;
        #[cfg(not(unix))]
        false
    }

    /// An error if it belongs to another user, who is not root.
    pub(crate) fn check_owner(&self) -> io::Result<()> {
        check_owner_or_root("it", &self.metadata)
    }

    /// An error if a file for the whole machine may have been written by others than administrators. Its folder keeps others
    /// away, except on Windows, where every user may make folders and files beside those of other programs.
    pub(crate) fn check_administrators(&self) -> io::Result<()> {
        #[cfg(windows)]
        check_administrators(&self.file)?;
        Ok(())
    }
}

/// An error if others than administrators may write a file.
#[cfg(windows)]
fn check_administrators(file: &File) -> io::Result<()> {
    sddl::check_administrators(&sddl::of(file)?).map_err(io::Error::other)
}

/// The text of a regular file, and who has a say in it.
///
/// # Errors
/// As for [`read_text`].
pub(crate) fn read_text_and_writers(path: &Path) -> io::Result<(String, Writers)> {
    let (file, metadata) = open(OpenOptions::new().read(true), path, true)?;
    let text = as_text(read_opened(&file, &metadata)?)?;
    Ok((text, Writers::new(metadata, file)))
}

/// The text of a file that nobody but this user can have written: it is this user's and no link, and neither it nor its
/// folder can be written by others. On Windows the user's own folders see to that.
///
/// # Errors
/// As for [`read_text`], and if others can have written it.
pub(crate) fn read_own_text(path: &Path) -> io::Result<String> {
    read_own(path).map(|(text, _)| text)
}

/// The same of a file for the whole machine, which on Windows stands where every user may put files, and must be written by
/// administrators alone.
///
/// # Errors
/// As for [`read_own_text`].
pub(crate) fn read_own_text_of_machine(path: &Path) -> io::Result<String> {
    let (text, writers) = read_own(path)?;
    writers.check_administrators().map(|()| text)
}

fn read_own(path: &Path) -> io::Result<(String, Writers)> {
    let (file, metadata) = open(OpenOptions::new().read(true), path, false)?;
    only_regular(&metadata)?;
    check_owner("it", &metadata)?;
    #[cfg(unix)]
    check_who_writes(path, &metadata)?;
    let mut content = String::new();
    (&file).take(MAX_FILE).read_to_string(&mut content)?;
    Ok((content, Writers::new(metadata, file)))
}

/// An error if others than this user, and root, may write a file or put another one in its place.
#[cfg(unix)]
fn check_who_writes(path: &Path, file: &fs::Metadata) -> io::Result<()> {
    if file.mode() & 0o022 != 0 {
        return Err(io::Error::other("other users may write it"));
    }
    let folder = fs::metadata(path.parent().unwrap_or(Path::new(".")))?;
    if check_owner_or_root("it", &folder).is_err() {
        return Err(io::Error::other(format!("its folder belongs to user {}", folder.uid())));
    }
    // Many systems give each user a group of its own, and let it write. In a sticky folder only a file's owner replaces it.
    let group = if folder.gid() == rustix::process::getegid().as_raw() { 0 } else { 0o020 };
    if folder.mode() & (0o002 | group) != 0 && folder.mode() & 0o1000 == 0 {
        return Err(io::Error::other("other users may write its folder"));
    }
    Ok(())
}

/// A secret from a regular file, or from a pipe such as the shell's `<(…)` names: at most one byte more than `limit`. All of
/// its memory is wiped in the end.
///
/// # Errors
/// If it cannot be read, is neither, or is a pipe that was not at its end after `patience`.
pub(crate) fn read_secret(path: &Path, limit: u64, patience: Duration) -> io::Result<Zeroizing<Vec<u8>>> {
    let (file, metadata) = open(OpenOptions::new().read(true), path, true)?;
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type()) {
        return read_pipe(file, limit, patience);
    }
    let _ = patience;
    only_regular(&metadata)?;
    // No more than is needed, because all of it is wiped; and never less, or a copy would stay behind.
    let room = (metadata.len() + 1).min(limit + 1);
    let mut secret = Zeroizing::new(Vec::with_capacity(usize::try_from(room).unwrap_or(0)));
    file.take(limit + 1).read_to_end(&mut secret)?;
    Ok(secret)
}

/// What comes out of a pipe, which was opened so that reading does not wait.
#[cfg(unix)]
fn read_pipe(mut pipe: File, limit: u64, patience: Duration) -> io::Result<Zeroizing<Vec<u8>>> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::time::Instant;
    let began = Instant::now();
    let room = usize::try_from(limit + 1).unwrap_or(usize::MAX);
    let mut secret = Zeroizing::new(vec![0; room]);
    let mut length = 0;
    while length < room {
        let left = patience.saturating_sub(began.elapsed());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let ready = poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&timeout));
        match ready {
            Ok(0) => {
                let seconds = patience.as_secs();
                return Err(io::Error::other(format!(
                    "it is a pipe, and nothing came out of it for {seconds} s"
                )));
            }
            Ok(_) => match pipe.read(&mut secret[length..]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(e) => return Err(e),
            },
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    secret.truncate(length);
    Ok(secret)
}

/// Opens files for writing; those that are made can be read and written by this user alone.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Whether a folder is there that is this user's and no link.
///
/// # Errors
/// If it is not there, or is something else.
pub(crate) fn check_own_folder(path: &Path) -> io::Result<fs::Metadata> {
    let metadata = fs::symlink_metadata(path)?;
    match () {
        () if metadata.is_symlink() => Err(is_a_link()),
        () if !metadata.is_dir() => Err(io::Error::other("it is not a directory")),
        () => check_owner("it", &metadata).map(|()| metadata),
    }
}

/// The same, and that nobody else may put files into it or take them out.
///
/// # Errors
/// As for [`check_own_folder`], and if others may write it.
pub(crate) fn check_folder_of_secrets(path: &Path) -> io::Result<()> {
    let metadata = check_own_folder(path)?;
    #[cfg(unix)]
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("other users may write it"));
    }
    #[cfg(not(unix))]
    drop(metadata);
    Ok(())
}

/// The folder at a path is this user's, or root's.
///
/// # Errors
/// If it is somebody else's, or is not there.
pub(crate) fn check_owner_of_folder(path: &Path) -> io::Result<()> {
    check_owner_or_root("its folder", &fs::metadata(path)?)
}

/// Makes a folder that only this user may enter, and those above it, unless they are there.
///
/// # Errors
/// If one cannot be made.
pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The permissions of a file that others than its owner may use. `None` where there are no such permissions.
#[cfg(unix)]
pub(crate) fn open_to_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// The permissions of a file that others than its owner may use. `None` where there are no such permissions.
#[cfg(not(unix))]
pub(crate) fn open_to_others(_: &Path) -> Option<u32> {
    None
}

/// Whether a file is not there. One that cannot be, because a file stands where its folder would be, is not there either.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
