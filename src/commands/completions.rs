//! `completions`: a shell learns the commands and flags.

use clap_complete::Shell;

use super::output::Output;
use crate::error::Result;

/// For which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(
    options: &Options,
    mut definition: clap::Command,
    output: &mut Output<'_>,
) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut definition, "git-credential-ghapp", &mut script);
    output.write(&script)
}
