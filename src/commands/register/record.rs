//! What is left of a registration that did not come to its end: a file beside the configuration, for this user alone.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Target;
use crate::error::{Error, Result, cause};
use crate::files::{Access, Writing, is_absent, make_private_folder, read_own_text, write_whole};
use crate::names::Host;
use crate::secret::Secret;

/// The file.
pub(super) struct Record {
    path: PathBuf,
}

/// An App that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct App {
    /// How the configuration names it: by its client ID, or by its App ID where it has none.
    pub(super) id: String,
    pub(super) slug: String,
    /// How the configuration names its key.
    pub(super) private_key: String,
}

/// How far a registration came.
#[derive(Debug)]
pub(super) enum Left {
    /// GitHub gave this code, which is good for an hour.
    Code(Secret),
    /// The App is made, and this is its key, which is not in its place yet.
    Key(App, Secret),
    /// The App is made, and its key is in its place.
    App(App),
}

#[derive(Deserialize)]
struct Read {
    host: String,
    organization: Option<String>,
    code: Option<Secret>,
    app: Option<App>,
    pem: Option<Secret>,
}

#[derive(Serialize)]
struct Written<'w> {
    host: &'w str,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<&'w str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'w str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<&'w App>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pem: Option<&'w str>,
}

impl Record {
    /// The record of registrations for a configuration.
    pub(super) fn beside(configuration: &Path) -> Self {
        Self { path: configuration.with_file_name("register.json") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is one that can be deleted: a private key may be in it.
    pub(super) fn is_to_be_removed(&self) -> bool {
        read_own_text(&self.path).is_ok_and(|text| !Zeroizing::new(text).contains("-----BEGIN"))
    }

    /// What an earlier run left, if it was for the same account.
    ///
    /// # Errors
    /// If it was for another one, if somebody else can have written that, or if it is damaged.
    pub(super) fn read(&self, target: &Target<'_>) -> Result<Option<Left>> {
        const AFRESH: &str = "to make another App: git-credential-ghapp register --new";
        let shown = self.path.display();
        let text = match read_own_text(&self.path) {
            Ok(text) => Zeroizing::new(text),
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(Error::new(format!("{shown} is not used: {}", cause(&e))).hint(AFRESH)),
        };
        let read: Read = serde_json::from_str(&text)
            .map_err(|_| Error::new(format!("{shown} is damaged")).hint(AFRESH))?;
        let same = |one: Option<&str>, other: Option<&str>| {
            one.map(str::to_ascii_lowercase) == other.map(str::to_ascii_lowercase)
        };
        if read.host != target.host.to_string() || !same(read.organization.as_deref(), target.organization) {
            let owner = read.organization.as_ref().map_or_else(String::new, |name| format!(" for {name}"));
            let what = format!("an earlier run for an App{owner} on {} is not finished", read.host);
            let organization =
                read.organization.map_or_else(String::new, |name| format!(" --organization {name}"));
            let github = Host::github().to_string();
            let host = Some(read.host).filter(|host| *host != github);
            let host = host.map_or_else(String::new, |host| format!(" --host {host}"));
            return Err(Error::new(what).hint(format!(
                "to go on with that one: git-credential-ghapp register{host}{organization}; to make another App: add --new"
            )));
        }
        Ok(match (read.app, read.pem) {
            (Some(app), Some(key)) => Some(Left::Key(app, key)),
            (Some(app), None) => Some(Left::App(app)),
            // Without a code it was to show that there is room for one.
            (None, _) => read.code.map(Left::Code),
        })
    }

    /// Notes that GitHub gave a code.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(super) fn note_code(&self, target: &Target<'_>, code: &Secret) -> Result<()> {
        self.write(target, Some(code.expose()), None, None)
    }

    /// Notes that an App is made, and its key, before that is put into its place. The code is of no more use.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(super) fn note_key(&self, target: &Target<'_>, app: &App, key: &Secret) -> Result<()> {
        self.write(target, None, Some(app), Some(key.expose()))
    }

    /// Notes that the key is in its place. Here it is forgotten.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(super) fn note_app(&self, target: &Target<'_>, app: &App) -> Result<()> {
        self.write(target, None, Some(app), None)
    }

    fn write(
        &self,
        target: &Target<'_>,
        code: Option<&str>,
        app: Option<&App>,
        pem: Option<&str>,
    ) -> Result<()> {
        let host = target.host.to_string();
        let written = Written { host: &host, organization: target.organization, code, app, pem };
        let text = serde_json::to_string_pretty(&written).map(Zeroizing::new);
        let text = text.map_err(|e| self.not_written(&e.to_string()))?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let writing = Writing { unfinished: folder, access: Access::Private, replaces: true, lasts: true };
        make_private_folder(folder)
            .and_then(|()| write_whole(&self.path, text.as_bytes(), writing))
            .map_err(|e| self.not_written(&cause(&e)))
    }

    /// An error if nothing could be noted: an App that is made while there is no room for its key is of no use.
    pub(super) fn check(&self, target: &Target<'_>) -> Result<()> {
        self.write(target, None, None, None)?;
        self.forget()
    }

    /// Forgets what was noted.
    pub(super) fn forget(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(e) if !is_absent(&e) => {
                Err(Error::new(format!("cannot remove {}: {}", self.path.display(), cause(&e))))
            }
            _ => Ok(()),
        }
    }

    fn not_written(&self, why: &str) -> Error {
        Error::new(format!("cannot write {}: {why}", self.path.display()))
            .hint("look at the permissions of its folder, or name another configuration: --config FILE")
    }
}
