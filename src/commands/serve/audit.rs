//! One line for each answer and each refusal. No secret is ever part of it.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::commands::output::time;
use crate::error::{Error, Result, cause};
use crate::files;
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
                .map_err(|why| why.hint("name a file of yours, in a folder that is there: --audit FILE"))
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

/// How much of each part of a line a client may fill, in bytes as they are written: a line has 1 KiB at most, so that one who
/// names very much does not fill the disk with it.
const MOST_OF_OPERATION: usize = 24;
const MOST_OF_PLACES: usize = 440;
const MOST_OF_PERMISSIONS: usize = 200;
const MOST_OF_OUTCOME: usize = 240;

/// The line for a request, and for what came of it: one, whatever stands in the request.
pub(super) fn line(now: Timestamp, peer: Peer, note: &Note, outcome: &str) -> String {
    let number = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    format!(
        "{} pid={} uid={} operation={} repository={} permissions={} {}\n",
        time(now),
        number(peer.pid.map(|it| it.to_string())),
        number(peer.uid.map(|it| it.to_string())),
        word(&note.operation, MOST_OF_OPERATION),
        word(&note.places, MOST_OF_PLACES),
        word(&note.permissions, MOST_OF_PERMISSIONS),
        start(&escape(outcome), MOST_OF_OUTCOME),
    )
}

/// The value of a field. What could be taken for another field is in quotes.
fn word(text: &str, most: usize) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"=\\".contains(&byte));
    match text {
        "" => "-".to_owned(),
        text if is_plain => start(text, most),
        text => {
            let quoted = escape(&format!("{text:?}"));
            format!("\"{}\"", start(&quoted[1..quoted.len() - 1], most))
        }
    }
}

/// The start of a text, and a sign that there is more.
fn start(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= most).last();
    format!("{}…", &text[..end.unwrap_or(0)])
}
