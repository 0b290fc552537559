//! HTTP requests to an API: retries and deadlines. It knows no App.

mod unanswered;

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::fmt::rfc2822::DateTimeParser;
use ureq::http::{HeaderMap, Method, Request};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use super::failures::{Failure, RateLimit, limited_by_another, rate_limit, rate_limited, server_error};
use super::reply::Reply;
use crate::error::Error;
use crate::git::network::Way;
use crate::names::ApiUrl;
use crate::time::{Timestamp, jittered};
use crate::vendor::Vendor;
use crate::world::{UNTIL_TOLD, World};

use unanswered::Unanswered;

/// How long one answer may take, at most and at least.
const LONGEST_ANSWER: Duration = Duration::from_secs(12);
const SHORTEST_ANSWER: Duration = Duration::from_millis(500);
/// How long is paused before a request is tried again, at first and later.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How long is tried where a cached token could be used instead.
const BRIEFLY: Duration = Duration::from_secs(3);
/// The most that is read of an answer, in bytes. A page of 100 installations has some 250 KB.
pub(super) const MAX_ANSWER: u64 = 1024 * 1024;
/// The same for an answer that describes up to 500 repositories, in some 6 KB each.
pub(super) const MAX_LONG_ANSWER: u64 = 8 * 1024 * 1024;

/// One API, and how it is reached.
pub(super) struct Transport<'a> {
    way: Way,
    api: &'a ApiUrl,
    /// Who asks, for messages.
    client: &'a str,
    world: &'a World<'a>,
    vendor: &'a Vendor,
    /// How long the API may take in all, and how long it took so far.
    deadline: Cell<Duration>,
    spent: Cell<Duration>,
    /// How many seconds the API's clock is ahead of the local one, as the latest answer says.
    clock_offset: Cell<Option<i64>>,
}

/// A list that is being read. Until it is dropped every page has a time of its own.
pub(super) struct List<'t, 'a> {
    transport: &'t Transport<'a>,
    began: Instant,
    in_all: Duration,
    spent_before: Duration,
}

impl List<'_, '_> {
    /// Gives the next page the time that one request may take, or what is left for the whole list if that is less.
    pub(super) fn begin_page(&self) -> Result<(), Failure> {
        let deadline = self.transport.deadline.get();
        let left = self.in_all.saturating_sub(self.began.elapsed()).min(deadline);
        if left.is_zero() {
            let host = self.transport.api.host();
            let what = format!("{host} did not finish a list within {} s", self.in_all.as_secs());
            return Err(Failure::Unreachable(Error::new(what).hint("try again later")));
        }
        self.transport.spent.set(deadline.saturating_sub(left));
        Ok(())
    }
}

impl Drop for List<'_, '_> {
    fn drop(&mut self) {
        // A list that is given more than one request leaves the time for all others as it was.
        let is_patient = self.in_all > self.transport.deadline.get();
        let spent = if is_patient { Duration::ZERO } else { self.began.elapsed() };
        self.transport.spent.set(self.spent_before + spent);
    }
}

/// A request: sent once or several times, until there is an answer to it.
#[derive(Clone, Copy)]
pub(super) struct ApiRequest<'r> {
    pub(super) method: &'r Method,
    pub(super) url: &'r str,
    pub(super) body: Option<&'r [u8]>,
    /// The value of the header of that name.
    pub(super) authorization: Option<&'r str>,
    /// A part of the address that must not be shown: what the request has instead of that header.
    pub(super) code: Option<&'r str>,
    /// The most that is read of the answer, in bytes.
    pub(super) limit: u64,
}

impl ApiRequest<'_> {
    /// What must not be shown of it.
    fn secret(&self) -> &str {
        let of_header = |value| str::split_once(value, ' ').map_or(value, |(_, secret)| secret);
        self.authorization.map(of_header).or(self.code).unwrap_or_default()
    }

    /// The address without it.
    fn shown_url(&self) -> Cow<'_, str> {
        self.code.map_or(Cow::Borrowed(self.url), |code| Cow::Owned(self.url.replace(code, "{code}")))
    }
}

impl<'a> Transport<'a> {
    /// How to reach an API, who asks, what every request says, and how long the API may take in all.
    pub(super) fn new(
        way: Way,
        api: &'a ApiUrl,
        client: &'a str,
        world: &'a World<'a>,
        vendor: &'a Vendor,
        deadline: Duration,
    ) -> Self {
        Self {
            way,
            api,
            client,
            world,
            vendor,
            deadline: Cell::new(deadline),
            spent: Cell::new(Duration::ZERO),
            clock_offset: Cell::new(None),
        }
    }

    /// Does not try for long from now on: there is something to fall back on.
    pub(super) fn be_brief(&self) {
        self.deadline.set(self.deadline.get().min(self.spent.get() + BRIEFLY));
    }

    /// Begins a list of which every page may take as long as one request, and all of it as long as is given.
    pub(super) fn begin_list(&self, in_all: Duration) -> List<'_, 'a> {
        let spent_before = self.spent.get();
        List { transport: self, began: Instant::now(), in_all, spent_before }
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
            let wait = wait.unwrap_or_else(|| jittered(pause));
            if wait >= left() {
                return Err(failure);
            }
            self.world.tell_waiting(began.elapsed() + wait, || {
                format!("{}, trying again for {} s more", failure.message(), left().as_secs())
            });
            thread::sleep(wait);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Why a later try may have another answer, and how long the API wants to be left alone if it says so.
    fn reason_to_wait(&self, reply: &Reply) -> Option<(Failure, Option<Duration>)> {
        let now = self.world.clock.now();
        if let Some(RateLimit { wait, is_of_api }) = rate_limit(reply, now, reply.clock_offset.unwrap_or(0)) {
            let until = now.plus(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
            let failure = match is_of_api {
                true => rate_limited(self.api, self.client, until, now),
                false => limited_by_another(self.api, reply),
            };
            return Some((failure, Some(wait)));
        }
        // 408: the connection was there too long before the request, which may be sent again over another one. (RFC 9110)
        matches!(reply.status, 408 | 500 | 502 | 503 | 504)
            .then(|| (server_error(self.api, reply.status), None))
    }

    fn send_once(&self, request: ApiRequest<'_>, left: Duration) -> Result<Reply, Unanswered> {
        let began = Instant::now();
        let reply = self.exchange(request, left);
        self.world.terminal.trace(|| {
            let result = match &reply {
                Ok(reply) => reply.status.to_string(),
                Err(Unanswered::Passing(why) | Unanswered::Lasting(why)) => why.to_string(),
            };
            let (method, url) = (request.method, request.shown_url());
            format!("request: {method} {url}: {result} after {} ms", began.elapsed().as_millis())
        });
        reply
    }

    fn exchange(&self, request: ApiRequest<'_>, left: Duration) -> Result<Reply, Unanswered> {
        // Half of what is left, so that an answer that never comes leaves time for another try.
        let timeout = (left / 2).clamp(SHORTEST_ANSWER, LONGEST_ANSWER);
        let answered = if self.world.is_watched() && timeout > UNTIL_TOLD {
            self.perform_and_tell(request, timeout, left)
        } else {
            perform(&self.way.agent, &self.vendor.headers, request, timeout)
        };
        let (status, headers, body) = answered.map_err(|e| self.explain(e, request))?;
        let is_github = self.vendor.is_github;
        let mut reply = Reply::new(status, headers, body, is_github, request.secret());
        let date = reply.header("date").filter(|_| self.way.verified);
        reply.clock_offset = date
            .and_then(|text| DateTimeParser::new().parse_timestamp(text).ok())
            .map(|date| Timestamp(date.as_second()).since(self.world.clock.now()));
        self.clock_offset.set(reply.clock_offset.or(self.clock_offset.get()));
        Ok(reply)
    }

    /// Tells the person at the terminal what is waited for when the answer takes its time.
    fn perform_and_tell(
        &self,
        request: ApiRequest<'_>,
        timeout: Duration,
        left: Duration,
    ) -> Result<Answered, ureq::Error> {
        let (agent, headers) = (&self.way.agent, &*self.vendor.headers);
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            let started = thread::Builder::new().spawn_scoped(scope, move || {
                // Who receives is there until the answer is.
                let _ = sender.send(perform(agent, headers, request, timeout));
            });
            if started.is_err() {
                // Then nothing is told.
                return perform(agent, headers, request, timeout);
            }
            let answered = receiver.recv_timeout(UNTIL_TOLD).or_else(|_| {
                self.world.tell_waiting(UNTIL_TOLD, || {
                    let left = left.saturating_sub(UNTIL_TOLD).as_secs();
                    format!("{} has not answered yet, waiting for {left} s more", self.api.host())
                });
                receiver.recv()
            });
            answered.unwrap_or(Err(ureq::Error::ConnectionFailed))
        })
    }
}

/// What came back, read to its end.
type Answered = (u16, HeaderMap, Zeroizing<Vec<u8>>);

/// Sends a request once.
fn perform(
    agent: &Agent,
    headers: &[(Cow<'static, str>, Cow<'static, str>)],
    request: ApiRequest<'_>,
    timeout: Duration,
) -> Result<Answered, ureq::Error> {
    let ApiRequest { method, url, body, authorization, limit, .. } = request;
    let mut request = Request::builder().method(method).uri(url);
    if let Some(authorization) = authorization {
        request = request.header("Authorization", authorization);
    }
    for (name, value) in headers {
        request = request.header(&**name, &**value);
    }
    let mut response = match body {
        Some(body) => {
            let request = request.header("Content-Type", "application/json").body(body)?;
            agent.run(agent.configure_request(request).timeout_global(Some(timeout)).build())?
        }
        None => {
            let request = request.body(())?;
            agent.run(agent.configure_request(request).timeout_global(Some(timeout)).build())?
        }
    };
    let content = Zeroizing::new(response.body_mut().with_config().limit(limit).read_to_vec()?);
    let (parts, _): (_, Body) = response.into_parts();
    Ok((parts.status.as_u16(), parts.headers, content))
}
