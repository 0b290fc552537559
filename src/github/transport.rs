//! HTTP requests to an API: retries, deadlines, and what a connection can fail of. It knows no App.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use jiff::fmt::rfc2822::DateTimeParser;
use ureq::Body;
use ureq::http::{HeaderMap, Method, Request};
use zeroize::Zeroizing;

use super::failures::{Failure, rate_limit, rate_limited, server_error};
use crate::error::{Error, cause};
use crate::git::network::Way;
use crate::names::ApiUrl;
use crate::time::Timestamp;
use crate::world::World;

/// How long one answer may take, at most and at least.
const LONGEST_ANSWER: Duration = Duration::from_secs(12);
const SHORTEST_ANSWER: Duration = Duration::from_millis(500);
/// How long is paused before a request is tried again, at first and later.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How long is tried where a cached token could be used instead.
const BRIEFLY: Duration = Duration::from_secs(3);
/// The most that is read of an answer, in bytes. A page of 100 installations has some 250 KB.
const MAX_ANSWER: u64 = 1024 * 1024;

/// One API, and how it is reached.
pub(super) struct Transport<'a> {
    way: Way,
    api: &'a ApiUrl,
    /// Who asks, for messages.
    client: &'a str,
    world: &'a World<'a>,
    headers: &'static [(&'static str, &'static str)],
    /// How long the API may take in all, and how long it took so far.
    deadline: Cell<Duration>,
    spent: Cell<Duration>,
    /// How many seconds the API's clock is ahead of the local one, as the latest answer says.
    clock_offset: Cell<Option<i64>>,
}

/// A request: sent once or several times, until there is an answer to it.
#[derive(Clone, Copy)]
pub(super) struct ApiRequest<'r> {
    pub(super) method: &'r Method,
    pub(super) url: &'r str,
    pub(super) body: Option<&'r [u8]>,
    /// The value of the header of that name.
    pub(super) authorization: &'r str,
}

/// An answer, read to its end.
pub(super) struct Reply {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// How many seconds the API's clock is ahead of the local one, if the answer says what time it is, and if it is certain
    /// that the API says so.
    pub(super) clock_offset: Option<i64>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Why a request has no answer.
enum Unanswered {
    /// It may have one later.
    Passing(Error),
    /// It will not.
    Lasting(Error),
}

impl<'a> Transport<'a> {
    /// How to reach an API, who asks, what every request says, and how long the API may take in all.
    pub(super) fn new(
        way: Way,
        api: &'a ApiUrl,
        client: &'a str,
        world: &'a World<'a>,
        headers: &'static [(&'static str, &'static str)],
        deadline: Duration,
    ) -> Self {
        Self {
            way,
            api,
            client,
            world,
            headers,
            deadline: Cell::new(deadline),
            spent: Cell::new(Duration::ZERO),
            clock_offset: Cell::new(None),
        }
    }

    /// Does not try for long from now on: there is something to fall back on.
    pub(super) fn be_brief(&self) {
        self.deadline.set(self.deadline.get().min(self.spent.get() + BRIEFLY));
    }

    /// How many seconds the API's clock is ahead of the local one, if it has answered with its time.
    pub(super) fn clock_offset(&self) -> Option<i64> {
        self.clock_offset.get()
    }

    /// Sends a request, and sends it again while there is time and another try may help.
    pub(super) fn send(&self, request: ApiRequest<'_>) -> Result<Reply, Failure> {
        let began = Instant::now();
        let reply = self.send_until_deadline(request, began);
        self.spent.set(self.spent.get() + began.elapsed());
        reply
    }

    fn send_until_deadline(&self, request: ApiRequest<'_>, began: Instant) -> Result<Reply, Failure> {
        let left = || self.deadline.get().saturating_sub(self.spent.get() + began.elapsed());
        let mut pause = FIRST_PAUSE;
        loop {
            let (failure, wait) = match self.send_once(request, left()) {
                Ok(reply) => match self.reason_to_wait(&reply) {
                    None => return Ok(reply),
                    Some(reason) => reason,
                },
                Err(Unanswered::Lasting(error)) => return Err(Failure::Refused(error)),
                Err(Unanswered::Passing(error)) => (Failure::Unreachable(error), None),
            };
            let wait = wait.unwrap_or_else(|| pause.mul_f64(jitter()));
            if wait >= left() {
                return Err(failure);
            }
            thread::sleep(wait);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Why a later try may have another answer, and how long the API wants to be left alone if it says so.
    fn reason_to_wait(&self, reply: &Reply) -> Option<(Failure, Option<Duration>)> {
        let now = self.world.clock.now();
        if let Some(wait) = rate_limit(reply, now, reply.clock_offset.unwrap_or(0)) {
            let until = now.plus(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
            return Some((rate_limited(self.api, self.client, until, now), Some(wait)));
        }
        matches!(reply.status, 500 | 502 | 503 | 504).then(|| (server_error(self.api, reply.status), None))
    }

    fn send_once(&self, request: ApiRequest<'_>, left: Duration) -> Result<Reply, Unanswered> {
        let began = Instant::now();
        let reply = self.exchange(request, left);
        self.world.terminal.trace(|| {
            let result = match &reply {
                Ok(reply) => reply.status.to_string(),
                Err(Unanswered::Passing(why) | Unanswered::Lasting(why)) => why.to_string(),
            };
            let ApiRequest { method, url, .. } = request;
            format!("request: {method} {url}: {result} after {} ms", began.elapsed().as_millis())
        });
        reply
    }

    fn exchange(&self, request: ApiRequest<'_>, left: Duration) -> Result<Reply, Unanswered> {
        let ApiRequest { method, url, body, authorization } = request;
        let agent = &self.way.agent;
        let mut request = Request::builder().method(method).uri(url).header("Authorization", authorization);
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        // Half of what is left, so that an answer that never comes leaves time for another try.
        let timeout = (left / 2).clamp(SHORTEST_ANSWER, LONGEST_ANSWER);
        let unusable = |_| Unanswered::Lasting(Error::new(format!("{url} is not a usable address")));
        let answer = match body {
            Some(body) => {
                let request =
                    request.header("Content-Type", "application/json").body(body).map_err(unusable)?;
                agent.run(agent.configure_request(request).timeout_global(Some(timeout)).build())
            }
            None => {
                let request = request.body(()).map_err(unusable)?;
                agent.run(agent.configure_request(request).timeout_global(Some(timeout)).build())
            }
        };
        let mut response = answer.map_err(|e| self.explain(e))?;
        let content = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let body = Zeroizing::new(content.map_err(|e| self.explain(e))?);
        let (parts, _): (_, Body) = response.into_parts();
        let mut reply =
            Reply { status: parts.status.as_u16(), headers: parts.headers, body, clock_offset: None };
        let date = reply.header("date").filter(|_| self.way.verified);
        reply.clock_offset = date
            .and_then(|text| DateTimeParser::new().parse_timestamp(text).ok())
            .map(|date| Timestamp(date.as_second()).since(self.world.clock.now()));
        self.clock_offset.set(reply.clock_offset.or(self.clock_offset.get()));
        Ok(reply)
    }

    /// Why there is no answer. Nothing of the request is in the message.
    fn explain(&self, error: ureq::Error) -> Unanswered {
        const CHECK_NETWORK: &str = "check the network, and http.proxy or HTTPS_PROXY if there is a proxy";
        let host = self.api.host();
        let passing = |what: String| Unanswered::Passing(Error::new(what).hint(CHECK_NETWORK));
        match error {
            ureq::Error::Timeout(_) => passing(format!("{host} did not answer in time")),
            ureq::Error::HostNotFound => passing(format!("the name {host} cannot be resolved")),
            ureq::Error::Rustls(e) => self.distrusted(&e),
            ureq::Error::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(e) => self.distrusted(e),
                None => passing(format!("cannot talk to {host}: {}", cause(&e))),
            },
            ureq::Error::ConnectProxyFailed(why) => Unanswered::Passing(
                Error::new(format!("the proxy does not connect to {host}: {why}"))
                    .hint("check http.proxy or HTTPS_PROXY"),
            ),
            ureq::Error::BodyExceedsLimit(limit) => Unanswered::Lasting(
                Error::new(format!("{host} sent an answer of more than {limit} bytes"))
                    .hint("check host and api-url in the configuration, and whether a proxy answers instead"),
            ),
            other => Unanswered::Lasting(Error::new(format!("cannot talk to {host}: {other}"))),
        }
    }

    fn distrusted(&self, error: &rustls::Error) -> Unanswered {
        let host = self.api.host();
        Unanswered::Lasting(match error {
            rustls::Error::InvalidCertificate(why) => {
                Error::new(format!("the certificate of {host} is not trusted: {why}"))
                    .hint("name its CA: git config --global http.sslCAInfo FILE, or set SSL_CERT_FILE")
            }
            other => Error::new(format!("no secure connection to {host}: {other}")),
        })
    }
}

/// Between a half and one and a half, so that processes that failed together do not come back together.
fn jitter() -> f64 {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut byte = [128];
    // Without random numbers the pause is simply not varied.
    let _ = SystemRandom::new().fill(&mut byte);
    0.5 + f64::from(byte[0]) / 256.0
}
