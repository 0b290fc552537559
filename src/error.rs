//! What goes wrong, in words for a person.
//!
//! A message is one line: no capital at its start, no full stop, the cause named. A hint is the next step:
//! where possible a command or an address. Neither holds a secret.

use std::fmt;

use crate::clock::Timestamp;

/// A failure that ends the operation.
#[derive(Debug)]
pub struct Error {
    message: String,
    hint: Option<String>,
}

/// The result of what can fail, with an [`Error`] unless another type is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure, described in one line.
    #[cold]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// The same failure with the next step for the person who reads it.
    #[must_use]
    #[cold]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The line that names the cause.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The next step, if one is known.
    #[must_use]
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// A failure on the way to GitHub, sorted by what the caller can do next.
#[derive(Debug)]
pub enum Failure {
    /// GitHub did not answer: what is cached may still help.
    Unreachable(Error),
    /// GitHub said to come back later, at this time by the local clock: nobody else need ask before that.
    Limited(Error, Timestamp),
    /// GitHub refused, or there is nothing to ask with: asking again does not help.
    Refused(Error),
    /// There is no such installation any more: what is remembered about it is wrong.
    Gone(Error),
}

impl Failure {
    /// What to tell a person.
    #[must_use]
    pub fn into_error(self) -> Error {
        match self {
            Self::Unreachable(error) | Self::Limited(error, _) | Self::Refused(error) | Self::Gone(error) => {
                error
            }
        }
    }
}

impl From<Error> for Failure {
    /// A failure on this side: of the configuration, of the key.
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// What the operating system says of a failure, in the voice of this program: no capital, no error number.
#[must_use]
pub fn cause(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
