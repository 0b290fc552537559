//! What differs between GitHub's API for Apps and those of other vendors, as data: paths, fields, headers, a user name.
//!
//! GitHub's is [`GITHUB`]. Another vendor's is the table `[app.api]` of a rule, each key of which is optional.

use std::borrow::Cow;

/// An API for Apps. Paths are below the API's address; `{name}` stands for a value, and an empty path for an endpoint that
/// the API does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vendor {
    /// The App itself.
    pub(crate) app: Text,
    /// The App's installations, in pages.
    pub(crate) installations: Text,
    /// One of them.
    pub(crate) installation: Text,
    pub(crate) installation_of_repository: Text,
    /// For users and organisations.
    pub(crate) installation_of_owner: Text,
    /// Mints a token.
    pub(crate) access_tokens: Text,
    /// Revokes the token that the request is authenticated with.
    pub(crate) revoke: Text,
    /// The repositories that a token is for, in pages.
    pub(crate) repositories: Text,
    /// The user that an App's commits belong to.
    pub(crate) bot: Text,
    /// The field of a mint's answer that has the token.
    pub(crate) token: Text,
    /// The one that has the time when it expires.
    pub(crate) expires_at: Text,
    /// The user name that git needs beside the token.
    pub(crate) username: Text,
    /// What every request says.
    pub(crate) headers: Cow<'static, [(Text, Text)]>,
    /// Whether its answers have GitHub's words in them. Those of others are understood by their status.
    pub(crate) is_github: bool,
    /// The most that is believed of a token's lifetime, in seconds: one clock that is wrong must not make one last longer
    /// here.
    pub(crate) longest_lifetime: i64,
}

type Text = Cow<'static, str>;

/// GitHub's. <https://docs.github.com/rest/apps/apps>
pub(crate) static GITHUB: Vendor = Vendor {
    app: Cow::Borrowed("/app"),
    installations: Cow::Borrowed("/app/installations"),
    installation: Cow::Borrowed("/app/installations/{installation}"),
    installation_of_repository: Cow::Borrowed("/repos/{owner}/{repository}/installation"),
    installation_of_owner: Cow::Borrowed("/users/{owner}/installation"),
    access_tokens: Cow::Borrowed("/app/installations/{installation}/access_tokens"),
    revoke: Cow::Borrowed("/installation/token"),
    repositories: Cow::Borrowed("/installation/repositories"),
    bot: Cow::Borrowed("/users/{slug}%5Bbot%5D"),
    token: Cow::Borrowed("token"),
    expires_at: Cow::Borrowed("expires_at"),
    // <https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation>
    username: Cow::Borrowed("x-access-token"),
    headers: Cow::Borrowed(&GITHUB_HEADERS),
    is_github: true,
    // An hour.
    // <https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app>
    longest_lifetime: 3600,
};

static GITHUB_HEADERS: [(Text, Text); 2] = [
    (Cow::Borrowed("Accept"), Cow::Borrowed("application/vnd.github+json")),
    (Cow::Borrowed("X-GitHub-Api-Version"), Cow::Borrowed("2022-11-28")),
];

/// The most that is believed of another vendor's tokens, in seconds.
pub(crate) const LONGEST_LIFETIME: i64 = 24 * 3600;

/// A key of the table `[app.api]` that has a text.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    slot: fn(&mut Vendor) -> &mut Text,
    kind: Kind,
}

enum Kind {
    /// A path with these placeholders in it, all of them; whether it may be empty.
    Path(&'static [&'static str], MayBeEmpty),
    /// The name of a field.
    Field,
    /// A user name.
    User,
}

type MayBeEmpty = bool;

/// All of them. The table has `headers` beside these.
pub(crate) static KEYS: &[Key] = &[
    Key {
        name: "installation-of-owner",
        slot: |vendor| &mut vendor.installation_of_owner,
        kind: Kind::Path(&["owner"], true),
    },
    Key {
        name: "installation-of-repository",
        slot: |vendor| &mut vendor.installation_of_repository,
        kind: Kind::Path(&["owner", "repository"], true),
    },
    Key { name: "installations", slot: |vendor| &mut vendor.installations, kind: Kind::Path(&[], false) },
    Key {
        name: "access-tokens",
        slot: |vendor| &mut vendor.access_tokens,
        kind: Kind::Path(&["installation"], false),
    },
    Key { name: "token", slot: |vendor| &mut vendor.token, kind: Kind::Field },
    Key { name: "expires-at", slot: |vendor| &mut vendor.expires_at, kind: Kind::Field },
    Key { name: "username", slot: |vendor| &mut vendor.username, kind: Kind::User },
];

/// The key of the table that has what every request says.
pub(crate) const HEADERS: &str = "headers";

impl Vendor {
    /// Another vendor's, as far as nothing is said of it: with GitHub's paths.
    pub(crate) fn other() -> Self {
        Self { is_github: false, longest_lifetime: LONGEST_LIFETIME, ..GITHUB.clone() }
    }

    /// Takes the value of a key. The error says what is wrong with it.
    pub(crate) fn set(&mut self, key: &Key, value: &str) -> Result<(), String> {
        match key.kind {
            Kind::Path(placeholders, may_be_empty) => check_path(value, placeholders, may_be_empty)?,
            Kind::Field => check_word(value, "the name of a field", b"_-.")?,
            Kind::User => check_word(value, "a user name", b"_-.@+")?,
        }
        *(key.slot)(self) = Cow::Owned(value.to_owned());
        Ok(())
    }

    /// Takes the headers. The error says what is wrong with one of them.
    pub(crate) fn set_headers(&mut self, headers: &[(String, String)]) -> Result<(), String> {
        /// What this program says itself, or what the message is made of.
        const OWN: [&str; 8] = [
            "authorization",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "host",
            "transfer-encoding",
            "user-agent",
        ];
        for (name, value) in headers {
            check_word(name, "the name of a header", b"-")?;
            if OWN.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!("the header {name} is not for a configuration to set"));
            }
            if value.is_empty() || !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                return Err(format!("the value of the header {name} is not one line of ASCII"));
            }
        }
        self.headers = headers
            .iter()
            .map(|(name, value)| (Cow::Owned(name.clone()), Cow::Owned(value.clone())))
            .collect::<Vec<_>>()
            .into();
        Ok(())
    }
}

/// The longest text that is taken.
const LONGEST: usize = 200;

fn check_word(text: &str, what: &str, more: &[u8]) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(fits) {
        return Err(format!("{text:?} is not {what}"));
    }
    Ok(())
}

/// A path stays below the API's address: what is put together from both is an address of the same origin.
fn check_path(path: &str, placeholders: &[&str], may_be_empty: bool) -> Result<(), String> {
    if path.is_empty() && may_be_empty {
        return Ok(());
    }
    if !path.starts_with('/') || path.starts_with("//") || path.len() > LONGEST {
        return Err(format!("{path:?} is not a path below api-url"));
    }
    let mut bare = path.to_owned();
    for name in placeholders {
        let placeholder = format!("{{{name}}}");
        if !bare.contains(&placeholder) {
            return Err(format!("{path:?} lacks {placeholder}"));
        }
        bare = bare.replace(&placeholder, "x");
    }
    if let Some((_, rest)) = bare.split_once('{') {
        let unknown = rest.split('}').next().unwrap_or_default();
        let allowed: Vec<String> = placeholders.iter().map(|name| format!("{{{name}}}")).collect();
        let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(" and ") };
        return Err(format!("{path:?} has the placeholder {{{unknown}}}, and there is {allowed}"));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if !bare.bytes().all(fits) || bare.split('/').any(|part| part == "." || part == "..") {
        return Err(format!("{path:?} is not a path below api-url"));
    }
    Ok(())
}

/// A path with its values in place.
pub(crate) fn path(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_api() {
        for good in ["/x/{owner}", "/orgs/{owner}/installation"] {
            assert_eq!(check_path(good, &["owner"], false), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "is not a path below api-url"),
            ("x/{owner}", "is not a path below api-url"),
            ("//evil.example/{owner}", "is not a path below api-url"),
            ("https://evil.example/{owner}", "is not a path below api-url"),
            ("@evil.example/{owner}", "is not a path below api-url"),
            ("/../{owner}", "is not a path below api-url"),
            ("/x/{owner}?y", "is not a path below api-url"),
            ("/x/{owner}#y", "is not a path below api-url"),
            ("/x\\{owner}", "is not a path below api-url"),
            ("/x/{owner}\r\nHost: evil.example", "is not a path below api-url"),
            ("/x/ {owner}", "is not a path below api-url"),
            ("/x", "lacks {owner}"),
            ("/x/{owner}/{repo}", "has the placeholder {repo}, and there is {owner}"),
            ("/x/{owner}/{", "has the placeholder {}, and there is {owner}"),
        ] {
            let message = check_path(bad, &["owner"], false).unwrap_err();
            assert!(message.contains(why), "{message}");
        }
        assert_eq!(check_path("", &["owner"], true), Ok(()));
        assert!(check_path("/x/{owner}", &[], true).unwrap_err().contains("and there is none"));
    }

    #[test]
    fn a_header_is_one_line_and_none_of_ours() {
        let set =
            |name: &str, value: &str| Vendor::other().set_headers(&[(name.to_owned(), value.to_owned())]);
        assert_eq!(set("Accept", "application/json; v=1"), Ok(()));
        for (name, value) in [
            ("Accept", "x\r\nAuthorization: y"),
            ("Accept", ""),
            ("Accept", "ü"),
            ("Acc ept", "x"),
            ("X: y\r\nZ", "x"),
            ("", "x"),
            ("AUTHORIZATION", "Bearer x"),
            ("Host", "evil.example"),
            ("Content-Length", "0"),
        ] {
            assert!(set(name, value).is_err(), "{name}: {value}");
        }
    }
}
