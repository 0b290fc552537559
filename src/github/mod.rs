//! GitHub's REST API, asked as an App: find an installation (`installations`), mint a token (`tokens`). Here is what all
//! requests have in common: the JWT, a key that is replaced, a clock that is wrong, and lists that come in pages.

pub(crate) mod answers;
pub(crate) mod failures;
mod installations;
pub(crate) mod manifest;
mod reply;
mod tokens;
mod transport;

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::http::Method;
use zeroize::Zeroizing;

use crate::app::App;
use crate::app::jwt::{self, AppJwt};
use crate::error::Error;
use crate::git::network::Way;
use crate::names::ApiUrl;
use crate::secret::Secret;
use crate::time::{Timestamp, describe_offset, offset_matters};
use crate::vendor::{Vendor, path};
use crate::world::World;

use answers::{AppInfo, Installation, User};
pub(crate) use failures::{Failure, rate_limited};
use failures::{
    endless, is_about_times_of_jwt, is_unknown_key, malformed, refusal, token_refusal, unknown_key,
};
pub(crate) use installations::Lookup;
use reply::Reply;
pub(crate) use tokens::revoke;
use transport::{ApiRequest, MAX_ANSWER, Transport};

/// The most by which a clock is corrected, in seconds. Who is further off is told to set it.
const MAX_CORRECTION: i64 = 24 * 3600;
/// How many entries a page of a list has.
const PER_PAGE: usize = 100;
/// The most of a list that is read: so many pages, and so many bytes.
const MAX_PAGES: usize = 500;
const MAX_LIST: usize = 64 << 20;
/// How many times longer than one request a whole list may take, where a person waits for it.
const PATIENT: u32 = 10;

/// One API, asked as one App.
pub(crate) struct GitHub<'a> {
    transport: Transport<'a>,
    api: &'a ApiUrl,
    vendor: &'a Vendor,
    app: Rc<App<'a>>,
    world: &'a World<'a>,
    deadline: Duration,
    /// How many seconds GitHub's clock is ahead of the local one, as far as it is known to matter.
    clock_offset: Cell<i64>,
    /// Whether that was corrected since this process began.
    corrected: Cell<bool>,
    /// Whether GitHub accepted a JWT since then, and so the time for which that was signed.
    accepted: Cell<bool>,
    /// Whether a wrong clock is told as a warning; who asks may tell it in another way.
    warns_of_clock: Cell<bool>,
    /// The JWT, and when it was signed, by the local clock.
    jwt: RefCell<Option<(AppJwt, Timestamp)>>,
}

/// What a request is authenticated with.
#[derive(Clone, Copy)]
enum Credential<'c> {
    /// The App's JWT.
    App,
    /// An installation access token.
    Token(&'c Secret),
}

impl<'a> GitHub<'a> {
    /// An API, of which kind it is, whom to ask it as, how long it may take in all, and by how many seconds its clock is known to be ahead.
    pub(crate) fn new(
        way: Way,
        api: &'a ApiUrl,
        vendor: &'a Vendor,
        app: Rc<App<'a>>,
        world: &'a World<'a>,
        deadline: Duration,
        clock_offset: i64,
    ) -> Self {
        let transport = Transport::new(way, api, app.id(), world, vendor, deadline);
        let clock_offset = Cell::new(if can_be_corrected(clock_offset) { clock_offset } else { 0 });
        let (corrected, accepted) = (Cell::new(false), Cell::new(false));
        Self {
            transport,
            api,
            vendor,
            app,
            world,
            deadline,
            clock_offset,
            corrected,
            accepted,
            warns_of_clock: Cell::new(true),
            jwt: RefCell::new(None),
        }
    }

    /// Does not try for long from now on: there is something to fall back on.
    pub(crate) fn be_brief(&self) {
        self.transport.be_brief();
    }

    /// Leaves it to the caller to tell a person that this clock is wrong, from [`Self::measured_clock_offset`].
    pub(crate) fn leave_clock_to_caller(&self) {
        self.warns_of_clock.set(false);
    }

    /// By how many seconds the API's clock is ahead, as far as that matters.
    pub(crate) fn clock_offset(&self) -> i64 {
        self.clock_offset.get()
    }

    /// By how many seconds the API's clock is ahead, if it has answered with its time.
    pub(crate) fn measured_clock_offset(&self) -> Option<i64> {
        self.transport.clock_offset().map(|measured| self.believed(measured))
    }

    /// What an answer says about the clock, unless an accepted JWT says otherwise: that one was valid, so GitHub's clock
    /// cannot be further from the time for which it was signed than a JWT may live.
    fn believed(&self, measured: i64) -> i64 {
        let proven = self.clock_offset.get();
        let contradicts =
            self.accepted.get() && measured.saturating_sub(proven).saturating_abs() > jwt::LONGEST;
        if contradicts { proven } else { measured }
    }

    /// The App itself. `None`: of another vendor's API it is not described where that is, so only that the App is known there
    /// is found out.
    pub(crate) fn app(&self) -> Result<Option<AppInfo>, Failure> {
        if !self.vendor.is_github {
            let first = |_: Vec<Installation>| ControlFlow::Break(());
            return self
                .pages(&self.vendor.installations, 1, self.deadline, Credential::App, first)
                .map(|()| None);
        }
        let reply = self.get(&self.api.endpoint(&self.vendor.app), Credential::App)?;
        if reply.status == 200 {
            self.parse(&reply).map(Some)
        } else {
            Err(self.refusal(&reply, Credential::App))
        }
    }

    /// Whether the key is one of the App's, which GitHub knows until somebody deletes it on the settings page.
    pub(crate) fn accepts_key(&self) -> Result<bool, Failure> {
        let path = if self.vendor.is_github { &self.vendor.app } else { &self.vendor.installations };
        let reply = self.get(&self.api.endpoint(path), Credential::App)?;
        match reply.status {
            200 => Ok(true),
            _ if is_unknown_key(&reply) => Ok(false),
            _ => Err(self.refusal(&reply, Credential::App)),
        }
    }

    /// The number of the user that the App's commits belong to.
    pub(crate) fn bot(&self, slug: &str, token: &Secret) -> Result<u64, Failure> {
        let url = self.api.endpoint(&path(&self.vendor.bot, &[("slug", slug)]));
        let reply = self.get(&url, Credential::Token(token))?;
        if reply.status == 200 {
            Ok(self.parse::<User>(&reply)?.id)
        } else {
            Err(self.refusal(&reply, Credential::Token(token)))
        }
    }

    /// A list that comes in pages, until `each` breaks it off. Every page may take as long as one request may, and the
    /// whole list as long as is given.
    fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        per_page: usize,
        in_all: Duration,
        credential: Credential<'_>,
        mut each: impl FnMut(T) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let mut size = 0;
        let list = self.transport.begin_list(in_all);
        for page in 1..=MAX_PAGES {
            list.begin_page()?;
            let url = self.api.endpoint(&format!("{path}?per_page={per_page}&page={page}"));
            let reply = self.get(&url, credential)?;
            if reply.status != 200 {
                return Err(self.refusal(&reply, credential));
            }
            size += reply.body.len();
            if size > MAX_LIST {
                return Err(endless(self.api, &format!("{} MiB", MAX_LIST >> 20), path));
            }
            let more = reply.header("link").is_some_and(|link| link.contains("rel=\"next\""));
            if each(self.parse(&reply)?).is_break() || !more {
                return Ok(());
            }
        }
        Err(endless(self.api, &format!("{MAX_PAGES} pages"), path))
    }

    fn get(&self, url: &str, credential: Credential<'_>) -> Result<Reply, Failure> {
        self.send(&Method::GET, url, None, MAX_ANSWER, credential)
    }

    /// Sends a request. Where GitHub refuses the JWT for its signature, the next private key signs, if there is one. Where it
    /// refuses it for its times, the clock is corrected by GitHub's, once in a process.
    fn send(
        &self,
        method: &Method,
        url: &str,
        body: Option<&[u8]>,
        limit: u64,
        credential: Credential<'_>,
    ) -> Result<Reply, Failure> {
        let send = || {
            let authorization = self.authorization(credential)?;
            let authorization = Some(authorization.as_str());
            self.transport.send(ApiRequest { method, url, body, authorization, code: None, limit })
        };
        let mut reply = send()?;
        if matches!(credential, Credential::Token(_)) {
            return Ok(reply);
        }
        while is_unknown_key(&reply) && self.app.use_next_key() {
            self.jwt.borrow_mut().take();
            reply = send()?;
        }
        if self.correct_clock(&reply) {
            reply = send()?;
        }
        if (200..300).contains(&reply.status) {
            self.accepted.set(true);
        }
        Ok(reply)
    }

    fn authorization(&self, credential: Credential<'_>) -> Result<Zeroizing<String>, Failure> {
        if let Credential::Token(token) = credential {
            return Ok(Zeroizing::new(format!("Bearer {}", token.expose())));
        }
        let now = self.world.clock.now();
        let mut jwt = self.jwt.borrow_mut();
        // A long list takes longer than a JWT lives.
        if jwt.as_ref().is_none_or(|(_, signed_at)| now.since(*signed_at) > jwt::LIFETIME / 2) {
            // A command may succeed another time, and what is cached may help until then.
            let failed =
                |e| if self.app.needs_a_command() { Failure::Unreachable(e) } else { Failure::Refused(e) };
            let signed = self.app.jwt(now.plus(self.clock_offset.get()), jwt::LIFETIME);
            *jwt = Some((signed.map_err(failed)?, now));
        }
        Ok(Zeroizing::new(format!("Bearer {}", jwt.as_ref().map_or("", |(jwt, _)| jwt.expose()))))
    }

    /// Whether GitHub refused the JWT for its times and says what time it is; the next one is signed for that. It is not
    /// believed twice, nor about times that are far away, nor against a JWT that was accepted.
    fn correct_clock(&self, reply: &Reply) -> bool {
        let Some(offset) = reply.clock_offset.filter(|_| is_about_times_of_jwt(reply)) else { return false };
        if self.corrected.get() || self.accepted.get() || !can_be_corrected(offset) {
            return false;
        }
        self.corrected.set(true);
        if offset_matters(offset) {
            let whose = if self.vendor.is_github { "GitHub's" } else { "the server's" };
            let what =
                format!("this clock is {} {whose}, whose time is used instead", describe_offset(offset));
            if self.warns_of_clock.get() {
                self.world.terminal.warning(&Error::new(what).hint("set the clock"));
            }
            self.clock_offset.set(offset);
        } else {
            // It was wrong when that was noted, and is right again.
            self.clock_offset.set(0);
        }
        self.jwt.borrow_mut().take();
        true
    }

    fn parse<T: DeserializeOwned>(&self, reply: &Reply) -> Result<T, Failure> {
        serde_json::from_slice(&reply.body).map_err(|e| malformed(self.api, reply, &e))
    }

    fn refusal(&self, reply: &Reply, credential: Credential<'_>) -> Failure {
        match credential {
            Credential::Token(_) => token_refusal(self.api, reply),
            Credential::App if is_unknown_key(reply) => {
                unknown_key(self.api, self.app.id(), reply, self.app.hint_if_refused())
            }
            Credential::App => refusal(self.api, self.app.id(), reply),
        }
    }
}

/// Whether clocks differ by so few seconds that it is likely.
fn can_be_corrected(clock_offset: i64) -> bool {
    clock_offset.saturating_abs() <= MAX_CORRECTION
}
