//! The probe: whether git's server accepts a token for a repository, asked as git does.
//!
//! GitHub's API gives out a token a moment before git's servers know it, and git neither retries nor calls `erase` on the
//! 404 that it meets until then.

use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::Agent;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::names::{Host, Repository};
use crate::secret::Secret;
use crate::token::USERNAME;
use crate::world::World;

/// How long a fresh token may take to reach git's servers. Seconds were seen; GitHub's support advises to wait for ten.
const PROPAGATION: Duration = Duration::from_secs(10);
/// How long one answer may take, at least.
const SHORTEST_ANSWER: Duration = Duration::from_millis(500);
/// How long is paused between two probes, at first and later.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// git's server on a host.
pub(crate) struct GitServer<'a> {
    agent: Agent,
    host: &'a Host,
    world: &'a World<'a>,
}

impl<'a> GitServer<'a> {
    /// The server that git itself would talk to, by git's network settings.
    pub(crate) fn new(host: &'a Host, world: &'a World<'a>) -> Result<Self> {
        let address = format!("https://{host}/");
        let agent = super::network::way(&address, &address, world)?.agent;
        Ok(Self { agent, host, world })
    }

    /// Probes until the server accepts a token, for at most `deadline`. Gives what to warn about if it does not accept it
    /// in time.
    pub(crate) fn wait_until_accepted(
        &self,
        repository: &Repository,
        token: &Secret,
        deadline: Duration,
    ) -> Option<Error> {
        let began = Instant::now();
        let deadline = PROPAGATION.min(deadline);
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
                    "git gets the fresh token although {host} still returns {status} to it for {repository}"
                );
                let hint = "if git fails, check the installation's permissions and the IP allow list";
                return Some(Error::new(what).hint(hint));
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The status that the server returns to what git asks first. An error: there is no answer within `timeout`.
    pub(crate) fn probe(&self, repository: &Repository, token: &Secret, timeout: Duration) -> Result<u16> {
        let url = format!("https://{}/{repository}.git/info/refs?service=git-upload-pack", self.host);
        let pair = Zeroizing::new(format!("{USERNAME}:{}", token.expose()));
        let basic = Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
        let request = self
            .agent
            .get(&url)
            .header("Authorization", basic.as_str())
            // The answer to protocol version 2 is tiny: it lists no refs.
            .header("Git-Protocol", "version=2");
        let answer = request.config().timeout_global(Some(timeout)).build().call();
        let status = answer.map(|answer| answer.status().as_u16()).map_err(|e| Error::new(e.to_string()));
        self.world.terminal.trace(|| {
            let result = status.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            format!("probe: GET {url}: {result}")
        });
        status
    }
}
