//! A private key that a service manager passes to a service as a credential.
//!
//! <https://systemd.io/CREDENTIALS/>

use std::path::PathBuf;
use std::rc::Rc;

use super::{KeySource, KeyText, file};
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::world::World;

/// What stands before a credential's name.
const PREFIX: &str = "credential:";

/// Where systemd puts a service's credentials.
const FOLDER: &str = "CREDENTIALS_DIRECTORY";

#[derive(Debug)]
struct KeyInCredential {
    name: String,
    origin: Origin,
}

/// `credential:NAME`
pub(super) fn named(text: &str, _: &dyn Fn(&str) -> PathBuf, origin: &Origin) -> Option<Rc<dyn KeySource>> {
    let name = text.strip_prefix(PREFIX)?.to_owned();
    Some(Rc::new(KeyInCredential { name, origin: origin.clone() }))
}

impl KeySource for KeyInCredential {
    fn read(&self, world: &World<'_>) -> Result<KeyText> {
        let name = &self.name;
        if matches!(name.as_str(), "" | "." | "..") || name.contains(['/', '\\']) {
            return Err(Error::new(format!("{name:?} is not the name of a credential ({})", self.origin))
                .hint("write credential: and the name that the service's unit gives it in LoadCredential="));
        }
        let Some(folder) = world.variables.path(FOLDER) else {
            let what = format!("cannot read the private key {}: {FOLDER} is not set", self.describe());
            return Err(Error::new(what).hint(format!(
                "only a service has it, if its unit says LoadCredential={name}:FILE or LoadCredentialEncrypted="
            )));
        };
        let folder = PathBuf::from(folder);
        if !folder.is_absolute() {
            // That folder is a repository, which somebody else may have filled.
            return Err(Error::new(format!(
                "cannot read the private key {}: {FOLDER} is relative to whatever folder git runs in",
                self.describe()
            ))
            .hint(format!("let {FOLDER} be a whole path, as systemd sets it")));
        }
        file::read(&folder.join(name), &self.describe())
    }

    fn describe(&self) -> String {
        format!("{} ({})", self.short(), self.origin)
    }

    fn short(&self) -> String {
        format!("{} of the service's credentials", self.name)
    }

    fn setting(&self) -> Option<String> {
        Some(format!("{PREFIX}{}", self.name))
    }
}
