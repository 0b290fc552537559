//! Installation access tokens: minted, what they reach, and made invalid.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::Serialize;
use ureq::http::Method;
use zeroize::Zeroizing;

use super::answers::{AccessToken, BadToken, RepositoriesPage, RepositoryInfo};
use super::failures::{Failure, is_unknown_key, malformed, mint_refusal, other_refusal};
use super::reply::Reply;
use super::transport::{ApiRequest, MAX_ANSWER, MAX_LONG_ANSWER, Transport};
use super::{Credential, GitHub, PATIENT, PER_PAGE};
use crate::error::Error;
use crate::git::network::Way;
use crate::names::{ApiUrl, InstallationId, Repository};
use crate::secret::Secret;
use crate::time::{describe, offset_matters};
use crate::token::{Granted, Permissions, RepositoryRef, Scope, Token, is_within};
use crate::vendor::{Vendor, path};
use crate::world::World;

#[derive(Serialize)]
struct AccessTokenRequest<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repositories: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repository_ids: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a Permissions>,
}

impl GitHub<'_> {
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

/// Makes a token invalid, at the API that gave it. That takes the token only, no App and no key; `vendor` is what that API is
/// like, and `client` is whose the token is, for messages. Gives whether it
/// was valid until now; one that was not is no failure.
/// <https://docs.github.com/rest/apps/installations#revoke-an-installation-access-token>
pub(crate) fn revoke(
    way: Way,
    api: &ApiUrl,
    vendor: &Vendor,
    client: &str,
    token: &Secret,
    world: &World<'_>,
    deadline: Duration,
) -> Result<bool, Failure> {
    let transport = Transport::new(way, api, client, world, vendor, deadline);
    let authorization = Zeroizing::new(format!("Bearer {}", token.expose()));
    let url = api.endpoint(&vendor.revoke);
    let request = ApiRequest {
        method: &Method::DELETE,
        url: &url,
        body: None,
        authorization: Some(&authorization),
        code: None,
        limit: MAX_ANSWER,
    };
    let reply = transport.send(request)?;
    match reply.status {
        204 => Ok(true),
        401 if vendor.is_github => Ok(false),
        // Of another vendor's API it may mean that there is no such path for a token.
        _ => Err(Failure::Refused(other_refusal(api, &reply))),
    }
}
