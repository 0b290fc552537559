//! `token`: the token that git would get, for everything that is not git.

mod format;
mod given;
mod keep;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueHint;
use zeroize::Zeroizing;

use super::output::{Output, time};
use super::{by_socket, installations, narrow, number, place};
use crate::app::jwt;
use crate::config::{Config, Flags, Selected};
use crate::error::{Error, Result};
use crate::names::Place;
use crate::socket;
use crate::source::{Issued, Narrowing, Outcome, TokenSource};
use crate::token::{Granted, Need, Token};
use crate::world::World;

use format::{Format, Text};
pub(super) use given::{Given, token_of};

/// The operation's name in a request over a socket.
pub(super) const OPERATION: &str = "token";

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// OWNER/REPO, OWNER, or a URL; default: the current repository's remote, or the only installation
    #[arg(index = 1)]
    name: Option<String>,
    /// Print JSON: the token, when it expires, its installation, permissions and repositories
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// How the token is written
    #[arg(long, value_enum, default_value_t, hide_default_value = true, conflicts_with = "app")]
    format: Format,
    /// Write it to this file instead, which only this user may read
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "app")]
    output: Option<PathBuf>,
    /// Renew the token in the file before it expires, until CMD or this process ends; then remove the file
    #[arg(long, requires = "output")]
    keep_fresh: bool,
    /// Mint a new token even if one is cached
    #[arg(long, conflicts_with = "app")]
    fresh: bool,
    #[command(flatten)]
    narrow: narrow::Narrow,
    /// Print the App's own JWT instead, for endpoints that need it, such as GET /app
    #[arg(long, conflicts_with = "permission")]
    app: bool,
    /// How long the JWT is valid, at most 600
    #[arg(long, value_name = "SECONDS", requires = "app", default_value_t = jwt::LIFETIME)]
    #[arg(allow_negative_numbers = true, value_parser = number::within::<i64>(1..=jwt::LONGEST))]
    expires_in: i64,
    /// With --keep-fresh: the command and its arguments
    #[arg(index = 2, last = true, value_name = "CMD", requires = "keep_fresh")]
    command: Vec<OsString>,
}

pub(super) fn token(
    options: &Options,
    repositories: &[String],
    flags: &Flags,
    world: &mut World<'_>,
    output: &mut Output<'_>,
) -> Result<u8> {
    if options.app && !repositories.is_empty() {
        return Err(
            Error::new("the App's JWT cannot be narrowed to a repository").hint("leave out --repository")
        );
    }
    if socket::of(world).is_some() {
        // Whoever has the socket can neither act as the App nor let it mint as often as one likes.
        for (is_set, flag) in [(options.app, "token --app"), (options.fresh, "token --fresh")] {
            if is_set {
                return Err(by_socket::not_here(flag));
            }
        }
    }
    if let Some(path) = options.output.as_ref().filter(|_| options.keep_fresh) {
        return keep::keep_fresh(options, repositories, path, flags, world);
    }
    let config = config(flags, world)?;
    if options.app {
        return app_jwt(options, &config, world, output).map(|()| 0);
    }
    let need = if options.fresh { Need::New } else { Need::Fresh };
    let (token, text) = issue_as(options, repositories, need, &config, world)?;
    match &options.output {
        Some(path) => drop(text.write(path, &token, b"")?),
        None => output.write(&text.bytes(&token))?,
    }
    Ok(0)
}

/// The configuration. Where a socket is asked none is read.
fn config(flags: &Flags, world: &World<'_>) -> Result<Config> {
    if socket::of(world).is_some() { Ok(Config::default()) } else { Config::load(flags, world) }
}

/// A token for what the options name, and the text for it in the format that they name.
fn issue_as(
    options: &Options,
    repositories: &[String],
    need: Need<'_>,
    config: &Config,
    world: &World<'_>,
) -> Result<(Token, Text)> {
    let name = options.name.as_deref();
    let given = match socket::of(world) {
        Some(socket) => {
            let (narrow, min_fresh) = (Some(&options.narrow), config.cache.min_fresh);
            let request = by_socket::TokenRequest { name, repositories, narrow, min_fresh, identity: false };
            by_socket::require(&socket, &request, world)?.given
        }
        None => {
            let (selected, narrowing) =
                narrow::selected(name, repositories, &options.narrow, "token", config, world)?;
            let (issued, granted) = issue(&selected, &narrowing, need, "token", config, world)?;
            Given::new(issued, granted, selected.rule)
        }
    };
    let format = if options.json { Format::Json } else { options.format };
    let text = format.text(&given)?;
    Ok((given.token, text))
}

/// A token for a place, and what it was granted. `usage` is what stands before a name on the command line, should one be
/// missing.
pub(super) fn issue(
    selected: &Selected<'_>,
    narrowing: &Narrowing,
    need: Need<'_>,
    usage: &str,
    config: &Config,
    world: &World<'_>,
) -> Result<(Issued, Granted)> {
    let Selected { rule, place } = selected;
    world.terminal.trace(|| format!("rule for {place}: {} ({})", rule.client(), rule.origin));
    let source = TokenSource::new(rule, config, world).narrowed(narrowing.clone());
    let outcome = source.token(place, need).map_err(|why| match place {
        Place::Host(host) => place::which(usage, host, config, world).unwrap_or(why),
        _ => why,
    });
    match outcome? {
        Outcome::Issued(issued) => {
            if place.repository().is_none() && issued.token.is_new(world.clock) {
                // The token often goes to git next.
                source.probe_any_repository(&issued.token)?;
            }
            let granted = source.granted(&issued);
            Ok((issued, granted))
        }
        Outcome::NotInstalled(error) => Err(error),
    }
}

fn app_jwt(options: &Options, config: &Config, world: &World<'_>, output: &mut Output<'_>) -> Result<()> {
    installations::needs_app(config)?;
    let selected = place::selected(options.name.as_deref(), "token", config, world)?;
    let source = TokenSource::new(selected.rule, config, world);
    let now = world.clock.now().plus(source.clock_offset());
    let jwt = source.app().jwt(now, options.expires_in)?;
    let expires_at = time(now.plus(options.expires_in));
    let app = source.app().id();
    // A JWT is of letters, digits, dots, dashes and underscores.
    let text = Zeroizing::new(if options.json {
        format!(
            "{{\n  \"token\": \"{}\",\n  \"expires_at\": \"{expires_at}\",\n  \"app\": \"{app}\"\n}}\n",
            jwt.expose()
        )
    } else {
        format!("{}\n", jwt.expose())
    });
    output.write(text.as_bytes())
}
