//! What is left of a registration that did not finish: a file beside the configuration, for this user alone.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Target;
use crate::error::{Error, Result, cause};
use crate::files::{Access, Writing, is_absent, make_private_folder, read_own_text, write_whole};
use crate::secret::Secret;
use crate::world::World;

/// The file.
pub(super) struct Record {
    path: PathBuf,
    /// The folders that are removed with it if they are empty: the program's own, and those that were not there before.
    folders: Vec<PathBuf>,
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

/// An earlier registration.
pub(super) struct Earlier {
    /// Where it was, and for which organisation, as the file says.
    pub(super) host: String,
    pub(super) organization: Option<String>,
    /// `None` if it came to nothing: the file was to show that there is room for a key.
    pub(super) left: Option<Left>,
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
    pub(super) fn beside(configuration: &Path, world: &World<'_>) -> Self {
        let own = world.folders.user_config.as_ref().and_then(|file| file.parent());
        let folder = configuration.parent().into_iter().flat_map(Path::ancestors);
        let folders = folder.take_while(|folder| Some(*folder) == own || !folder.exists());
        Self {
            path: configuration.with_file_name("register.json"),
            folders: folders.map(Path::to_owned).collect(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is one that can be deleted: a private key may be in it.
    pub(super) fn is_to_be_removed(&self) -> bool {
        read_own_text(&self.path).is_ok_and(|text| !Zeroizing::new(text).contains("-----BEGIN"))
    }

    /// What an earlier run left; `None` if there was none.
    ///
    /// # Errors
    /// If somebody else can have written that, or if it is damaged.
    pub(super) fn read(&self) -> Result<Option<Earlier>> {
        const AFRESH: &str = "to make another App: git-credential-ghapp register --new";
        let shown = self.path.display();
        let text = match read_own_text(&self.path) {
            Ok(text) => Zeroizing::new(text),
            Err(e) if is_absent(&e) => return Ok(None),
            Err(e) => return Err(Error::new(format!("{shown} is not used: {}", cause(&e))).hint(AFRESH)),
        };
        let Read { host, organization, code, app, pem } = serde_json::from_str(&text)
            .map_err(|_| Error::new(format!("{shown} is damaged")).hint(AFRESH))?;
        let left = match (app, pem) {
            (Some(app), Some(key)) => Some(Left::Key(app, key)),
            (Some(app), None) => Some(Left::App(app)),
            (None, _) => code.map(Left::Code),
        };
        Ok(Some(Earlier { host, organization, left }))
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
        match fs::remove_file(&self.path) {
            Err(e) if !is_absent(&e) => {
                return Err(Error::new(format!("cannot remove {}: {}", self.path.display(), cause(&e))));
            }
            _ => {}
        }
        // One that has other files in it stays, and so do those above.
        self.folders.iter().for_each(|folder| drop(fs::remove_dir(folder)));
        Ok(())
    }

    fn not_written(&self, why: &str) -> Error {
        Error::new(format!("cannot write {}: {why}", self.path.display()))
            .hint("look at the permissions of its folder, or name another configuration: --config FILE")
    }
}
