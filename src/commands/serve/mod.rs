//! `serve`: tokens over a Unix socket, for those who must not have the key. The socket lives as long as a command, like
//! `ssh-agent CMD`.
//!
//! Each connection has a thread of its own, and in it everything that one call of this program has: a request is answered as
//! a call answers it, with a [`policy::Policy`] before it.

mod answer;
mod asked;
mod audit;
mod connections;
mod endpoint;
mod limit;
mod policy;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueHint;

use super::beside::{End, Signals};
use super::exec;
use super::output::Output;
use crate::config::{Config, Flags};
use crate::error::Result;
use crate::names::Place;
use crate::socket::{self, ANSWERED, Message};
use crate::source::Narrowing;
use crate::time::{Timestamp, no_thread, start};
use crate::world::World;

use answer::Outside;
use asked::{Asked, asked};
use audit::{Audit, Note, Peer};
use endpoint::Endpoint;
use policy::Policy;

/// What is served, and where.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --permissions the tokens may do no more than that, for example --permissions contents=read."
)]
pub(crate) struct Options {
    /// The socket, in a folder of this user's; it is made, and removed at the end
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    socket: PathBuf,
    /// Tokens are for this OWNER/REPO, or for all of this OWNER; may be repeated. Default: what the rules name
    #[arg(long, value_name = "NAME")]
    allow: Vec<String>,
    /// Who may use the socket: 0600 is this user, 0666 is every user who can reach it
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = mode)]
    mode: u32,
    /// Add a line for each answer and each refusal to this file; default: stderr
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    audit: Option<PathBuf>,
    /// The command and its arguments: the socket is there until it ends, and GHAPP_SOCKET names it
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Permissions of a socket.
fn mode(text: &str) -> std::result::Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode & !0o066 == 0o600 => Ok(mode),
        _ => Err("write it like 0600, 0660 or 0666".to_owned()),
    }
}

/// How often is looked whether the end has come.
const LOOK: Duration = Duration::from_secs(60);

pub(super) fn serve(
    options: &Options,
    flags: &mut Flags,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<u8> {
    // As a setting it would change a rule, and there may be several.
    let permissions = flags.take("permissions");
    let policy = Policy::new(&options.allow, &permissions, &Config::load(flags, world)?)?;
    let audit = Audit::open(options.audit.as_deref())?;
    let signals = Signals::catch(world)?;
    let (endpoint, listener) = Endpoint::make(&options.socket, options.mode)?;
    let outside = Arc::new(Outside::new(world, flags.clone(), policy, audit));
    start(move || connections::accept(&listener, &outside)).map_err(|e| no_thread("serve", &e))?;
    let here = [(socket::VARIABLE, endpoint.path().as_os_str())];
    let command = match exec::start_beside(&options.command, &here, world) {
        Ok(command) => command,
        Err(code) => return Ok(code),
    };
    if command.is_none() {
        output.line(&format!("{}={}", socket::VARIABLE, endpoint.path().display()))?;
    }
    let watch = signals.watch(command);
    loop {
        match watch.end_within(LOOK) {
            Some(End::Command(code)) => return Ok(code),
            Some(End::Signal) => return Ok(0),
            None => {}
        }
    }
}

/// What is noted of a request, and what a token for it would be for and narrowed to, if it is allowed. GitHub is not asked.
///
/// # Errors
/// If the policy is not valid.
pub(crate) fn heard(
    request: &Message,
    allow: &[String],
    permissions: &[String],
    config: &Config,
) -> Result<(String, Option<(Place, Narrowing)>)> {
    let policy = Policy::new(allow, permissions, config)?;
    let mut note = Note { operation: request.word().to_owned(), ..Note::default() };
    let asked = asked(request, &policy, config, &mut note);
    let (allowed, answer) = match asked {
        Ok(Asked::Token(allowed)) => {
            (Some((allowed.selected.place, allowed.narrowing)), Ok(Message::new(ANSWERED)))
        }
        Ok(Asked::NoToken(answer)) => (None, Ok(answer)),
        Err(why) => (None, Err(why)),
    };
    Ok((audit::line(Timestamp(0), Peer::default(), &note, &answer::outcome(&answer)), allowed))
}
