//! One line for each answer and each refusal. No secret is ever part of it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::commands::output::time;
use crate::error::{Error, Result, cause};
use crate::files;
use crate::socket::short;
use crate::terminal::escape;
use crate::time::Timestamp;

/// Where the lines go.
pub(super) struct Audit {
    /// A file, or nothing for stderr.
    file: Option<Mutex<File>>,
}

/// Who is at the other end of a connection, as far as the system tells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    pub(super) pid: Option<i32>,
    pub(super) uid: Option<u32>,
}

/// What is noted of a request.
#[derive(Debug, Default)]
pub(super) struct Note {
    /// `get`, `store`, `erase`, `token`, `bazel` or `status`.
    pub(super) operation: String,
    /// What it is about: a repository, several, or an owner, with the host.
    pub(super) places: String,
    /// To which permissions the token is narrowed; empty: to none.
    pub(super) permissions: String,
}

impl Audit {
    /// Opens the file, to which lines are added.
    ///
    /// # Errors
    /// If it cannot be opened, or belongs to somebody else.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| {
            files::open_own(files::private().create(true).append(true), path)
                .map_err(|e| Error::new(format!("cannot write {}: {}", path.display(), cause(&e))))
        };
        Ok(Self { file: path.map(open).transpose()?.map(Mutex::new) })
    }

    /// Writes a line.
    ///
    /// # Errors
    /// If the file cannot be written. Where stderr is closed nobody reads it.
    pub(super) fn note(&self, now: Timestamp, peer: Peer, note: &Note, outcome: &str) -> Result<()> {
        let line = line(now, peer, note, outcome);
        // One write, so that no two lines mix.
        match &self.file {
            Some(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.write_all(line.as_bytes())
                    .map_err(|e| Error::new(format!("the audit cannot be written: {}", cause(&e))))
            }
            None => {
                let _ =
                    std::io::stderr().write_all(format!("git-credential-ghapp: serve: {line}").as_bytes());
                Ok(())
            }
        }
    }
}

/// The line for a request, and for what came of it: one, whatever stands in the request.
pub(super) fn line(now: Timestamp, peer: Peer, note: &Note, outcome: &str) -> String {
    let number = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    // One who names very much does not fill the disk with it.
    let short = |text: &str| match short(text) {
        start if start.len() < text.len() => format!("{}…", escape(start)),
        all => escape(all),
    };
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"=\\".contains(&byte));
    // What could be taken for another field is in quotes.
    let word = |text: &str| match text {
        "" => "-".to_owned(),
        text if is_plain(text) => short(text),
        text => short(&format!("{text:?}")),
    };
    format!(
        "{} pid={} uid={} operation={} repository={} permissions={} {}\n",
        time(now),
        number(peer.pid.map(|it| it.to_string())),
        number(peer.uid.map(|it| it.to_string())),
        word(&note.operation),
        word(&note.places),
        word(&note.permissions),
        short(outcome),
    )
}
