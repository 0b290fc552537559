//! `serve`, where there are no Unix sockets.

use std::ffi::OsString;

use super::output::Output;
use crate::config::Flags;
use crate::error::{Error, Result};
use crate::world::World;

/// Whatever it is, it is not done.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What it would be elsewhere
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _all: Vec<OsString>,
}

pub(super) fn serve(_: &Options, _: &mut Flags, _: &World<'_>, _: &mut Output<'_>) -> Result<u8> {
    Err(Error::new("serve needs Unix sockets, which this system does not have")
        .hint("run it in WSL, or give a sandbox a token: git-credential-ghapp token --help"))
}
