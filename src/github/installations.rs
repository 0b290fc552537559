//! Where the App is installed.

use std::ops::ControlFlow;
use std::time::Duration;

use super::answers::{Installation, repository_number};
use super::failures::{Failure, is_unknown_app};
use super::{Credential, GitHub, PATIENT, PER_PAGE};
use crate::error::Error;
use crate::names::{Host, InstallationId, InstallationRef, Repository};
use crate::vendor::path;

/// How often a redirect is followed.
const MAX_REDIRECTS: usize = 3;

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

impl Lookup {
    fn new(found: &Installation, repository_id: Option<u64>) -> Self {
        let installation = InstallationRef { id: found.id.clone(), repository_id };
        let covers_all = found.repository_selection.as_deref() == Some("all");
        let (owner, page) = (found.owner().map(str::to_ascii_lowercase), found.html_url.clone());
        Self { installation, owner, covers_all, page }
    }
}

impl GitHub<'_> {
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
}
