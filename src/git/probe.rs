//! The probe: whether git's server accepts a token for a repository, asked as git does.
//!
//! GitHub's API gives out a token a moment before git's servers know it, and git neither retries nor calls `erase` on the
//! 404 that it meets until then.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::Agent;
use zeroize::Zeroizing;

use super::network::{self, HttpSettings};
use crate::error::{Error, Result};
use crate::names::{Host, Repository};
use crate::secret::Secret;
use crate::world::World;

/// How long a fresh token may take to reach git's servers. Seconds were seen; GitHub's support advises to wait for ten.
const PROPAGATION: Duration = Duration::from_secs(10);
/// How long one answer may take, at least.
const SHORTEST_ANSWER: Duration = Duration::from_millis(500);
/// How long is paused between two probes, at first and later.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The most that is read of an answer, in bytes: the connection can be used again if that was all of it. A list of refs
/// can be long.
const MAX_ANSWER: u64 = 16 * 1024;

/// What git asks a server for first. <https://git-scm.com/docs/http-protocol>
#[derive(Clone, Copy)]
pub(crate) enum Service {
    /// Any valid token may fetch what is public.
    Fetch,
    /// Only a token of an installation that covers the repository may push, if it has write access.
    Push,
}

/// git's server on a host.
pub(crate) struct GitServer<'a> {
    agent: Agent,
    host: &'a Host,
    /// What stands beside the token.
    username: &'a str,
    world: &'a World<'a>,
    /// How long it is waited for one answer, or for a token to be accepted.
    patience: Duration,
    /// Whether the next request takes the connection that was opened ahead.
    is_first: Cell<bool>,
}

impl<'a> GitServer<'a> {
    /// The server that git itself would talk to, by git's network settings. A connection to it is opened at once, while
    /// something else is done. Nothing is waited for longer than `deadline`.
    pub(crate) fn new(
        host: &'a Host,
        username: &'a str,
        world: &'a World<'a>,
        deadline: Duration,
    ) -> Result<Self> {
        let address = format!("https://{host}/");
        let way = network::way(&address, &address, &HttpSettings::default(), world)?;
        Ok(Self::reached(way.agent, host, username, world, deadline))
    }

    /// The same, reached by this agent.
    pub(crate) fn reached(
        agent: Agent,
        host: &'a Host,
        username: &'a str,
        world: &'a World<'a>,
        deadline: Duration,
    ) -> Self {
        Self { agent, host, username, world, patience: PROPAGATION.min(deadline), is_first: Cell::new(true) }
    }

    /// Whether the server accepts a token for this. `false` also if there is no answer.
    pub(crate) fn accepts(&self, token: &Secret, service: Service, repository: &Repository) -> bool {
        self.ask(service, repository, token, self.patience).is_ok_and(|status| status == 200)
    }

    /// Probes until the server accepts a token. Gives what to warn about if it does not accept it in time.
    pub(crate) fn wait_until_accepted(&self, repository: &Repository, token: &Secret) -> Option<Error> {
        let began = Instant::now();
        let deadline = self.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = deadline.saturating_sub(began.elapsed()).max(SHORTEST_ANSWER);
            let status = match self.probe(repository, token, left) {
                Ok(status) if status >= 400 => status,
                // If there is no answer, git will meet the same and say so.
                _ => return None,
            };
            if began.elapsed() + pause >= deadline {
                let host = self.host;
                let what = format!(
                    "{host} still returns {status} to the fresh token for {repository}; git gets it all the same"
                );
                let hint = "if git fails, check the installation's permissions and the IP allow list";
                return Some(Error::new(what).hint(hint));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The status that the server returns to what git asks first when it fetches. An error: there is no answer within
    /// `timeout`.
    pub(crate) fn probe(&self, repository: &Repository, token: &Secret, timeout: Duration) -> Result<u16> {
        self.ask(Service::Fetch, repository, token, timeout)
    }

    fn ask(
        &self,
        service: Service,
        repository: &Repository,
        token: &Secret,
        timeout: Duration,
    ) -> Result<u16> {
        let service = match service {
            Service::Fetch => "git-upload-pack",
            Service::Push => "git-receive-pack",
        };
        let url = format!("https://{}/{repository}.git/info/refs?service={service}", self.host);
        let pair = Zeroizing::new(format!("{}:{}", self.username, token.expose()));
        let basic = Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
        let send = || {
            let request = self
                .agent
                .get(&url)
                .header("Authorization", basic.as_str())
                // The answer to a fetch with protocol version 2 is tiny: it lists no refs.
                .header("Git-Protocol", "version=2");
            request.config().timeout_global(Some(timeout)).build().call()
        };
        let mut answer = send();
        // The server may have closed a connection on which nothing came for a while, and may have said so before. (RFC 9110, 408)
        let was_given_up = match &answer {
            Ok(answer) => answer.status() == 408,
            Err(e) => matches!(e, ureq::Error::Io(_)),
        };
        if self.is_first.replace(false) && was_given_up {
            answer = send();
        }
        let status = answer.map_err(|e| Error::new(e.to_string())).map(|mut answer| {
            // Only what was read to its end leaves a connection for the next request.
            let _ = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
            answer.status().as_u16()
        });
        self.world.terminal.trace(|| {
            let result = status.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            format!("probe: GET {url}: {result}")
        });
        status
    }
}
