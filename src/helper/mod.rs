//! What git calls. (gitcredentials(7), section CUSTOM HELPERS)

pub(crate) mod by_socket;
mod capability;
pub(crate) mod feedback;
pub(crate) mod get;
pub(crate) mod protocol;

use std::io::{BufRead, Write};

use crate::config::{Config, Flags};
use crate::error::Result;
use crate::socket;
use crate::world::World;

use protocol::Request;

/// The operations of git's credential protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// git wants a credential.
    Get,
    /// A credential was accepted.
    Store,
    /// A credential was refused.
    Erase,
    /// git asks what this helper understands beyond the basic protocol.
    Capability,
}

impl Operation {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "get" => Self::Get,
            "store" => Self::Store,
            "erase" => Self::Erase,
            "capability" => Self::Capability,
            _ => return None,
        })
    }
}

/// Does what git asks for.
pub(crate) fn run(
    operation: Operation,
    flags: &Flags,
    world: &World<'_>,
    stdin: impl BufRead,
    stdout: impl Write,
) -> Result<()> {
    if operation == Operation::Capability {
        return capability::capability(stdout);
    }
    let request = Request::read(stdin)?;
    world.terminal.trace(|| {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let (protocol, host, path) = (shown(&request.protocol), shown(&request.host), shown(&request.path));
        let refused = operation == Operation::Get && request.refused.is_some();
        let again = if refused { ", the last token was refused" } else { "" };
        let operation = format!("{operation:?}").to_lowercase();
        format!("{operation}: protocol {protocol}, host {host}, path {path}{again}")
    });
    if let Some(socket) = socket::of(world) {
        return by_socket::run(operation, &request, &socket, world, stdout);
    }
    flags.check_config_file(&world.variables)?;
    let config = Config::load(flags, world)?;
    match operation {
        Operation::Get => return get::get(&request, &config, world, stdout),
        Operation::Store => feedback::store(&request, &config, world),
        Operation::Erase => feedback::erase(&request, &config, world),
        Operation::Capability => {}
    }
    Ok(())
}
