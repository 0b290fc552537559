//! `capability`: what this helper understands beyond the basic protocol.

use std::io::Write;

use crate::error::Result;
use crate::protocol::hand_out;

/// Announces what helps to heal a refusal within the same git command. (git-credential(1), CAPABILITY
/// INPUT/OUTPUT FORMAT)
///
/// # Errors
/// If the output cannot be written.
pub fn capability(output: impl Write) -> Result<()> {
    hand_out(output, "version 0\ncapability authtype\ncapability state\n")
}
