//! GitHub's answers, from foreign bytes to what is used of them.
//!
//! Fields are those of <https://docs.github.com/rest/apps/apps>; all others are skipped.

use serde::Deserialize;

use crate::clock::Timestamp;
use crate::names::{InstallationId, Permissions};
use crate::protocol::can_carry;
use crate::secret::Secret;

/// The most that is shown of a message of the server, in characters.
const MAX_MESSAGE: usize = 200;

/// The App as GitHub knows it.
#[derive(Debug, Deserialize)]
pub struct AppInfo {
    /// The App's name in addresses.
    pub slug: String,
    /// Its public page.
    pub html_url: String,
}

/// An App on an account.
#[derive(Debug, Deserialize)]
pub struct Installation {
    /// Its number.
    pub id: InstallationId,
    /// The page on which an owner manages it.
    pub html_url: Option<String>,
    /// Absent or without a login for installations on an enterprise, which never cover repositories.
    account: Option<Account>,
    suspended_at: Option<String>,
    permissions: Option<Permissions>,
}

#[derive(Debug, Deserialize)]
struct Account {
    login: Option<String>,
}

impl Installation {
    /// Whether git can use a token of this installation.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let on_owner = self.account.as_ref().is_some_and(|account| account.login.is_some());
        on_owner && self.suspended_at.is_none() && may_use_contents(self.permissions.as_ref())
    }
}

/// Without the permission `contents` a token is of no use to git.
fn may_use_contents(permissions: Option<&Permissions>) -> bool {
    permissions.is_none_or(|permissions| permissions.contains_key("contents"))
}

/// A token as it was minted.
#[derive(Debug)]
pub struct AccessToken {
    /// The token: something that git's lines can carry.
    pub token: Secret,
    /// When it expires, by GitHub's clock.
    pub expires_at: Timestamp,
    /// Whether git can use it.
    pub is_usable: bool,
}

/// Why an answer with a token is of no use.
#[derive(Debug)]
pub enum BadToken {
    /// It is not JSON, or not the JSON of such an answer.
    Malformed(serde_json::Error),
    /// The token holds characters that git's lines cannot carry.
    Unspeakable,
    /// The expiry is not a time: this.
    NoTime(String),
}

impl AccessToken {
    /// Reads the answer to a mint.
    ///
    /// # Errors
    /// See [`BadToken`].
    pub fn parse(body: &[u8]) -> Result<Self, BadToken> {
        #[derive(Deserialize)]
        struct Fields {
            token: Secret,
            expires_at: String,
            permissions: Option<Permissions>,
        }
        let Fields { token, expires_at, permissions } =
            serde_json::from_slice(body).map_err(BadToken::Malformed)?;
        if !can_carry(token.expose()) {
            return Err(BadToken::Unspeakable);
        }
        let Ok(time) = expires_at.parse::<jiff::Timestamp>() else {
            return Err(BadToken::NoTime(expires_at));
        };
        let is_usable = may_use_contents(permissions.as_ref());
        Ok(Self { token, expires_at: Timestamp(time.as_second()), is_usable })
    }
}

/// The message of an error in GitHub's form, shortened.
#[must_use]
pub fn complaint(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Complaint {
        message: String,
    }
    let complaint: Complaint = serde_json::from_slice(body).ok()?;
    Some(complaint.message.chars().take(MAX_MESSAGE).collect())
}

/// The number in `/repositories/NUMBER/…`, where GitHub redirects to from an old name.
#[must_use]
pub fn repository_number(url: &str) -> Option<u64> {
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
            ("1800000000", None),
            ("", None),
        ] {
            let body = format!(r#"{{"token": "ghs_x", "expires_at": "{text}"}}"#);
            let expires = AccessToken::parse(body.as_bytes()).ok().map(|token| token.expires_at.0);
            assert_eq!(expires, expected, "{text}");
        }
    }
}
