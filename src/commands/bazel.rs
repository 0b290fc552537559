//! `bazel`: Bazel's credential helper protocol, for archives and single files, which Bazel fetches without git.
//! <https://github.com/EngFlow/credential-helper-spec/blob/main/spec.md>

use std::io::{BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::http::Uri;
use zeroize::Zeroizing;

use super::by_socket;
use super::output::{Output, time};
use crate::config::{Config, Flags, Rule, for_public, select};
use crate::error::{Error, Result, cause};
use crate::names::{Host, Place, Repository, host_of};
use crate::socket;
use crate::source::{Issued, Outcome, TokenSource};
use crate::token::{Need, Token};
use crate::world::World;

/// What Bazel wants.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Bazel gives a helper no arguments of its own: let a script call this, as docs/ecosystem.md shows."
)]
pub(crate) struct Options {
    /// The operation
    operation: Operation,
}

/// The operations of the protocol.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Operation {
    /// Read {"uri": …} and print {"headers": …, "expires": …}
    Get,
}

/// A request. What else is in it is for later versions.
#[derive(Deserialize)]
struct Request {
    uri: String,
}

/// The most that is read of a request, in bytes.
const MAX_REQUEST: u64 = 64 * 1024;

/// What tells Bazel to go on without a credential.
const NOTHING: &[u8] = b"{}\n";

/// The operation's name in a request over a socket.
pub(super) const OPERATION: &str = "bazel";

pub(super) fn bazel(
    options: &Options,
    flags: &Flags,
    world: &World<'_>,
    stdin: &mut dyn BufRead,
    output: &mut Output<'_>,
) -> Result<()> {
    let Operation::Get = options.operation;
    let uri = read(stdin)?;
    let token = match socket::of(world) {
        Some(socket) => by_socket::token_for_bazel(&socket, &uri, world)?,
        None => token(&uri, flags, world)?,
    };
    let Some(token) = token else { return output.write(NOTHING) };
    let secret = &token.secret;
    let header = if uri.host().is_some_and(|host| host.starts_with("raw.")) {
        // Where single files are, the token is a user name, as in https://TOKEN@raw.githubusercontent.com.
        let pair = Zeroizing::new(format!("{}:", secret.expose()));
        Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))))
    } else {
        Zeroizing::new(format!("Bearer {}", *secret.in_json()))
    };
    let expires = time(token.expires_at());
    let answer = Zeroizing::new(format!(
        "{{\"headers\": {{\"Authorization\": [\"{}\"]}}, \"expires\": \"{expires}\"}}\n",
        *header
    ));
    output.write(answer.as_bytes())
}

/// Reads the address in Bazel's request.
fn read(stdin: &mut dyn BufRead) -> Result<Uri> {
    let mut text = Vec::new();
    let read = stdin.take(MAX_REQUEST).read_to_end(&mut text);
    read.map_err(|e| Error::new(format!("cannot read the request: {}", cause(&e))))?;
    let request: Request = serde_json::from_slice(&text).map_err(|_| wrong("JSON with a uri"))?;
    address(&request.uri)
}

/// The address that a text is.
///
/// # Errors
/// If it is none.
pub(super) fn address(text: &str) -> Result<Uri> {
    text.parse().map_err(|_| wrong("one for an address"))
}

fn wrong(what: &str) -> Error {
    Error::new(format!("the request is not {what}"))
        .hint("write {\"uri\": \"https://github.com/OWNER/REPO/archive/main.tar.gz\"}")
}

/// A token for an address. `None`: Bazel goes on without one.
fn token(uri: &Uri, flags: &Flags, world: &World<'_>) -> Result<Option<Token>> {
    let config = Config::load(flags, world)?;
    let Some(place) = place(uri, &config) else {
        world.terminal.trace(|| "declined: nothing is configured for this".to_owned());
        return Ok(None);
    };
    world.terminal.trace(|| format!("bazel: get for {place}"));
    Ok(issue(&place, &config, world)?.map(|issued| issued.token))
}

/// A token as git would get it. `None`: git would go on without one.
fn issue(place: &Place, config: &Config, world: &World<'_>) -> Result<Option<Issued>> {
    let Some(selected) = select(place.clone(), config)? else {
        let public = |rule| TokenSource::for_git(rule, config, world).for_public(place, Need::Fresh);
        return Ok(for_public(place, config).and_then(public));
    };
    let rule = selected.rule;
    match TokenSource::for_git(rule, config, world).token(&selected.place, Need::Fresh)? {
        Outcome::Issued(issued) => Ok(Some(issued)),
        // It may be everybody's.
        Outcome::NotInstalled(why) if !rule.names_what_it_is_for() => {
            world.terminal.trace(|| format!("declined: {why}"));
            Ok(None)
        }
        Outcome::NotInstalled(why) => Err(why),
    }
}

/// The repository that an address is about, if it is one of a server that a rule is for.
pub(super) fn place(uri: &Uri, config: &Config) -> Option<Place> {
    let host = Host::parse(host_of(uri)).filter(|_| uri.scheme_str() == Some("https"))?;
    config.rules.iter().find_map(|rule| {
        let path = path_of_repository(&host, uri.path(), rule)?;
        let mut parts = path.trim_start_matches('/').split('/');
        let (owner, name) = (parts.next()?, parts.next()?);
        let repository =
            Repository::parse(&format!("{owner}/{}", name.strip_suffix(".git").unwrap_or(name)))?;
        Some(Place::Repository(rule.host.clone(), repository))
    })
}

/// What begins with the repository in the path of an address of a rule's server, its API, or where it has archives and
/// single files.
fn path_of_repository<'p>(host: &Host, path: &'p str, rule: &Rule) -> Option<&'p str> {
    let name = host.to_string();
    if let Some(rest) = rule.api.path_below(&format!("https://{name}{path}")) {
        let at = path.len() - rest.len();
        return path[at..].strip_prefix("/repos/");
    }
    let content = match rule.host.to_string().as_str() {
        "github.com" => ["codeload.github.com".to_owned(), "raw.githubusercontent.com".to_owned()],
        other => [format!("codeload.{other}"), format!("raw.{other}")],
    };
    (*host == rule.host || content.contains(&name)).then_some(path)
}
