//! GitHub's REST API, asked as an App: find an installation, mint a token.

pub(crate) mod answers;
pub(crate) mod failures;
mod reply;
mod transport;

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::Method;
use zeroize::Zeroizing;

use crate::app::App;
use crate::app::jwt::{self, AppJwt};
use crate::error::Error;
use crate::git::network::Way;
use crate::names::{ApiUrl, Host, InstallationId, InstallationRef, Repository};
use crate::secret::Secret;
use crate::time::{Timestamp, describe, describe_offset, offset_matters};
use crate::token::{Granted, Permissions, RepositoryRef, Scope, Token, is_within};
use crate::vendor::{GITHUB, Vendor, path};
use crate::world::World;

use answers::{
    AccessToken, AppInfo, BadToken, Installation, RepositoriesPage, RepositoryInfo, User, repository_number,
};
pub(crate) use failures::{Failure, rate_limited};
use failures::{
    endless, is_about_times_of_jwt, is_unknown_app, is_unknown_key, malformed, mint_refusal, refusal,
    token_refusal, unknown_key,
};
use reply::Reply;
use transport::{ApiRequest, MAX_ANSWER, MAX_LONG_ANSWER, Transport};

/// How often a redirect is followed.
const MAX_REDIRECTS: usize = 3;
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
    /// The JWT, and when it was signed, by the local clock.
    jwt: RefCell<Option<(AppJwt, Timestamp)>>,
}

/// What a lookup tells: an installation, and on whom it is.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub(crate) installation: InstallationRef,
    /// The account that the App is installed on, in lower case.
    pub(crate) owner: Option<String>,
    /// Whether it covers all repositories of that account.
    pub(crate) covers_all: bool,
    /// The page on which the owner manages it.
    pub(crate) page: Option<String>,
}

/// What a request is authenticated with.
#[derive(Clone, Copy)]
enum Credential<'c> {
    /// The App's JWT.
    App,
    /// An installation access token.
    Token(&'c Secret),
}

#[derive(Serialize)]
struct AccessTokenRequest<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repositories: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repository_ids: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a Permissions>,
}

impl Lookup {
    fn new(found: &Installation, repository_id: Option<u64>) -> Self {
        let installation = InstallationRef { id: found.id.clone(), repository_id };
        let covers_all = found.repository_selection.as_deref() == Some("all");
        let (owner, page) = (found.owner().map(str::to_ascii_lowercase), found.html_url.clone());
        Self { installation, owner, covers_all, page }
    }
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
            jwt: RefCell::new(None),
        }
    }

    /// Does not try for long from now on: there is something to fall back on.
    pub(crate) fn be_brief(&self) {
        self.transport.be_brief();
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

    /// The installation that covers a repository. `None`: there is none, or there is no such repository.
    pub(crate) fn installation_of_repository(
        &self,
        repository: &Repository,
    ) -> Result<Option<Lookup>, Failure> {
        if self.vendor.installation_of_repository.is_empty() {
            return self.installation_of_owner(&repository.owner);
        }
        let values = [("owner", repository.owner.as_str()), ("repository", &repository.name)];
        self.look_up(&path(&self.vendor.installation_of_repository, &values))
    }

    /// The installation on an owner, a user or an organisation.
    pub(crate) fn installation_of_owner(&self, owner: &str) -> Result<Option<Lookup>, Failure> {
        if self.vendor.installation_of_owner.is_empty() {
            let is_its =
                |it: &Installation| it.owner().is_some_and(|login| login.eq_ignore_ascii_case(owner));
            return Ok(self.find_installation(self.deadline, is_its)?.map(|found| Lookup::new(&found, None)));
        }
        self.look_up(&path(&self.vendor.installation_of_owner, &[("owner", owner)]))
    }

    fn look_up(&self, path: &str) -> Result<Option<Lookup>, Failure> {
        let mut url = self.api.endpoint(path);
        let mut repository_id = None;
        for _ in 0..=MAX_REDIRECTS {
            let reply = self.get(&url, Credential::App)?;
            match reply.status {
                200 => {
                    let found: Installation = self.parse(&reply)?;
                    return Ok(Some(Lookup::new(&found, repository_id)));
                }
                301 | 302 | 307 | 308 => {
                    let location = reply.header("location").unwrap_or_default();
                    url = self.api.same_origin(location).ok_or_else(|| {
                        let api = self.api;
                        Error::new(format!(
                            "{api} redirects to another origin, which must not see the App's JWT"
                        ))
                        .hint("check host and api-url in the configuration")
                    })?;
                    repository_id = repository_number(&url).or(repository_id);
                }
                404 if !is_unknown_app(&reply) => return Ok(None),
                _ => return Err(self.refusal(&reply, Credential::App)),
            }
        }
        Err(Error::new(format!("{} redirects in a circle", self.api)).into())
    }

    /// The only installation that git can use, if the App has just one.
    pub(crate) fn only_installation(&self, host: &Host) -> Result<Option<Lookup>, Failure> {
        let mut usable: Vec<Installation> = Vec::new();
        // git waits for this one.
        let (path, in_all) = (&self.vendor.installations, self.deadline);
        self.pages(path, PER_PAGE, in_all, Credential::App, |page: Vec<Installation>| {
            usable.extend(page.into_iter().filter(Installation::is_usable));
            if usable.len() > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        match usable.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(Lookup::new(one, None))),
            _ => {
                let app = self.app.id();
                let what = format!(
                    "git did not say which repository it wants, and App {app} has several installations"
                );
                let hint = format!("git config --global credential.https://{host}.useHttpPath true");
                Err(Error::new(what).hint(hint).into())
            }
        }
    }

    /// The App's installations. `each` gets every page as it comes, and may break off.
    pub(crate) fn installations(
        &self,
        each: impl FnMut(Vec<Installation>) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        self.pages(&self.vendor.installations, PER_PAGE, self.deadline * PATIENT, Credential::App, each)
    }

    /// One of the App's installations; `None` if there is no such one.
    pub(crate) fn installation(&self, id: &InstallationId) -> Result<Option<Installation>, Failure> {
        // Of another vendor's API only the list is described.
        if !self.vendor.is_github {
            return self.find_installation(self.deadline * PATIENT, |it| it.id == *id);
        }
        let path = path(&self.vendor.installation, &[("installation", &id.to_string())]);
        let reply = self.get(&self.api.endpoint(&path), Credential::App)?;
        match reply.status {
            200 => self.parse(&reply).map(Some),
            404 if !is_unknown_app(&reply) => Ok(None),
            _ => Err(self.refusal(&reply, Credential::App)),
        }
    }

    /// The first installation that is meant.
    fn find_installation(
        &self,
        in_all: Duration,
        is_meant: impl Fn(&Installation) -> bool,
    ) -> Result<Option<Installation>, Failure> {
        let mut found = None;
        let each = |page: Vec<Installation>| {
            found = page.into_iter().find(&is_meant);
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.pages(&self.vendor.installations, PER_PAGE, in_all, Credential::App, each)?;
        Ok(found)
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

    /// Mints an installation access token, and tells what it was granted. [`Failure::Gone`]: there is no such installation
    /// any more. A token that git cannot use is an error, unless it is for something else.
    pub(crate) fn mint(
        &self,
        installation: &InstallationId,
        scope: &Scope,
        not_for_git: bool,
    ) -> Result<(Token, Granted), Failure> {
        let (mut repositories, mut repository_ids) = (Vec::new(), Vec::new());
        for repository in &scope.repositories {
            match repository {
                RepositoryRef::Name(name) => repositories.push(name.as_str()),
                RepositoryRef::Id(id) => repository_ids.push(*id),
            }
        }
        let permissions = (!scope.permissions.is_empty()).then_some(&scope.permissions);
        let request = AccessTokenRequest { repositories, repository_ids, permissions };
        let body =
            serde_json::to_vec(&request).map_err(|e| Error::new(format!("cannot write the request: {e}")))?;
        let path = path(&self.vendor.access_tokens, &[("installation", &installation.to_string())]);
        // The answer describes each repository that was named.
        let limit = if scope.repositories.len() > 1 { MAX_LONG_ANSWER } else { MAX_ANSWER };
        let url = self.api.endpoint(&path);
        let reply = self.send(&Method::POST, &url, Some(&body), limit, Credential::App)?;
        let (api, app) = (self.api, self.app.id());
        let is_minted = reply.status == 201 || (reply.status == 200 && !self.vendor.is_github);
        if !is_minted {
            let fix = |step: &str| self.fix(installation, step);
            if is_unknown_key(&reply) {
                return Err(self.refusal(&reply, Credential::App));
            }
            return Err(match self.not_granted(&reply, installation, scope) {
                Some(failure) => failure,
                None => mint_refusal(api, app, &reply, installation, fix),
            });
        }
        let minted = AccessToken::parse(&reply.body, self.vendor).map_err(|bad| match bad {
            BadToken::Malformed(e) => malformed(api, &reply, &e),
            BadToken::NotAscii => {
                Error::new(format!("{api} sent a token with characters that git's protocol does not allow"))
                    .into()
            }
            BadToken::NoTime(text) => {
                Error::new(format!("{api} sent a token with an expiry that is not a time: {text:?}")).into()
            }
        })?;
        if !self.vendor.is_github && !is_confirmed(scope, &minted.granted) {
            let what = format!("{api} does not say that the token is as narrow as it was asked for");
            let hint = "leave out scope and permissions: [app.api] does not describe how to narrow a token";
            return Err(Error::new(what).hint(hint).into());
        }
        if !minted.is_usable() && self.vendor.is_github && !not_for_git {
            let what = format!(
                "installation {installation} of App {app} lacks the permission Contents, so git cannot use its token"
            );
            let step = "give the App the repository permission Contents, and accept the change";
            return Err(Error::new(what).hint(self.fix(installation, step)).into());
        }
        // From here on all times are by the local clock.
        let proven = self.clock_offset.get();
        let clock_offset = reply.clock_offset.map_or(proven, |measured| self.believed(measured));
        let clock_offset = if offset_matters(clock_offset) { clock_offset } else { 0 };
        let clock = self.world.clock;
        let lifetime = minted.expires_at.plus(-clock_offset).since(clock.now());
        if lifetime <= 0 {
            let what = format!("{api} sent a token that has expired already, {} ago", describe(lifetime));
            return Err(Error::new(what).hint("ask who runs this server whether its clock is right").into());
        }
        let token = Token::minted(minted.token, lifetime, self.vendor.longest_lifetime, clock);
        Ok((token, minted.granted))
    }

    /// The repositories that a token is for. `each` gets every page as it comes, and may break off.
    pub(crate) fn repositories(
        &self,
        token: &Secret,
        each: impl FnMut(RepositoriesPage) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        if !self.vendor.is_github {
            let what = format!("it is not described how to list the repositories of a token of {}", self.api);
            return Err(Error::new(what)
                .hint("look at the server itself; [app.api] has no such list")
                .into());
        }
        let in_all = self.deadline * PATIENT;
        self.pages(&self.vendor.repositories, PER_PAGE, in_all, Credential::Token(token), each)
    }

    /// One of the repositories that a token is for; `None` if it is for none, or if that is not known: no such list of
    /// another vendor's API is described.
    pub(crate) fn any_repository(&self, token: &Secret) -> Result<Option<RepositoryInfo>, Failure> {
        if !self.vendor.is_github {
            return Ok(None);
        }
        let mut first = None;
        let each = |page: RepositoriesPage| {
            first = page.repositories.into_iter().next();
            ControlFlow::Break(())
        };
        self.pages(&self.vendor.repositories, 1, self.deadline, Credential::Token(token), each)?;
        Ok(first)
    }

    /// Whether a repository is there for who has a token: everybody's, or one that the token is for.
    /// <https://docs.github.com/rest/repos/repos#get-a-repository>
    pub(crate) fn sees(&self, repository: &Repository, token: &Secret) -> Result<bool, Failure> {
        let values = [("owner", repository.owner.as_str()), ("repository", &repository.name)];
        let url = self.api.endpoint(&path("/repos/{owner}/{repository}", &values));
        let reply = self.get(&url, Credential::Token(token))?;
        match reply.status {
            // It has another name now, under which git's server finds it too.
            200 | 301 | 302 | 307 | 308 => Ok(true),
            404 | 451 => Ok(false),
            _ => Err(self.refusal(&reply, Credential::Token(token))),
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
            self.transport.send(ApiRequest { method, url, body, authorization: &authorization, limit })
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
            self.world.terminal.warning(&Error::new(what).hint("set the clock"));
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

    /// That permissions were asked for that the installation does not have, if that is why a mint was refused.
    fn not_granted(&self, reply: &Reply, installation: &InstallationId, scope: &Scope) -> Option<Failure> {
        if reply.status != 422 || scope.permissions.is_empty() {
            return None;
        }
        let found = self.installation(installation).ok().flatten()?;
        let granted = found.permissions.as_ref()?;
        let missing = scope
            .permissions
            .iter()
            .filter(|(name, level)| !is_within(level, granted.get(name.as_str()).map(String::as_str)));
        let missing: Vec<String> = missing.map(|(name, level)| format!("{name} = {level}")).collect();
        if missing.is_empty() {
            return None;
        }
        let missing = missing.join(", ");
        let what = format!("installation {installation} of App {} was not granted {missing}", self.app.id());
        let step = "give the App this permission and accept the change, or ask for less".to_owned();
        let hint = found.html_url.map_or_else(|| step.clone(), |page| format!("{step}: {page}"));
        Some(Failure::Refused(Error::new(what).hint(hint)))
    }

    /// A step, and the address where an owner takes it, as far as GitHub tells.
    fn fix(&self, installation: &InstallationId, step: &str) -> String {
        match self.installation(installation).ok().flatten().and_then(|found| found.html_url) {
            Some(page) => format!("{step}: {page}"),
            None => format!("{step}, in the owner's settings of installed GitHub Apps"),
        }
    }
}

/// Whether an answer says that a token is as narrow as it was asked for.
fn is_confirmed(scope: &Scope, granted: &Granted) -> bool {
    let repositories = granted.repositories.as_ref().map_or(usize::MAX, Vec::len);
    let may = |(name, level): (&String, &String)| {
        name == "metadata" || is_within(level, scope.permissions.get(name).map(String::as_str))
    };
    (scope.repositories.is_empty() || repositories <= scope.repositories.len())
        && (scope.permissions.is_empty()
            || granted.permissions.as_ref().is_some_and(|granted| granted.iter().all(may)))
}

/// Makes a token invalid, at the API that gave it. That takes the token only, no App and no key; `client` is whose it is, for
/// messages. One that is invalid already is no failure.
/// <https://docs.github.com/rest/apps/installations#revoke-an-installation-access-token>
pub(crate) fn revoke(
    way: Way,
    api: &ApiUrl,
    client: &str,
    token: &Secret,
    world: &World<'_>,
    deadline: Duration,
) -> Result<(), Failure> {
    let transport = Transport::new(way, api, client, world, &GITHUB, deadline);
    let authorization = Zeroizing::new(format!("Bearer {}", token.expose()));
    let url = api.endpoint(&GITHUB.revoke);
    let request = ApiRequest {
        method: &Method::DELETE,
        url: &url,
        body: None,
        authorization: &authorization,
        limit: MAX_ANSWER,
    };
    let reply = transport.send(request)?;
    match reply.status {
        204 | 401 => Ok(()),
        _ => Err(token_refusal(api, &reply)),
    }
}

/// Whether clocks differ by so few seconds that it is likely.
fn can_be_corrected(clock_offset: i64) -> bool {
    clock_offset.saturating_abs() <= MAX_CORRECTION
}
