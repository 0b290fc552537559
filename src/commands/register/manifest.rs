//! What GitHub is asked to make.
//!
//! <https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest>

use serde_json::json;

use super::Options;
use crate::names::{Host, is_name};
use crate::secret::Secret;
use crate::token::Permissions;

/// The most characters of an App's name.
/// <https://docs.github.com/en/apps/creating-github-apps/registering-a-github-app/registering-a-github-app>
const LONGEST_NAME: usize = 34;

/// The App that is asked for.
pub(super) struct Manifest<'m> {
    pub(super) host: &'m Host,
    /// Who will own it; `None`: whoever is signed in.
    pub(super) organization: Option<&'m str>,
    /// `None`: the person chooses it.
    pub(super) name: Option<&'m str>,
    pub(super) permissions: Permissions,
    /// Whether others than its owner can install it.
    pub(super) public: bool,
}

impl<'m> Manifest<'m> {
    pub(super) fn new(options: &'m Options, host: &'m Host) -> Self {
        // What git needs, and what every App has.
        let usual = [("contents", "write"), ("metadata", "read")];
        let mut permissions: Permissions =
            usual.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned())).collect();
        permissions.extend(options.permission.iter().cloned());
        let (organization, name) = (options.organization.as_deref(), options.name.as_deref());
        Self { host, organization, name, permissions, public: options.public }
    }

    /// Where the form is sent to.
    pub(super) fn action(&self, state: &Secret) -> String {
        let Self { host, organization, .. } = self;
        let folder = organization.map_or_else(String::new, |name| format!("organizations/{name}/"));
        format!("https://{host}/{folder}settings/apps/new?state={}", state.expose())
    }

    /// What is sent. `redirect` is where GitHub leads the browser with the code. There is no webhook: without
    /// `hook_attributes` GitHub makes none, and with them it wants an address.
    pub(super) fn json(&self, redirect: &str) -> String {
        let Self { host, organization, name, permissions, public } = self;
        let mut manifest = json!({
            "url": format!("https://{host}/{}", organization.unwrap_or_default()),
            "redirect_url": redirect,
            "public": public,
            "default_permissions": permissions,
        });
        if let Some(name) = name {
            manifest["name"] = json!(name);
        }
        manifest.to_string()
    }

    /// What is asked for, in words.
    pub(super) fn in_words(&self) -> String {
        let named = self.name.map_or_else(String::new, |name| format!(" {name}"));
        let owner = self.organization.map_or_else(String::new, |name| format!(" for {name}"));
        let permissions: Vec<String> =
            self.permissions.iter().map(|(name, level)| format!("{name} = {level}")).collect();
        format!("a GitHub App{named}{owner} on {}, with {}", self.host, permissions.join(", "))
    }
}

/// An organisation, as a flag names it.
pub(super) fn organization(text: &str) -> Result<String, String> {
    let name = Some(text).filter(|name| is_name(name));
    name.map(str::to_owned).ok_or_else(|| "write the organisation's name as it stands in URLs".to_owned())
}

/// The App's name, as a flag names it.
pub(super) fn name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    match text.trim() {
        "" => Err("the name is empty".to_owned()),
        _ if length > LONGEST_NAME => Err(format!("it has {length} characters, and may have {LONGEST_NAME}")),
        name => Ok(name.to_owned()),
    }
}
