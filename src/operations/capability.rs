//! `capability`: what this helper understands beyond the basic protocol.

use std::io::Write;

use crate::error::{Error, Result, cause};

/// Announces the version of the protocol. No capability is used yet.
///
/// # Errors
/// If the output cannot be written.
pub fn capability(mut output: impl Write) -> Result<()> {
    output
        .write_all(b"version 0\n")
        .and_then(|()| output.flush())
        .map_err(|e| Error::new(format!("cannot write the answer: {}", cause(&e))))
}
