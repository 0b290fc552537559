//! Names of what is cached: digests over everything that makes a difference.

use ring::digest::{Context, SHA256};

use crate::names::{ApiUrl, InstallationId, Place};
use crate::secret::hex;
use crate::token::{RepositoryRef, Scope};

/// Names a cached token: a digest over everything that changes the token.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenKey(String);

impl TokenKey {
    /// The key of the tokens of an App's installation, narrowed to `scope`. Installations are numbered per
    /// host, so the API is a part of it.
    pub(crate) fn new(api: &ApiUrl, app_id: &str, installation: &InstallationId, scope: &Scope) -> Self {
        let mut repositories: Vec<String> = scope
            .repositories
            .iter()
            .map(|repository| match repository {
                RepositoryRef::Name(name) => format!("name {name}"),
                RepositoryRef::Id(id) => format!("id {id}"),
            })
            .collect();
        repositories.sort_unstable();
        // No name has a blank in it.
        let repositories = repositories.join(" ");
        let (api, installation) = (api.to_string(), installation.to_string());
        let mut fields = vec!["token", &api, app_id, &installation, &repositories];
        fields.extend(scope.permissions.iter().flat_map(|(name, level)| [name.as_str(), level.as_str()]));
        Self(digest(&fields))
    }

    /// The key of the tokens that a command gives for a place: what it is told is what they are for.
    pub(crate) fn of_command(words: &[String], place: &Place) -> Self {
        let count = words.len().to_string();
        let (kind, name) = place.kind_and_name();
        let host = place.host().to_string();
        let mut fields = vec!["command", &count];
        fields.extend(words.iter().map(String::as_str).chain([host.as_str(), kind, &name]));
        Self(digest(&fields))
    }

    /// A key that no token has.
    pub(super) fn for_self_test(time: std::time::Duration) -> Self {
        Self(digest(&["self-test", &std::process::id().to_string(), &time.as_nanos().to_string()]))
    }

    /// The key of a secret that tokens are sealed under. It does not look like a token's.
    pub(super) fn for_sealing(sealer: &str) -> Self {
        Self(format!("seal-{}", digest(&["seal", sealer])))
    }

    /// The key whose files have this name, if it is the name of a key.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        (name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| Self(name.to_owned()))
    }
}

/// Names what is remembered about where an installation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteKey(String);

impl RouteKey {
    /// The key of what an App's `target` (a kind, and a name within it) leads to.
    pub(crate) fn new(api: &ApiUrl, app_id: &str, kind: &str, name: &str) -> Self {
        Self(digest(&["route", &api.to_string(), app_id, kind, name]))
    }
}

/// Names what is remembered about an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiStateKey(String);

impl ApiStateKey {
    /// The key of what is remembered about an API, as one App uses it.
    pub(crate) fn new(api: &ApiUrl, app_id: &str) -> Self {
        Self(digest(&["api", &api.to_string(), app_id]))
    }
}

/// The name of a turn to change something.
pub(super) struct TurnKey(String);

impl TurnKey {
    /// The key of the turn to change this.
    pub(super) fn new(what: &str) -> Self {
        Self(digest(&["turn", what]))
    }
}

impl Name for TurnKey {
    fn name(&self) -> &str {
        &self.0
    }
}

/// A name within the cache: what all keys look like from outside.
pub(crate) trait Name {
    fn name(&self) -> &str;
}

impl Name for TokenKey {
    fn name(&self) -> &str {
        &self.0
    }
}

impl Name for RouteKey {
    fn name(&self) -> &str {
        &self.0
    }
}

impl Name for ApiStateKey {
    fn name(&self) -> &str {
        &self.0
    }
}

/// SHA-256 over the fields, each after its length, so that no two lists of fields look the same.
fn digest(fields: &[&str]) -> String {
    let mut hash = Context::new(&SHA256);
    for field in fields {
        hash.update(&(field.len() as u64).to_le_bytes());
        hash.update(field.as_bytes());
    }
    hex(hash.finish().as_ref())
}
