//! What goes wrong, in words for a person.
//!
//! A message is one line: no capital at its start, no full stop, the cause named. A hint is the next step:
//! where possible a command or an address. Neither holds a secret.

use std::fmt;

/// A failure that ends the operation.
#[derive(Clone, Debug)]
pub(crate) struct Error {
    message: String,
    /// How long the message is without the words of another program at its end, in bytes.
    own_words: usize,
    hint: Option<String>,
    /// Whether nobody reads what is written any more, which is no news to anybody.
    pipe_is_closed: bool,
}

/// The result of what can fail, with an [`Error`] unless another type is named.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure, described in one line.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { own_words: message.len(), message, hint: None, pipe_is_closed: false }
    }

    /// That a result cannot be written.
    pub(crate) fn of_output(error: &std::io::Error) -> Self {
        let what = Self::new(format!("cannot write to standard output: {}", cause(error)));
        Self { pipe_is_closed: error.kind() == std::io::ErrorKind::BrokenPipe, ..what }
    }

    /// Whether it is that nobody reads the results any more, as below `| head -1`.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        self.pipe_is_closed
    }

    /// The same failure with the next step for the person who reads it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with the next step of the failure that it comes from, if that has one.
    pub(crate) fn hint_of(self, source: &Self) -> Self {
        Self { hint: source.hint.clone().or(self.hint), ..self }
    }

    /// The same failure with what another program says of it, if it says anything.
    pub(crate) fn quoting(mut self, words: &str) -> Self {
        if !words.is_empty() {
            self.message = format!("{}: {words}", self.message);
        }
        self
    }

    /// The line without the words of another program: anything may be in those.
    pub(crate) fn own_words(&self) -> &str {
        self.message.get(..self.own_words).unwrap_or_default()
    }

    /// The line that names the cause.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The next step, if one is known.
    pub(crate) fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// What the operating system, or a library, says of a failure, in the voice of this program: no capital, no full stop, no error
/// number.
pub(crate) fn cause(error: &dyn fmt::Display) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().trim_end_matches('.');
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
