//! GitHub's answers, from foreign bytes to what is used of them.
//!
//! Fields are those of <https://docs.github.com/rest/apps/apps>; all others are skipped.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::names::{Host, InstallationId, is_name};
use crate::secret::Secret;
use crate::time::Timestamp;
use crate::token::{Granted, Permissions, is_token, may_use_contents};
use crate::vendor::Vendor;

/// The App as GitHub knows it.
#[derive(Debug, Deserialize)]
pub(crate) struct AppInfo {
    /// The App ID.
    pub(crate) id: u64,
    /// The client ID; old servers have none.
    pub(crate) client_id: Option<String>,
    /// The App's name in addresses.
    #[serde(deserialize_with = "a_name")]
    pub(crate) slug: String,
    /// Its public page.
    #[serde(deserialize_with = "an_address")]
    pub(crate) html_url: String,
    /// Its name for people.
    pub(crate) name: Option<String>,
    /// Who registered it.
    pub(crate) owner: Option<Account>,
}

impl AppInfo {
    /// The page on which an owner installs it.
    pub(crate) fn install_page(&self) -> String {
        format!("{}/installations/new", self.html_url)
    }

    /// What to do where the App is not installed.
    pub(crate) fn install_hint(&self) -> String {
        format!("install it at {}", self.install_page())
    }

    /// The other one of its two ids.
    pub(crate) fn other_id(&self, id: &str) -> Option<String> {
        let number = self.id.to_string();
        if id == number { self.client_id.clone() } else { Some(number) }
    }

    /// Whether this is one of its two ids.
    pub(crate) fn has_id(&self, id: &str) -> bool {
        id == self.id.to_string() || Some(id) == self.client_id.as_deref()
    }

    /// The page on which its owner manages it and its keys, as far as GitHub tells whose it is.
    pub(crate) fn settings_page(&self, host: &Host) -> Option<String> {
        let owner = self.owner.as_ref()?;
        let slug = &self.slug;
        match (owner.login.as_deref()?, owner.kind.as_deref()) {
            (login, Some("Organization")) => {
                Some(format!("https://{host}/organizations/{login}/settings/apps/{slug}"))
            }
            _ => Some(format!("https://{host}/settings/apps/{slug}")),
        }
    }

    /// ` of OWNER`, to follow the App's name, where it is known who registered it.
    pub(crate) fn of_owner(&self) -> String {
        let owner = self.owner.as_ref().and_then(|owner| owner.login.as_deref());
        owner.map_or_else(String::new, |owner| format!(" of {owner}"))
    }
}

/// An App on an account.
#[derive(Debug, Deserialize)]
pub(crate) struct Installation {
    /// Its number.
    pub(crate) id: InstallationId,
    /// The page on which an owner manages it.
    #[serde(default, alias = "htmlUrl", deserialize_with = "perhaps_an_address")]
    pub(crate) html_url: Option<String>,
    /// Where it is; absent or without a login for installations on an enterprise, which never cover repositories.
    account: Option<Account>,
    /// `all` or `selected` repositories.
    #[serde(alias = "repositorySelection")]
    pub(crate) repository_selection: Option<String>,
    #[serde(alias = "suspendedAt")]
    suspended_at: Option<IgnoredAny>,
    /// What it may do, as far as that is said in GitHub's way.
    #[serde(default, deserialize_with = "perhaps_permissions")]
    pub(crate) permissions: Option<Permissions>,
}

/// A user, an organisation, or an enterprise.
#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    /// The name in addresses; an enterprise has none.
    #[serde(default, deserialize_with = "perhaps_a_name")]
    pub(crate) login: Option<String>,
    /// `User` or `Organization`.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
}

/// A repository, as far as lists of them are used.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RepositoryInfo {
    /// `OWNER/NAME`.
    pub(crate) full_name: String,
    /// `public`, `private` or `internal`; missing on old servers and in answers to a mint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) visibility: Option<String>,
    /// Whether nobody can write to it.
    #[serde(default)]
    pub(crate) archived: bool,
}

/// One page of the repositories of an installation.
#[derive(Debug, Deserialize)]
pub(crate) struct RepositoriesPage {
    /// Those of this page.
    pub(crate) repositories: Vec<RepositoryInfo>,
}

/// A user: of an App's bot the number, which is a part of its address for commits.
#[derive(Debug, Deserialize)]
pub(crate) struct User {
    /// The user's number.
    pub(crate) id: u64,
}

impl Installation {
    /// The account's name; `None` for an enterprise.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.account.as_ref()?.login.as_deref()
    }

    /// Whether an owner suspended it.
    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended_at.is_some()
    }

    /// What it may do with contents: `read`, `write`, or nothing. `None`: that is not said.
    pub(crate) fn contents(&self) -> Option<Option<&str>> {
        let permissions = self.permissions.as_ref().filter(|_| self.speaks_of_permissions_as_github())?;
        Some(permissions.get("contents").map(String::as_str))
    }

    /// Whether git can use a token of this installation.
    pub(crate) fn is_usable(&self) -> bool {
        let says_contents = self.speaks_of_permissions_as_github();
        self.owner().is_some()
            && !self.is_suspended()
            && (!says_contents || may_use_contents(self.permissions.as_ref()))
    }

    /// Whether permissions are called as GitHub calls them, where everybody may read metadata.
    fn speaks_of_permissions_as_github(&self) -> bool {
        self.permissions.as_ref().is_some_and(|it| it.contains_key("metadata") || it.contains_key("contents"))
    }
}

/// A token as it was minted.
#[derive(Debug)]
pub(crate) struct AccessToken {
    /// The token: something that git's lines can carry.
    pub(crate) token: Secret,
    /// When it expires, by GitHub's clock.
    pub(crate) expires_at: Timestamp,
    /// What it was granted.
    pub(crate) granted: Granted,
}

impl AccessToken {
    /// Whether git can use it.
    pub(crate) fn is_usable(&self) -> bool {
        may_use_contents(self.granted.permissions.as_ref())
    }
}

/// Why an answer with a token is of no use.
#[derive(Debug)]
pub(crate) enum BadToken {
    /// It is not JSON, or not the JSON of such an answer.
    Malformed(serde_json::Error),
    /// The token holds characters that git's lines cannot carry.
    NotAscii,
    /// The expiry is not a time: this.
    NoTime(String),
}

impl AccessToken {
    /// Reads the answer to a mint. Its fields are called as the vendor says.
    ///
    /// # Errors
    /// See [`BadToken`].
    pub(crate) fn parse(body: &[u8], vendor: &Vendor) -> Result<Self, BadToken> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let fields = Fields { vendor }.deserialize(&mut json);
        let (token, expires_at, granted) =
            fields.and_then(|fields| json.end().map(|()| fields)).map_err(BadToken::Malformed)?;
        if !is_token(token.expose()) {
            return Err(BadToken::NotAscii);
        }
        let Some(expires_at) = Timestamp::parse(&expires_at) else {
            return Err(BadToken::NoTime(
                expires_at.as_str().map_or_else(|| expires_at.to_string(), str::to_owned),
            ));
        };
        Ok(Self { token, expires_at, granted })
    }
}

/// The fields of the answer to a mint. The token goes from the answer to a [`Secret`], with no copy in between.
struct Fields<'v> {
    vendor: &'v Vendor,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = (Secret, Value, Granted);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = (Secret, Value, Granted);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a token")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct FullName {
            #[serde(alias = "fullName")]
            full_name: String,
        }
        let (mut token, mut expires_at, mut granted) = (None, None, Granted::default());
        while let Some(key) = map.next_key::<String>()? {
            if key == self.vendor.token {
                token = Some(map.next_value()?);
            } else if key == self.vendor.expires_at {
                expires_at = Some(map.next_value()?);
            } else if key == "permissions" {
                granted.permissions = permissions(&map.next_value()?);
            } else if key == "repository_selection" || key == "repositorySelection" {
                granted.repository_selection = map.next_value()?;
            } else if key == "repositories" {
                let list: Option<Vec<FullName>> = map.next_value()?;
                granted.repositories = list.map(|list| list.into_iter().map(|it| it.full_name).collect());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        let missing = |name: &str| A::Error::custom(format_args!("missing field {name}"));
        let token = token.ok_or_else(|| missing(&self.vendor.token))?;
        let expires_at = expires_at.ok_or_else(|| missing(&self.vendor.expires_at))?;
        Ok((token, expires_at, granted))
    }
}

/// Permissions in GitHub's way. What else stands there is no reason to refuse an answer.
fn perhaps_permissions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Permissions>, D::Error> {
    Ok(permissions(&Value::deserialize(deserializer)?))
}

fn permissions(value: &Value) -> Option<Permissions> {
    let pair = |(name, level): (&String, &Value)| Some((name.clone(), level.as_str()?.to_owned()));
    value.as_object()?.iter().map(pair).collect()
}

/// A name that becomes a part of a path, of a command or of a section in a configuration: it is one, or the answer is
/// refused.
fn a_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if is_name(&name) { Ok(name) } else { Err(D::Error::custom("not a name")) }
}

fn perhaps_a_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(name) if !is_name(&name) => Err(D::Error::custom("not a name")),
        name => Ok(name),
    }
}

/// An address that a person is told to open.
fn an_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let address = String::deserialize(deserializer)?;
    if is_address(&address) { Ok(address) } else { Err(D::Error::custom("not an address")) }
}

fn perhaps_an_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|address| is_address(address)))
}

fn is_address(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:/%?=&".contains(&byte);
    text.starts_with("https://") && text.bytes().all(plain)
}

/// The number in `/repositories/NUMBER/…`, where GitHub redirects to from an old name.
pub(crate) fn repository_number(url: &str) -> Option<u64> {
    url.split("/repositories/").nth(1)?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_renamed_repository_is_in_the_address() {
        assert_eq!(repository_number("https://api.github.com/repositories/1234/installation"), Some(1234));
        assert_eq!(repository_number("https://ghe.example/api/v3/repositories/7/installation?x"), Some(7));
        assert_eq!(repository_number("https://api.github.com/repos/a/b/installation"), None);
        assert_eq!(repository_number("https://api.github.com/repositories/x/installation"), None);
    }

    #[test]
    fn lifetimes_are_what_github_says() {
        for (text, expected) in [
            ("2027-01-15T08:00:00Z", Some(1_800_000_000)),
            ("2027-01-15T10:00:00+02:00", Some(1_800_000_000)),
            ("2027-01-15T08:00:00.25Z", Some(1_800_000_000)),
            ("2027-01-15", None),
            ("1800000000", Some(1_800_000_000)),
            ("", None),
        ] {
            let body = format!(r#"{{"token": "ghs_x", "expires_at": "{text}"}}"#);
            let expires = AccessToken::parse(body.as_bytes(), &crate::vendor::GITHUB)
                .ok()
                .map(|token| token.expires_at.0);
            assert_eq!(expires, expected, "{text}");
        }
    }
}
