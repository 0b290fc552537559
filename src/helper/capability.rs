//! `capability`: what this helper understands beyond the basic protocol. (git-credential(1), CAPABILITY INPUT/OUTPUT FORMAT)

use std::io::Write;

use super::protocol::write_whole;
use crate::error::Result;

/// Announces what helps to heal a refusal within the same git command.
pub(super) fn capability(output: impl Write) -> Result<()> {
    write_whole(output, "version 0\ncapability authtype\ncapability state\n")
}
