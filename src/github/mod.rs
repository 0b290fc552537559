//! GitHub's REST API: find an installation, mint a token. Statuses become meanings here and nowhere else.
//!
//! <https://docs.github.com/rest/apps/apps>

pub mod answers;

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderMap, Method, Request};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use answers::{
    AccessToken, AppInfo, BadToken, Installation, RepositoriesPage, User, complaint, repository_number,
};

use crate::app::{App, AppJwt, jwt};
use crate::cache::Entry;
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Failure, cause};
use crate::names::{
    ApiUrl, Found, Granted, Host, InstallationId, Permissions, Repository, RepositoryRef, Scope,
};
use crate::protocol::USERNAME;
use crate::secret::Secret;
use crate::terminal::Terminal;

/// How long one answer may take, at most and at least.
const ONE_ANSWER: Duration = Duration::from_secs(12);
const SHORTEST_ANSWER: Duration = Duration::from_millis(500);
/// How long is paused before it is tried again, at first and later.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How long is tried where there is a token to fall back on.
const BRIEFLY: Duration = Duration::from_secs(3);
/// How long a fresh token may take to reach git's servers. Seconds were seen; support advises to wait for ten.
const PROPAGATION: Duration = Duration::from_secs(10);
/// The most that is read of an answer, in bytes. A page of 100 installations has some 250 KB.
const MAX_ANSWER: u64 = 1024 * 1024;
/// How often a redirect is followed.
const MAX_REDIRECTS: usize = 3;
/// A clock that is off by less needs no correction: the JWT is backdated by more.
const TOLERATED_OFFSET: i64 = 30;

/// One API, asked as one App.
pub struct GitHub<'a> {
    agent: Agent,
    api: &'a ApiUrl,
    app: &'a App<'a>,
    clock: Clock,
    terminal: &'a Terminal,
    /// How long the API may take in all, and how long it took so far.
    deadline: Cell<Duration>,
    spent: Cell<Duration>,
    /// How many seconds GitHub's clock is ahead of the local one, as far as it is known to matter.
    offset: Cell<i64>,
    /// The same, as the latest answer says.
    measured: Cell<Option<i64>>,
    jwt: RefCell<Option<AppJwt>>,
}

/// What a request is authenticated with.
#[derive(Clone, Copy)]
enum Credential<'c> {
    /// The App's JWT.
    App,
    /// An installation access token.
    Token(&'c Secret),
}

/// A request: sent once or several times, until there is an answer to it.
#[derive(Clone, Copy)]
struct Asked<'r> {
    method: &'r Method,
    url: &'r str,
    body: Option<&'r [u8]>,
    credential: Credential<'r>,
}

#[derive(Serialize)]
struct AccessTokenRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    repositories: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository_ids: Option<[u64; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a Permissions>,
}

/// An answer, read to its end.
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
    /// GitHub's clock minus the local one, if the answer says what time it is.
    offset: Option<i64>,
}

impl<'a> GitHub<'a> {
    /// An API, how to reach it, whom to ask it as, for how long, and by how much its clock is known to be ahead.
    pub fn new(
        agent: Agent,
        api: &'a ApiUrl,
        app: &'a App<'a>,
        clock: Clock,
        terminal: &'a Terminal,
        deadline: Duration,
        clock_offset: i64,
    ) -> Self {
        Self {
            agent,
            api,
            app,
            clock,
            terminal,
            deadline: Cell::new(deadline),
            spent: Cell::new(Duration::ZERO),
            offset: Cell::new(clock_offset),
            measured: Cell::new(None),
            jwt: RefCell::new(None),
        }
    }

    /// Does not try for long from now on: there is something to fall back on.
    pub fn be_brief(&self) {
        self.deadline.set(self.deadline.get().min(self.spent.get() + BRIEFLY));
    }

    /// By how many seconds the API's clock is ahead, as far as that matters.
    #[must_use]
    pub fn clock_offset(&self) -> i64 {
        self.offset.get()
    }

    /// By how many seconds the API's clock is ahead, if it has answered with its time.
    #[must_use]
    pub fn measured_clock_offset(&self) -> Option<i64> {
        self.measured.get()
    }

    /// The installation that covers a repository. `None`: there is none, or there is no such repository.
    ///
    /// # Errors
    /// If GitHub cannot be asked or refuses.
    pub fn installation_of_repository(&self, repository: &Repository) -> Result<Option<Found>, Failure> {
        self.locate(&format!("/repos/{}/{}/installation", repository.owner, repository.name))
    }

    /// The installation on an owner, a user or an organisation.
    ///
    /// # Errors
    /// If GitHub cannot be asked or refuses.
    pub fn installation_of_owner(&self, owner: &str) -> Result<Option<Found>, Failure> {
        self.locate(&format!("/users/{owner}/installation"))
    }

    fn locate(&self, path: &str) -> Result<Option<Found>, Failure> {
        let mut url = self.api.endpoint(path);
        let mut repository_id = None;
        for _ in 0..=MAX_REDIRECTS {
            let reply = self.get(&url, Credential::App)?;
            match reply.status {
                200 => {
                    let installation: Installation = self.parse(&reply)?;
                    return Ok(Some(Found { installation: installation.id, repository_id }));
                }
                301 | 302 | 307 | 308 => {
                    let location = header(&reply.headers, "location").unwrap_or_default();
                    url = self.api.same_origin(location).ok_or_else(|| {
                        Failure::Refused(
                            Error::new(format!(
                                "{} redirects to another origin, which must not see the App's JWT",
                                self.api
                            ))
                            .hint("check host and api-url in the configuration"),
                        )
                    })?;
                    repository_id = repository_number(&url).or(repository_id);
                }
                404 if !is_unknown_app(&reply) => return Ok(None),
                _ => return Err(self.complaint(&reply)),
            }
        }
        Err(Failure::Refused(Error::new(format!("{} redirects in a circle", self.api))))
    }

    /// The only installation that can be used for git on `host`, if the App has just one.
    ///
    /// # Errors
    /// If GitHub cannot be asked or refuses, or if there are several.
    pub fn only_installation(&self, host: &Host) -> Result<Option<Found>, Failure> {
        let mut usable: Vec<Installation> = Vec::new();
        self.installations(|page| {
            usable.extend(page.into_iter().filter(Installation::is_usable));
            if usable.len() > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        match usable.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(Found { installation: one.id, repository_id: None })),
            _ => Err(Failure::Refused(
                Error::new(format!(
                    "git did not say which repository it wants, and App {} has several installations",
                    self.app.issuer()
                ))
                .hint(format!("git config --global credential.https://{host}.useHttpPath true")),
            )),
        }
    }

    /// The App's installations. `each` gets every page as it comes, and may break off.
    ///
    /// # Errors
    /// If GitHub cannot be asked or refuses.
    pub fn installations(
        &self,
        each: impl FnMut(Vec<Installation>) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        self.pages("/app/installations", Credential::App, each)
    }

    /// One of the App's installations; `None` if there is no such one.
    ///
    /// # Errors
    /// If GitHub cannot be asked or refuses.
    pub fn installation(&self, installation: InstallationId) -> Result<Option<Installation>, Failure> {
        let url = self.api.endpoint(&format!("/app/installations/{installation}"));
        let reply = self.get(&url, Credential::App)?;
        match reply.status {
            200 => self.parse(&reply).map(Some),
            404 if !is_unknown_app(&reply) => Ok(None),
            _ => Err(self.complaint(&reply)),
        }
    }

    /// The App itself.
    ///
    /// # Errors
    /// If GitHub cannot be asked or refuses.
    pub fn app(&self) -> Result<AppInfo, Failure> {
        let reply = self.get(&self.api.endpoint("/app"), Credential::App)?;
        if reply.status == 200 { self.parse(&reply) } else { Err(self.complaint(&reply)) }
    }

    /// Mints an installation access token, and tells what it was granted.
    ///
    /// # Errors
    /// [`Failure::Gone`] if there is no such installation any more.
    pub fn mint(&self, installation: InstallationId, scope: &Scope) -> Result<(Entry, Granted), Failure> {
        let request = AccessTokenRequest {
            repositories: match &scope.repository {
                Some(RepositoryRef::Name(name)) => Some([name]),
                _ => None,
            },
            repository_ids: match &scope.repository {
                Some(RepositoryRef::Id(id)) => Some([*id]),
                _ => None,
            },
            permissions: (!scope.permissions.is_empty()).then_some(&scope.permissions),
        };
        let body =
            serde_json::to_vec(&request).map_err(|e| Error::new(format!("cannot write the request: {e}")))?;
        let url = self.api.endpoint(&format!("/app/installations/{installation}/access_tokens"));
        let asked =
            Asked { method: &Method::POST, url: &url, body: Some(&body), credential: Credential::App };
        let reply = self.ask(asked)?;
        if reply.status != 201 {
            return Err(self.mint_complaint(&reply, installation, scope));
        }
        let minted = AccessToken::parse(&reply.body).map_err(|bad| match bad {
            BadToken::Malformed(e) => self.malformed(&reply, &e),
            BadToken::Unspeakable => {
                Failure::Refused(Error::new(format!("{} sent a token that git cannot carry", self.api)))
            }
            BadToken::NoTime(text) => Failure::Refused(Error::new(format!(
                "{} sent a token with an expiry that is not a time: {text:?}",
                self.api
            ))),
        })?;
        if !minted.granted.is_usable() {
            return Err(Failure::Refused(
                Error::new(format!(
                    "installation {installation} of App {} has no permission on contents, so git can do nothing with its token",
                    self.app.issuer()
                ))
                .hint(self.mend(installation, "give the App the repository permission Contents, and accept the change")),
            ));
        }
        let clock_offset = reply.offset.filter(|offset| matters(*offset)).unwrap_or(0);
        let entry = Entry {
            token: minted.token,
            expires_at: minted.expires_at,
            minted_at: self.clock.began() + self.clock.elapsed(),
            clock_offset,
        };
        Ok((entry, minted.granted))
    }

    /// Makes a token invalid. One that is invalid already is no failure.
    ///
    /// # Errors
    /// If GitHub cannot be asked or refuses.
    pub fn revoke(&self, token: &Secret) -> Result<(), Failure> {
        let url = self.api.endpoint("/installation/token");
        let credential = Credential::Token(token);
        let reply = self.ask(Asked { method: &Method::DELETE, url: &url, body: None, credential })?;
        match reply.status {
            204 | 401 => Ok(()),
            _ => Err(self.complaint(&reply)),
        }
    }

    /// The repositories that a token is for. `each` gets every page as it comes, and may break off.
    ///
    /// # Errors
    /// If GitHub cannot be asked or refuses.
    pub fn repositories(
        &self,
        token: &Secret,
        each: impl FnMut(RepositoriesPage) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        self.pages("/installation/repositories", Credential::Token(token), each)
    }

    /// The number of the user that the App's commits belong to.
    ///
    /// # Errors
    /// If GitHub cannot be asked or refuses.
    pub fn bot(&self, slug: &str, token: &Secret) -> Result<u64, Failure> {
        let url = self.api.endpoint(&format!("/users/{slug}%5Bbot%5D"));
        let reply = self.get(&url, Credential::Token(token))?;
        if reply.status == 200 { Ok(self.parse::<User>(&reply)?.id) } else { Err(self.complaint(&reply)) }
    }

    /// A list that comes in pages of a hundred, until `each` breaks it off.
    fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        credential: Credential<'_>,
        mut each: impl FnMut(T) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        for page in 1.. {
            let url = self.api.endpoint(&format!("{path}?per_page=100&page={page}"));
            let reply = self.get(&url, credential)?;
            if reply.status != 200 {
                return Err(self.complaint(&reply));
            }
            let more = header(&reply.headers, "link").is_some_and(|link| link.contains("rel=\"next\""));
            if each(self.parse(&reply)?).is_break() || !more {
                break;
            }
        }
        Ok(())
    }

    fn get(&self, url: &str, credential: Credential<'_>) -> Result<Reply, Failure> {
        self.ask(Asked { method: &Method::GET, url, body: None, credential })
    }

    /// Asks, and asks again: at once with a corrected clock, later if GitHub is not well.
    fn ask(&self, asked: Asked<'_>) -> Result<Reply, Failure> {
        let began = Instant::now();
        let reply = self.ask_until_deadline(asked, began);
        self.spent.set(self.spent.get() + began.elapsed());
        reply
    }

    fn ask_until_deadline(&self, asked: Asked<'_>, began: Instant) -> Result<Reply, Failure> {
        let left = || self.deadline.get().saturating_sub(self.spent.get() + began.elapsed());
        let mut pause = FIRST_PAUSE;
        let mut corrected = false;
        loop {
            let (failure, wait) = match self.send(asked, left()) {
                Ok(reply) => {
                    if !corrected && self.correct_clock(&reply) {
                        corrected = true;
                        continue;
                    }
                    match self.come_back(&reply) {
                        None => return Ok(reply),
                        Some((failure, wait)) => (failure, wait),
                    }
                }
                Err(Unsent::Lasting(error)) => return Err(Failure::Refused(error)),
                Err(Unsent::Passing(error)) => (Failure::Unreachable(error), None),
            };
            let wait = wait.unwrap_or_else(|| pause.mul_f64(jitter()));
            if wait >= left() {
                return Err(failure);
            }
            thread::sleep(wait);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends a request once, and tells so if decisions are told.
    fn send(&self, asked: Asked<'_>, left: Duration) -> Result<Reply, Unsent> {
        let began = Instant::now();
        let reply = self.send_once(asked, left);
        self.terminal.trace(|| {
            let result = match &reply {
                Ok(reply) => reply.status.to_string(),
                Err(Unsent::Passing(why) | Unsent::Lasting(why)) => why.to_string(),
            };
            let Asked { method, url, .. } = asked;
            format!("request: {method} {url}: {result} after {} ms", began.elapsed().as_millis())
        });
        reply
    }

    fn authorization(&self, credential: Credential<'_>) -> Result<Zeroizing<String>, Unsent> {
        if let Credential::Token(token) = credential {
            return Ok(Zeroizing::new(format!("Bearer {}", token.expose())));
        }
        let mut jwt = self.jwt.borrow_mut();
        if jwt.is_none() {
            let now = self.clock.now().plus(self.offset.get());
            *jwt = Some(self.app.jwt(now, jwt::LIFETIME).map_err(Unsent::Lasting)?);
        }
        Ok(Zeroizing::new(format!("Bearer {}", jwt.as_ref().map_or("", AppJwt::expose))))
    }

    fn send_once(&self, asked: Asked<'_>, left: Duration) -> Result<Reply, Unsent> {
        let Asked { method, url, body, credential } = asked;
        let authorization = self.authorization(credential)?;
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("Accept", "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .header("Authorization", authorization.as_str());
        // Half of what is left, so that an answer that never comes leaves time for another try.
        let left = (left / 2).clamp(SHORTEST_ANSWER, ONE_ANSWER);
        let unusable = |_| Unsent::Lasting(Error::new(format!("{url} is not a usable address")));
        let sent = match body {
            Some(body) => {
                let request =
                    request.header("Content-Type", "application/json").body(body).map_err(unusable)?;
                self.agent.run(self.agent.configure_request(request).timeout_global(Some(left)).build())
            }
            None => {
                let request = request.body(()).map_err(unusable)?;
                self.agent.run(self.agent.configure_request(request).timeout_global(Some(left)).build())
            }
        };
        let mut response = sent.map_err(|e| self.unsent(e))?;
        let content = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let body = Zeroizing::new(content.map_err(|e| self.unsent(e))?);
        let offset = header(response.headers(), "date")
            .and_then(|text| DateTimeParser::new().parse_timestamp(text).ok())
            .map(|date| Timestamp(date.as_second()).since(self.clock.now()));
        self.measured.set(offset.or(self.measured.get()));
        let (parts, _): (_, Body) = response.into_parts();
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body, offset })
    }

    /// Whether GitHub refused the JWT for its times and says what time it is; the next one is signed for that.
    fn correct_clock(&self, reply: &Reply) -> bool {
        let complains =
            reply.status == 401 && complaint(&reply.body).is_some_and(|message| is_about_time(&message));
        let Some(offset) = reply.offset.filter(|_| complains) else { return false };
        if matters(offset) {
            self.terminal.warning(
                &Error::new(format!(
                    "this clock is {} by GitHub's, which is taken as right",
                    describe(offset)
                ))
                .hint("set the clock"),
            );
            self.offset.set(offset);
        } else {
            // It was wrong when it was noted, and is right again.
            self.offset.set(0);
        }
        self.jwt.borrow_mut().take();
        true
    }

    /// Whether the answer is one that a later try may change, and how long GitHub wants to be left alone.
    fn come_back(&self, reply: &Reply) -> Option<(Failure, Option<Duration>)> {
        let number = |name| header(&reply.headers, name).and_then(|text| text.trim().parse::<i64>().ok());
        let message = complaint(&reply.body).unwrap_or_default();
        let exhausted = number("x-ratelimit-remaining") == Some(0);
        let limited = message.to_ascii_lowercase().contains("rate limit");
        match reply.status {
            403 | 429 if exhausted || limited || number("retry-after").is_some() || reply.status == 429 => {
                let now = self.clock.now();
                let github_now = now.plus(reply.offset.unwrap_or(0));
                let until_reset = number("x-ratelimit-reset")
                    .filter(|_| exhausted)
                    .map(|at| Timestamp(at).since(github_now));
                // Without a time GitHub asks for a minute at least.
                let seconds = number("retry-after").or(until_reset).unwrap_or(60).clamp(1, 24 * 3600);
                let failure = limited_failure(self.api, self.app.issuer(), now.plus(seconds), now);
                Some((failure, Some(Duration::from_secs(seconds.unsigned_abs()))))
            }
            500 | 502 | 503 | 504 => {
                let error = Error::new(format!("{} answers {}: it is not well", self.api, reply.status))
                    .hint("see https://www.githubstatus.com, or ask who runs this server");
                Some((Failure::Unreachable(error), None))
            }
            _ => None,
        }
    }

    fn parse<T: DeserializeOwned>(&self, reply: &Reply) -> Result<T, Failure> {
        serde_json::from_slice(&reply.body).map_err(|e| self.malformed(reply, &e))
    }

    /// An answer that is not what the API gives. serde's own message could quote a value, which could be a token.
    fn malformed(&self, reply: &Reply, error: &serde_json::Error) -> Failure {
        let kind = header(&reply.headers, "content-type").unwrap_or("without a type");
        let place = format!("line {} column {}", error.line(), error.column());
        Failure::Refused(
            Error::new(format!(
                "{} sent an answer that GitHub's API does not give ({kind}, {place})",
                self.api
            ))
            .hint("check host and api-url in the configuration, and whether a proxy answers instead"),
        )
    }

    /// What a refusal means that is not about minting.
    fn complaint(&self, reply: &Reply) -> Failure {
        let issuer = self.app.issuer();
        let said = complaint(&reply.body);
        Failure::Refused(match (reply.status, said.as_deref()) {
            (404, Some(_)) if is_unknown_app(reply) => {
                Error::new(format!("{} knows no App {issuer}", self.api))
                    .hint("compare the id with the App's settings page, and the host with where the App lives")
            }
            (401, Some("A JSON web token could not be decoded")) => {
                Error::new(format!("{} refused the App's JWT: the private key is not one of App {issuer}", self.api))
                    .hint("compare id and key with the App's settings page; keys that were deleted there no longer work")
            }
            (401, Some(message)) => Error::new(format!("{} refused the App's JWT: {message}", self.api)),
            (403, Some(message)) if message.contains("IP allow list") => Error::new(message.to_owned())
                .hint("let an organisation owner add this address to the IP allow list"),
            (status, Some(message)) => Error::new(format!("{} answers {status}: {message}", self.api)),
            (status, None) => {
                let kind = header(&reply.headers, "content-type").unwrap_or("without a type");
                Error::new(format!("{} answers {status} with something that is not GitHub's API ({kind})", self.api))
                    .hint("check host and api-url in the configuration, and whether a proxy answers instead")
            }
        })
    }

    /// What a refusal to mint means.
    fn mint_complaint(&self, reply: &Reply, installation: InstallationId, scope: &Scope) -> Failure {
        let issuer = self.app.issuer();
        let said = complaint(&reply.body).unwrap_or_default();
        let refused =
            |what: String, step: &str| Failure::Refused(Error::new(what).hint(self.mend(installation, step)));
        match reply.status {
            404 if !is_unknown_app(reply) => Failure::Gone(
                Error::new(format!("App {issuer} has no installation {installation} on {}", self.api))
                    .hint("install the App again, or correct installation-id in the configuration"),
            ),
            403 if said.contains("suspended") => {
                refused(format!("installation {installation} of App {issuer} is suspended"), "unsuspend it")
            }
            403 if said.contains("IP allow list") => refused(
                format!("installation {installation} of App {issuer} may not be used from here: {said}"),
                "add this machine's address to the IP allow list of the organisation",
            ),
            422 => {
                let wanted: Vec<String> =
                    scope.permissions.iter().map(|(name, level)| format!("{name} = {level}")).collect();
                let step = if wanted.is_empty() {
                    "add the repository to the installation".to_owned()
                } else {
                    format!("grant {}, or ask for less in the configuration", wanted.join(", "))
                };
                refused(
                    format!("installation {installation} of App {issuer} cannot give such a token: {said}"),
                    &step,
                )
            }
            _ => self.complaint(reply),
        }
    }

    /// A step, and the address where an owner takes it, as far as GitHub tells.
    fn mend(&self, installation: InstallationId, step: &str) -> String {
        match self.installation(installation).ok().flatten().and_then(|found| found.html_url) {
            Some(page) => format!("{step}: {page}"),
            None => format!("{step}, in the owner's settings of installed GitHub Apps"),
        }
    }

    /// Waits until git's servers know a fresh token: they learn it a moment after the API gave it out, and
    /// until then refuse it. Gives what to warn about if they do not learn it in time.
    #[must_use]
    pub fn wait_until_accepted(
        &self,
        git: &Agent,
        host: &Host,
        repository: &Repository,
        token: &Secret,
    ) -> Option<Error> {
        let began = Instant::now();
        let deadline = PROPAGATION.min(self.deadline.get());
        let mut pause = FIRST_PAUSE;
        loop {
            let left = deadline.saturating_sub(began.elapsed()).max(SHORTEST_ANSWER);
            let status = match self.try_with_git(git, host, repository, token, left) {
                Ok(status) if status >= 400 => status,
                // If there is no answer, git will meet the same and say so.
                _ => return None,
            };
            if began.elapsed() + pause >= deadline {
                return Some(
                    Error::new(format!(
                        "the fresh token is handed out although {host} still answers {status} to it for {repository}"
                    ))
                    .hint("if git fails, check the installation's permissions and the IP allow list"),
                );
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// What git's servers answer to a token: the status of what git asks first.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn try_with_git(
        &self,
        git: &Agent,
        host: &Host,
        repository: &Repository,
        token: &Secret,
        left: Duration,
    ) -> Result<u16, Error> {
        let url = format!("https://{host}/{repository}.git/info/refs?service=git-upload-pack");
        let pair = Zeroizing::new(format!("{USERNAME}:{}", token.expose()));
        let basic = Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
        let answer = git
            .get(&url)
            .header("Authorization", basic.as_str())
            // The answer to protocol version 2 is tiny: it lists no refs.
            .header("Git-Protocol", "version=2")
            .config()
            .timeout_global(Some(left))
            .build()
            .call();
        let status = answer.map(|answer| answer.status().as_u16()).map_err(|e| Error::new(e.to_string()));
        self.terminal.trace(|| {
            let result = status.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            format!("trial: GET {url}: {result}")
        });
        status
    }

    /// Why there is no answer. Nothing of the request is in the message.
    fn unsent(&self, error: ureq::Error) -> Unsent {
        let host = self.api.host();
        match error {
            ureq::Error::Timeout(_) => Unsent::Passing(
                Error::new(format!("{host} did not answer in time"))
                    .hint("check the network, and http.proxy or HTTPS_PROXY if there is a proxy"),
            ),
            ureq::Error::HostNotFound => Unsent::Passing(
                Error::new(format!("the name {host} cannot be resolved"))
                    .hint("check the network, and http.proxy or HTTPS_PROXY if there is a proxy"),
            ),
            ureq::Error::Rustls(e) => self.distrusted(&e),
            ureq::Error::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(e) => self.distrusted(e),
                None => Unsent::Passing(
                    Error::new(format!("cannot talk to {host}: {}", cause(&e)))
                        .hint("check the network, and http.proxy or HTTPS_PROXY if there is a proxy"),
                ),
            },
            ureq::Error::ConnectProxyFailed(why) => Unsent::Passing(
                Error::new(format!("the proxy does not connect to {host}: {why}"))
                    .hint("check http.proxy or HTTPS_PROXY"),
            ),
            ureq::Error::BodyExceedsLimit(limit) => Unsent::Lasting(
                Error::new(format!("{host} sent an answer of more than {limit} bytes"))
                    .hint("check host and api-url in the configuration, and whether a proxy answers instead"),
            ),
            other => Unsent::Lasting(Error::new(format!("cannot talk to {host}: {other}"))),
        }
    }

    fn distrusted(&self, error: &rustls::Error) -> Unsent {
        let host = self.api.host();
        match error {
            rustls::Error::InvalidCertificate(why) => Unsent::Lasting(
                Error::new(format!("the certificate of {host} is not trusted: {why}"))
                    .hint("name its CA: git config --global http.sslCAInfo FILE, or set SSL_CERT_FILE"),
            ),
            other => Unsent::Lasting(Error::new(format!("no secure connection to {host}: {other}"))),
        }
    }
}

/// The API is to be left alone until a time.
#[must_use]
pub fn limited_failure(api: &ApiUrl, issuer: &str, until: Timestamp, now: Timestamp) -> Failure {
    let error = Error::new(format!("the rate limit of App {issuer} on {api} is used up"))
        .hint(format!("try again in {} s", until.since(now).max(1)));
    Failure::Limited(error, until)
}

/// Why a request has no answer.
enum Unsent {
    /// It may work later.
    Passing(Error),
    /// It will not.
    Lasting(Error),
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn is_unknown_app(reply: &Reply) -> bool {
    reply.status == 404 && complaint(&reply.body).as_deref() == Some("Integration not found")
}

/// GitHub's three complaints about the times in a JWT.
fn is_about_time(message: &str) -> bool {
    message.contains("('exp')") || message.contains("('iat')")
}

/// Whether an offset of clocks is more than the backdating of a JWT covers with ease.
#[must_use]
pub fn matters(offset: i64) -> bool {
    offset.abs() > TOLERATED_OFFSET
}

/// An offset in words: `7m12s ahead`, `2s behind`.
#[must_use]
pub fn describe(offset: i64) -> String {
    let seconds = offset.unsigned_abs();
    let (minutes, rest) = (seconds / 60, seconds % 60);
    let amount = if minutes > 0 { format!("{minutes}m{rest}s") } else { format!("{rest}s") };
    // GitHub's clock minus this one: negative where this clock is ahead.
    format!("{amount} {}", if offset < 0 { "ahead" } else { "behind" })
}

/// Between a half and one and a half, so that processes that failed together do not come back together.
fn jitter() -> f64 {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut byte = [128];
    // Without random numbers the pause is simply not varied.
    let _ = SystemRandom::new().fill(&mut byte);
    0.5 + f64::from(byte[0]) / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_told_from_this_clocks_side() {
        assert_eq!(describe(-432), "7m12s ahead");
        assert_eq!(describe(59), "59s behind");
        assert_eq!(describe(3600), "60m0s behind");
    }
}
