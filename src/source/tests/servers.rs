//! GitHub's API and git's server, in memory: what comes out of the client's connection is answered as the wire has it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::fmt::rfc2822::DateTimePrinter;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::super::servers::Network;
use crate::git::network::Way;

/// A token as GitHub knows it.
#[derive(Clone, Debug)]
pub(super) struct Minted {
    pub(super) text: String,
    /// The process that it was minted for.
    pub(super) client: u64,
    pub(super) app: String,
    pub(super) owner: String,
    pub(super) installation: u64,
    /// The name of the one repository that it is for.
    pub(super) repository: Option<String>,
    pub(super) at: i64,
    pub(super) expires_at: i64,
    pub(super) revoked: bool,
    /// Whether the answer said the truth about time.
    pub(super) told_truly: bool,
}

/// What goes wrong at GitHub.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    /// Until when nothing answers, or everything answers 502.
    pub(super) api_down_until: i64,
    pub(super) is_502: bool,
    /// How many requests are refused for a rate limit, and what is said of its end.
    pub(super) limited: u32,
    pub(super) limit: RateLimit,
    /// Of how many answers the date is wrong, and by how much.
    pub(super) wrong_dates: u32,
    pub(super) date_ahead: i64,
    /// Of how many tokens it is said that they expire so many seconds later or earlier than they do.
    pub(super) wrong_expiries: u32,
    pub(super) expiry_ahead: i64,
    /// Until when git's server refuses every token, or does not answer.
    pub(super) probe_refuses_until: i64,
    pub(super) git_down_until: i64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum RateLimit {
    #[default]
    NoTime,
    RetryAfter(i64),
    ResetIn(i64),
    /// Not the API's: a proxy's.
    Html(i64),
}

/// GitHub.
pub(super) struct Servers {
    /// What time it is, in truth.
    pub(super) now: Cell<i64>,
    pub(super) faults: RefCell<Faults>,
    pub(super) tokens: RefCell<Vec<Minted>>,
    /// The installations: App and owner, and the number of each.
    pub(super) installed: RefCell<BTreeMap<(&'static str, &'static str), u64>>,
    pub(super) next_installation: Cell<u64>,
    /// The repositories that exist, and whether an installation covers each.
    pub(super) covered: RefCell<BTreeMap<&'static str, bool>>,
    /// How long tokens live, in seconds.
    pub(super) lifetime: Cell<i64>,
    /// The process that asks.
    pub(super) client: Cell<u64>,
    /// How often a rate limit was told.
    pub(super) limits_told: Cell<u32>,
    /// Called before and after a request changes anything.
    pub(super) around: RefCell<Option<Rc<dyn Fn()>>>,
}

type Reply = (u16, Vec<(&'static str, String)>, String);

thread_local! {
    static SERVERS: RefCell<Option<Rc<Servers>>> = const { RefCell::new(None) };
}

/// Lets this thread talk to these servers.
pub(super) fn connect(servers: &Rc<Servers>) {
    SERVERS.set(Some(Rc::clone(servers)));
}

/// How they are reached.
pub(super) const NETWORK: &Network = &|_, _, _, _| Ok(Way { agent: agent(), verified: true, proxy: None });

fn agent() -> Agent {
    let config = Agent::config_builder()
        .https_only(true)
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .build();
    Agent::with_parts(config, InMemory, InMemory)
}

impl Servers {
    fn answer(&self, head: &str, body: &str) -> io::Result<Reply> {
        let around = || {
            let around = self.around.borrow().clone();
            if let Some(around) = around {
                around();
            }
        };
        around();
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(": ")?;
                found.eq_ignore_ascii_case(name).then(|| value.to_owned())
            })
        };
        let line = head.lines().next().unwrap_or_default();
        let (method, path) = line.split_once(' ').unwrap_or_default();
        let path = path.split(' ').next().unwrap_or_default();
        let authorization = header("authorization").unwrap_or_default();
        let is_api = header("host").is_some_and(|host| host == "api.github.com");
        let reply = if is_api {
            self.api(method, path, &authorization, body)
        } else {
            self.git(path, &authorization)
        };
        around();
        reply
    }

    fn api(&self, method: &str, path: &str, authorization: &str, body: &str) -> io::Result<Reply> {
        let now = self.now.get();
        let mut faults = self.faults.borrow_mut();
        if now < faults.api_down_until {
            if faults.is_502 {
                return Ok((502, Vec::new(), "<html>".to_owned()));
            }
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let mut ahead = 0;
        if faults.wrong_dates > 0 {
            faults.wrong_dates -= 1;
            ahead = faults.date_ahead;
        }
        let date = jiff::Timestamp::from_second(now + ahead).unwrap();
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
        let mut headers = vec![("Date", date)];
        if faults.limited > 0 {
            faults.limited -= 1;
            self.limits_told.set(self.limits_told.get() + 1);
            let mut body = "{\"message\": \"You have exceeded a secondary rate limit\"}";
            match faults.limit {
                RateLimit::NoTime => {}
                RateLimit::RetryAfter(seconds) => headers.push(("Retry-After", seconds.to_string())),
                RateLimit::ResetIn(seconds) => {
                    headers.push(("X-RateLimit-Remaining", "0".to_owned()));
                    headers.push(("X-RateLimit-Reset", now.saturating_add(seconds).to_string()));
                }
                RateLimit::Html(seconds) => {
                    headers.push(("Retry-After", seconds.to_string()));
                    body = "<html>blocked</html>";
                }
            }
            return Ok((403, headers, body.to_owned()));
        }
        drop(faults);
        let (status, body) = self.answer_of_api(method, path, authorization, body, ahead == 0);
        Ok((status, headers, body))
    }

    fn answer_of_api(
        &self,
        method: &str,
        path: &str,
        authorization: &str,
        body: &str,
        is_true: bool,
    ) -> (u16, String) {
        const NOT_FOUND: (u16, &str) = (404, "{\"message\": \"Not Found\"}");
        let owned = |(status, text): (u16, &str)| (status, text.to_owned());
        let now = self.now.get();
        let jwt = authorization.trim_start_matches("Bearer ");
        let claims = jwt.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let Some(claims) = claims.and_then(|it| serde_json::from_slice::<serde_json::Value>(&it).ok()) else {
            return owned((401, "{\"message\": \"Bad credentials\"}"));
        };
        let number = |name: &str| claims[name].as_i64().unwrap();
        if number("iat") > now {
            return owned((
                401,
                "{\"message\": \"'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued\"}",
            ));
        }
        if number("exp") <= now {
            return owned((
                401,
                "{\"message\": \"'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires\"}",
            ));
        }
        if number("exp") > now + 600 {
            return owned((
                401,
                "{\"message\": \"'Expiration time' claim ('exp') is too far in the future\"}",
            ));
        }
        let app = claims["iss"].as_str().unwrap();
        let installed = self.installed.borrow();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["app"]) => (
                200,
                format!(
                    "{{\"id\": 7, \"slug\": \"{app}\", \"html_url\": \"https://github.com/apps/{app}\"}}"
                ),
            ),
            ("GET", ["repos", owner, name, "installation"]) => {
                let is_covered = self.covers(&format!("{owner}/{name}"));
                let found = installed.iter().find(|((of, on), _)| of == &app && on == owner);
                match found.filter(|_| is_covered) {
                    Some(((_, on), id)) => (200, installation(on, *id)),
                    None => owned(NOT_FOUND),
                }
            }
            ("GET", ["users", owner, "installation"]) => {
                match installed.iter().find(|((of, on), _)| of == &app && on == owner) {
                    Some(((_, on), id)) => (200, installation(on, *id)),
                    None => owned(NOT_FOUND),
                }
            }
            ("GET", ["app", "installations", id]) => {
                match installed.iter().find(|((of, _), it)| of == &app && it.to_string() == *id) {
                    Some(((_, on), id)) => (200, installation(on, *id)),
                    None => owned(NOT_FOUND),
                }
            }
            ("POST", ["app", "installations", id, "access_tokens"]) => {
                match installed.iter().find(|((of, _), it)| of == &app && it.to_string() == *id) {
                    Some(((_, on), id)) => self.mint(app, on, *id, body, is_true),
                    None => owned(NOT_FOUND),
                }
            }
            _ => panic!("{method} {path} is not simulated"),
        }
    }

    fn mint(&self, app: &str, owner: &str, installation: u64, body: &str, is_true: bool) -> (u16, String) {
        let request: serde_json::Value = serde_json::from_str(body).unwrap();
        let repository = request["repositories"][0].as_str().map(str::to_owned);
        if let Some(name) = &repository
            && !self.covers(&format!("{owner}/{name}"))
        {
            return (422, "{\"message\": \"There is at least one repository that does not exist or is not accessible to the parent installation.\"}".to_owned());
        }
        let now = self.now.get();
        let mut faults = self.faults.borrow_mut();
        let mut expiry_ahead = 0;
        if faults.wrong_expiries > 0 {
            faults.wrong_expiries -= 1;
            expiry_ahead = faults.expiry_ahead;
        }
        let mut tokens = self.tokens.borrow_mut();
        let text = format!("ghs_{:04}", tokens.len());
        let expires_at = now + self.lifetime.get();
        let shown = jiff::Timestamp::from_second(expires_at + expiry_ahead).unwrap();
        let selection = if owner == "acme" { "all" } else { "selected" };
        let answer = format!(
            "{{\"token\": \"{text}\", \"expires_at\": \"{shown}\", \"permissions\": {{\"contents\": \"write\"}}, \
             \"repository_selection\": \"{selection}\"}}"
        );
        tokens.push(Minted {
            text,
            client: self.client.get(),
            app: app.to_owned(),
            owner: owner.to_owned(),
            installation,
            repository,
            at: now,
            expires_at,
            revoked: false,
            told_truly: is_true && expiry_ahead == 0,
        });
        (201, answer)
    }

    fn git(&self, path: &str, authorization: &str) -> io::Result<Reply> {
        let (now, faults) = (self.now.get(), *self.faults.borrow());
        if now < faults.git_down_until {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let pair = STANDARD.decode(authorization.trim_start_matches("Basic ")).unwrap_or_default();
        let pair = String::from_utf8(pair).unwrap_or_default();
        let token = pair.split_once(':').map_or("", |(_, token)| token);
        let repository = path.trim_start_matches('/').split(".git/").next().unwrap_or_default();
        let status = match () {
            () if now < faults.probe_refuses_until => 404,
            () if !self.is_valid(token) => 401,
            () if self.works(token, repository) => 200,
            () => 404,
        };
        Ok((status, Vec::new(), String::new()))
    }

    /// Whether a token is one of GitHub's at this moment.
    pub(super) fn is_valid(&self, token: &str) -> bool {
        let tokens = self.tokens.borrow();
        tokens.iter().any(|it| it.text == token && !it.revoked && it.expires_at > self.now.get())
    }

    /// Whether git may use a token for a repository, or for an owner.
    pub(super) fn works(&self, token: &str, place: &str) -> bool {
        let tokens = self.tokens.borrow();
        let (owner, name) = place.split_once('/').unwrap_or((place, ""));
        self.is_valid(token)
            && tokens.iter().any(|it| {
                it.text == token
                    && it.owner == owner
                    && (name.is_empty() || self.covers(place))
                    && it.repository.as_ref().is_none_or(|only| only == name)
            })
    }

    pub(super) fn covers(&self, repository: &str) -> bool {
        self.covered.borrow().get(repository).copied().unwrap_or(false)
    }

    pub(super) fn is_installed(&self, app: &'static str, owner: &'static str) -> bool {
        self.installed.borrow().contains_key(&(app, owner))
    }

    pub(super) fn install(&self, app: &'static str, owner: &'static str) {
        let number = self.next_installation.get();
        self.next_installation.set(number + 1);
        self.installed.borrow_mut().entry((app, owner)).or_insert(number);
    }

    pub(super) fn uninstall(&self, app: &'static str, owner: &'static str) {
        if let Some(number) = self.installed.borrow_mut().remove(&(app, owner)) {
            self.revoke(|token| token.installation == number);
        }
    }

    pub(super) fn revoke(&self, which: impl Fn(&Minted) -> bool) {
        self.tokens.borrow_mut().iter_mut().filter(|token| which(token)).for_each(|it| it.revoked = true);
    }
}

fn installation(owner: &str, id: u64) -> String {
    let selection = if owner == "acme" { "all" } else { "selected" };
    format!(
        "{{\"id\": {id}, \"account\": {{\"login\": \"{owner}\", \"type\": \"Organization\"}}, \
         \"repository_selection\": \"{selection}\", \"permissions\": {{\"contents\": \"write\"}}}}"
    )
}

/// Connections that are answered in this thread.
#[derive(Debug)]
struct InMemory;

impl Resolver for InMemory {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        addresses.push(([127, 0, 0, 1], 443).into());
        Ok(addresses)
    }
}

impl Connector for InMemory {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Connection>, ureq::Error> {
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Connection { buffers, sent: Vec::new(), answer: Vec::new() }))
    }
}

struct Connection {
    buffers: LazyBuffers,
    sent: Vec<u8>,
    answer: Vec<u8>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        self.sent.extend_from_slice(&self.buffers.output()[..amount]);
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        if self.answer.is_empty() {
            let sent = String::from_utf8(std::mem::take(&mut self.sent)).unwrap();
            let (head, body) = sent.split_once("\r\n\r\n").unwrap();
            let servers = SERVERS.with_borrow(|servers| servers.clone()).unwrap();
            let (status, headers, body) = servers.answer(head, body)?;
            let kind = if body.starts_with('<') { "text/html" } else { "application/json" };
            let mut answer = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n");
            for (name, value) in headers {
                answer += &format!("{name}: {value}\r\n");
            }
            answer += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
            self.answer = answer.into_bytes();
        }
        let room = self.buffers.input_append_buf();
        let length = room.len().min(self.answer.len());
        room[..length].copy_from_slice(&self.answer[..length]);
        self.answer.drain(..length);
        self.buffers.input_appended(length);
        Ok(length > 0)
    }

    fn is_open(&mut self) -> bool {
        true
    }

    fn is_tls(&self) -> bool {
        true
    }
}
