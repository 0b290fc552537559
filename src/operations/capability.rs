//! `capability`: what this helper understands beyond the basic protocol.

use std::io::Write;

use crate::error::{Error, Result, cause};

/// Announces what helps to heal a refusal within the same git command. (git-credential(1), CAPABILITY
/// INPUT/OUTPUT FORMAT)
///
/// # Errors
/// If the output cannot be written.
pub fn capability(mut output: impl Write) -> Result<()> {
    output
        .write_all(b"version 0\ncapability authtype\ncapability state\n")
        .and_then(|()| output.flush())
        .map_err(|e| Error::new(format!("cannot write the answer: {}", cause(&e))))
}
