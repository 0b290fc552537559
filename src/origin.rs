//! Where a setting stands, so that a message about it can say so.

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Where a setting stands.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// In a configuration file.
    File {
        /// The file, which all of its settings share.
        file: Rc<SourceFile>,
        /// Where in its text, in bytes. The line is counted only for a message.
        offset: usize,
    },
    /// In an environment variable.
    Variable(&'static str),
    /// In a flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, offset } => {
                write!(f, "{}, line {}", file.path.display(), file.line_and_column(*offset).0)
            }
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A configuration file as it was read.
pub(crate) struct SourceFile {
    path: PathBuf,
    text: String,
}

impl SourceFile {
    pub(crate) fn new(path: PathBuf, text: String) -> Self {
        Self { path, text }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The line and the column, in characters, of an offset in bytes. Both begin with 1.
    pub(crate) fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (line, column)
    }
}

impl fmt::Debug for SourceFile {
    /// The path alone: a file with a mistake may hold a secret in the wrong place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.path, f)
    }
}
