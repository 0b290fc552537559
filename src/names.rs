//! The words of git and GitHub as types: what could be parsed into one is valid from there on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use crate::error::{Error, Result};

/// A host as git names it: lower case, with its port unless that is 443. Hosts are equal or not; there is
/// no "ends with".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(Cow<'static, str>);

/// The host that most rules are for, and its API's origin: neither is built anew for each of them.
const GITHUB: &str = "github.com";
const GITHUB_API: &str = "https://api.github.com";

impl Host {
    /// The host that an App without one belongs to.
    #[must_use]
    pub fn github() -> Self {
        Self(Cow::Borrowed(GITHUB))
    }

    /// Parses `NAME`, `NAME:PORT`, or an IPv6 address in brackets with or without a port.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let (name, port) = match lower.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']')?;
                address.parse::<std::net::Ipv6Addr>().ok()?;
                (&lower[..address.len() + 2], after)
            }
            None => {
                let end = lower.find(':').unwrap_or(lower.len());
                let name = &lower[..end];
                let label = |label: &str| {
                    !label.is_empty()
                        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                };
                if !name.split('.').all(label) {
                    return None;
                }
                (name, &lower[end..])
            }
        };
        match port.strip_prefix(':') {
            None if port.is_empty() => Some(Self(lower.into())),
            Some("443") => Some(Self(name.to_owned().into())),
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse::<u16>().ok().filter(|port| *port != 0)?;
                Some(Self(lower.into()))
            }
            _ => None,
        }
    }

    /// Whether GitHub runs it, and not somebody else as a GitHub Enterprise Server.
    #[must_use]
    pub fn is_on_github_com(&self) -> bool {
        self.0 == GITHUB || self.0.ends_with(".ghe.com")
    }

    /// Where this host's REST API is: `api.github.com`, `api.TENANT.ghe.com`, or `HOST/api/v3` on GitHub
    /// Enterprise Server.
    #[must_use]
    pub fn api(&self) -> ApiUrl {
        let (origin, base) = match &*self.0 {
            GITHUB => (GITHUB_API.into(), ""),
            host if self.is_on_github_com() => (format!("https://api.{host}").into(), ""),
            host => (format!("https://{host}").into(), "/api/v3"),
        };
        ApiUrl { origin, base: base.to_owned() }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a REST API is: always `https`, split into the origin and the path that all endpoints begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiUrl {
    origin: Cow<'static, str>,
    base: String,
}

impl ApiUrl {
    /// Parses an address like `https://github.example.com/api/v3`.
    ///
    /// # Errors
    /// If it is not an `https` address, or has a user, a query or a fragment.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::new(format!("{text:?} is not an https address of an API"));
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().map(ureq::http::uri::Authority::as_str).ok_or_else(wrong)?;
        let host = Host::parse(authority).ok_or_else(wrong)?;
        if uri.scheme_str() != Some("https") || uri.query().is_some() || text.contains('#') {
            return Err(wrong());
        }
        Ok(Self {
            origin: format!("https://{host}").into(),
            base: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Scheme, host and port: what may see the App's JWT.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Host and port, for messages.
    #[must_use]
    pub fn host(&self) -> &str {
        self.origin.trim_start_matches("https://")
    }

    /// The address of an endpoint; `path` begins with a slash.
    #[must_use]
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin, self.base)
    }

    /// Where a redirect leads, if it stays within this origin.
    #[must_use]
    pub fn same_origin(&self, location: &str) -> Option<String> {
        if location.starts_with('/') && !location.starts_with("//") && !location.contains('\\') {
            return Some(format!("{}{location}", self.origin));
        }
        let uri: Uri = location.parse().ok()?;
        let host = Host::parse(uri.authority()?.as_str())?;
        let origin = format!("{}://{host}", uri.scheme_str()?);
        let path = uri.path_and_query().map_or("/", ureq::http::uri::PathAndQuery::as_str);
        (origin == self.origin && path.starts_with('/')).then(|| format!("{origin}{path}"))
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.base)
    }
}

/// A repository's full name, in lower case: GitHub ignores the case of owners and names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repository {
    /// The user or organisation.
    pub owner: String,
    /// The name within the owner's repositories.
    pub name: String,
}

impl Repository {
    /// Parses `OWNER/NAME`.
    #[must_use]
    pub fn parse(full_name: &str) -> Option<Self> {
        let (owner, name) = full_name.split_once('/')?;
        (is_name(owner) && is_name(name))
            .then(|| Self { owner: owner.to_ascii_lowercase(), name: name.to_ascii_lowercase() })
    }

    /// The repository that a path of a git or LFS address belongs to; a wiki belongs to its repository.
    /// `None` if it is not a repository's path, a gist's for example.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let path = path.trim_matches('/');
        let path = path.find("/info/lfs").map_or(path, |end| &path[..end]).trim_end_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let repository = Self::parse(path.strip_suffix(".wiki").unwrap_or(path))?;
        // Where a server has no host of its own for gists they are below this name, which no owner can have.
        (repository.owner != "gist").then_some(repository)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// Whether the text can be the name of an owner or a repository.
#[must_use]
pub fn is_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The number of an App's installation on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallationId(pub u64);

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a lookup of an installation led.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The installation.
    pub installation: InstallationId,
    /// The repository's number, known only if GitHub redirected from an old name: that name is of no use for
    /// narrowing a token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repository_id: Option<u64>,
}

/// What a token is narrowed to. The default is everything that the installation may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The one repository that the token is for.
    pub repository: Option<RepositoryRef>,
    /// Permission names and their levels; empty: all that the installation has.
    pub permissions: Permissions,
}

/// Permission names (`contents`, …) and their levels (`read`, `write`, `admin`).
pub type Permissions = BTreeMap<String, String>;

/// What GitHub says that a token may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// Its permissions, if GitHub says so.
    pub permissions: Option<Permissions>,
    /// `all` or `selected`: the repositories of the installation, or some of them.
    pub repository_selection: Option<String>,
    /// The full names of the repositories, if the token was narrowed to some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
}

impl Granted {
    /// Whether git can use the token.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        may_use_contents(self.permissions.as_ref())
    }
}

/// Without the permission `contents` a token is of no use to git.
#[must_use]
pub fn may_use_contents(permissions: Option<&Permissions>) -> bool {
    permissions.is_none_or(|permissions| permissions.contains_key("contents"))
}

/// How a repository is named when a token is minted for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepositoryRef {
    /// By its name, without the owner.
    Name(String),
    /// By its number: what stays the same after a rename.
    Id(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_lower_cased_and_lose_only_the_default_port() {
        for (text, host) in [
            ("github.com", Some("github.com")),
            ("GitHub.COM", Some("github.com")),
            ("github.com:443", Some("github.com")),
            ("ghe.example:8443", Some("ghe.example:8443")),
            ("127.0.0.1:1", Some("127.0.0.1:1")),
            ("[::1]:8443", Some("[::1]:8443")),
            ("[::1]:443", Some("[::1]")),
            ("github.com.", None),
            (".github.com", None),
            ("github..com", None),
            ("github.com:", None),
            ("github.com:0", None),
            ("github.com:65536", None),
            ("github.com:+1", None),
            ("user@github.com", None),
            ("github.com/x", None),
            ("https://github.com", None),
            ("gïthub.com", None),
            ("[::1", None),
            ("[x]:1", None),
            ("", None),
        ] {
            assert_eq!(Host::parse(text).map(|h| h.to_string()).as_deref(), host, "{text}");
        }
    }

    #[test]
    fn each_kind_of_host_has_its_api() {
        for (host, api) in [
            ("github.com", "https://api.github.com"),
            ("acme.ghe.com", "https://api.acme.ghe.com"),
            ("ghe.com", "https://ghe.com/api/v3"),
            ("evil-ghe.com", "https://evil-ghe.com/api/v3"),
            ("github.com.example", "https://github.com.example/api/v3"),
            ("git.example:8443", "https://git.example:8443/api/v3"),
        ] {
            assert_eq!(Host::parse(host).unwrap().api().to_string(), api);
        }
    }

    #[test]
    fn api_addresses_are_https_and_nothing_but_an_address() {
        let api = ApiUrl::parse("https://GHE.example:8443/api/v3/").unwrap();
        assert_eq!(api.endpoint("/app"), "https://ghe.example:8443/api/v3/app");
        for wrong in [
            "http://a.example",
            "a.example",
            "https://u:p@a.example",
            "https://a.example/?x",
            "https:///x",
            "",
        ] {
            assert!(ApiUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn redirects_stay_within_the_origin() {
        let api = ApiUrl::parse("https://api.github.com").unwrap();
        assert_eq!(api.same_origin("/repositories/7").unwrap(), "https://api.github.com/repositories/7");
        assert_eq!(
            api.same_origin("https://API.github.com:443/repositories/7?x=1").unwrap(),
            "https://api.github.com/repositories/7?x=1"
        );
        for elsewhere in [
            "https://api.github.com.evil.example/x",
            "https://api.github.com@evil.example/x",
            "https://api.github.com:8443/x",
            "http://api.github.com/x",
            "//evil.example/x",
            "https://api.github.com?x/repositories/7",
            "/\\evil.example/x",
            "repositories/7",
            "",
        ] {
            assert_eq!(api.same_origin(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn paths_lead_to_their_repository() {
        for path in [
            "acme/widgets",
            "acme/widgets.git",
            "Acme/Widgets.git/",
            "/acme/widgets",
            "acme/widgets.wiki.git",
            "acme/widgets.git/info/lfs",
            "acme/widgets.git/info/lfs/objects/batch",
            "acme/widgets/info/lfs",
        ] {
            assert_eq!(Repository::from_path(path).unwrap().to_string(), "acme/widgets", "{path}");
        }
        for path in [
            "",
            "/",
            "acme",
            "acme/",
            "acme/..",
            "../widgets",
            "acme/.git",
            "a/b/c",
            "gist/0123/x.git",
            "gist/0123456789abcdef",
            "acme/wid gets",
            "acme/wid%2fgets",
            "acme//widgets",
            "acme/widgets?x",
            "äcme/widgets",
            ".git",
        ] {
            assert_eq!(Repository::from_path(path), None, "{path}");
        }
    }
}
