//! The page on this machine, from its address to GitHub's answer.

use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::browser::{self, Browser};
use super::listener::{Client, Listener};
use super::manifest::Manifest;
use super::{Options, page};
use crate::commands::output::Output;
use crate::error::{Error, Result};
use crate::secret::{Secret, hex};
use crate::world::World;

/// How long is waited for GitHub's answer: a registration takes an hour at most.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How often is looked meanwhile whether the browser was started.
const LOOK: Duration = Duration::from_millis(500);
/// Where GitHub leads the browser to.
const ANSWER: &str = "/made";
/// The longest code that is taken, in characters.
const LONGEST_CODE: usize = 200;

/// The page on this machine, and the browser that it is for.
pub(super) struct Dialogue<'d> {
    listener: Listener,
    manifest: Manifest<'d>,
    /// A part of the page's address, so that nobody finds it who was not told.
    page: Secret,
    /// What GitHub sends back with the code, so that nobody else can bring one. (RFC 6749, section 10.12)
    state: Secret,
}

impl<'d> Dialogue<'d> {
    /// A page for a manifest, on a port or on one that is free.
    pub(super) fn new(manifest: Manifest<'d>, port: Option<u16>) -> Result<Self> {
        Ok(Self { listener: Listener::bind(port)?, manifest, page: random(16)?, state: random(32)? })
    }

    /// Shows the page to a person, and waits for GitHub's answer. Gives the code for the App's key, and the browser that
    /// brought it.
    pub(super) fn hold(
        &self,
        options: &Options,
        world: &World<'_>,
        output: &mut Output<'_>,
    ) -> Result<(Secret, Client)> {
        output.line(&format!("this makes {}", self.manifest.in_words()))?;
        let mut browser = self.begin(options, world, output)?;
        let minutes = PATIENCE.as_secs() / 60;
        output.line(&format!("waiting for GitHub's answer, {minutes} minutes at most; Ctrl-C ends it"))?;
        self.answer(Instant::now() + PATIENCE, browser.as_mut(), world)
    }

    /// Opens the page in a browser, or says where it is.
    fn begin(
        &self,
        options: &Options,
        world: &World<'_>,
        output: &mut Output<'_>,
    ) -> Result<Option<Browser>> {
        let port = self.listener.port();
        let address = format!("http://127.0.0.1:{port}/{}", self.page.expose());
        let mut browser = None;
        if options.no_browser || !browser::is_there(world) {
            output.line("if your browser is on another machine, run this there first, and leave it open:")?;
            output.line(&format!("  ssh -L {port}:127.0.0.1:{port} THIS-MACHINE"))?;
        } else {
            match Browser::open(&address, world) {
                Ok(opened) => browser = Some(opened),
                Err(why) => world.terminal.warning(&why),
            }
        }
        let how =
            if browser.is_some() { "this page opens in your browser" } else { "open this page in a browser" };
        output.line(&format!("{how}: {address}"))?;
        Ok(browser)
    }

    /// Shows the page to who knows its address, until GitHub's answer comes. Gives the code, and the browser that brought it.
    fn answer(
        &self,
        until: Instant,
        mut browser: Option<&mut Browser>,
        world: &World<'_>,
    ) -> Result<(Secret, Client)> {
        loop {
            if let Some(trouble) = browser.as_mut().and_then(|browser| browser.trouble()) {
                world.terminal.warning(&trouble);
            }
            let Some((asked, client)) = self.listener.next(until.min(Instant::now() + LOOK)) else {
                if Instant::now() >= until {
                    let minutes = PATIENCE.as_secs() / 60;
                    return Err(Error::new(format!("GitHub's answer did not come within {minutes} minutes"))
                        .hint("run git-credential-ghapp register again"));
                }
                continue;
            };
            let (path, query) = asked.split_once('?').unwrap_or((&asked, ""));
            if path == ANSWER {
                match code(query, &self.state) {
                    Ok(code) => return Ok((code, client)),
                    Err((status, why)) => {
                        world.terminal.warning(&why);
                        page::trouble(client, status, &why);
                    }
                }
            } else if self.page.matches(&Secret::new(path.trim_matches('/').to_owned())) {
                let redirect = format!("http://127.0.0.1:{}{ANSWER}", self.listener.port());
                page::ask(client, &self.manifest, &redirect, &self.state);
            } else {
                page::trouble(client, 404, &Error::new("there is no such page"));
            }
        }
    }
}

/// The code in GitHub's answer; or the status of the refusal, and why: somebody else may send a browser here.
pub(super) fn code(query: &str, expected: &Secret) -> Result<Secret, (u16, Error)> {
    let hint = "go on in the page that this run opened";
    if !only("state", query).is_some_and(|state| expected.matches(&state)) {
        let what = "an answer came that does not belong to this registration, and is not used";
        return Err((403, Error::new(what).hint(hint)));
    }
    let is_code = |code: &Secret| {
        let text = code.expose();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        !text.is_empty() && text.len() <= LONGEST_CODE && text.bytes().all(plain)
    };
    only("code", query).filter(is_code).ok_or_else(|| {
        let what = "GitHub's answer has no code for the App's key, and is not used";
        (400, Error::new(what).hint(hint))
    })
}

/// The value of what must stand in a query once, as it is written there: what is meant has nothing to be encoded.
fn only(name: &str, query: &str) -> Option<Secret> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then(|| Secret::new(value.to_owned()))
}

/// So many random bytes, in hex.
fn random(length: usize) -> Result<Secret> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::new("there are no random numbers"))?;
    Ok(Secret::new(hex(&bytes)))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::names::Host;
    use crate::terminal::Terminal;
    use crate::time::Clock;
    use crate::token::Permissions;
    use crate::world::{Folders, Streams, Variables};

    #[test]
    fn who_is_not_answered_in_time_is_told_so() {
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH);
        let world = World {
            variables: Variables(&|_| None),
            variable_names: &Vec::new,
            folders: Folders::default(),
            clock,
            start_clock: std::sync::Arc::new(move || clock),
            terminal: Terminal::new(std::io::sink()),
            streams: &Streams::default,
            before_exec: &|| (),
        };
        let (host, permissions) = (Host::github(), Permissions::default());
        let manifest = Manifest { host: &host, organization: None, name: None, permissions, public: false };
        let dialogue = Dialogue::new(manifest, None).unwrap();
        let late = dialogue.answer(Instant::now(), None, &world).err().unwrap();
        assert_eq!(late.message(), "GitHub's answer did not come within 60 minutes");
    }
}
