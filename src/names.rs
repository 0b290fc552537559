//! The words of git and GitHub as types: what could be parsed into one is valid from there on.

mod address;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use crate::error::{Error, Result};

pub(crate) use address::{host_of, redacted, userinfo, without_user};

/// A host as git names it: lower case, with its port unless that is 443. Hosts are equal or not; there is
/// no "ends with".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host(Cow<'static, str>);

/// The host that most rules are for, and its API's origin: neither is built anew for each of them.
const GITHUB: &str = "github.com";
const GITHUB_API: &str = "https://api.github.com";

impl Host {
    /// The host that an App without one belongs to.
    pub(crate) fn github() -> Self {
        Self(Cow::Borrowed(GITHUB))
    }

    /// Parses `NAME`, `NAME:PORT`, or an IPv6 address in brackets with or without a port.
    pub(crate) fn parse(text: &str) -> Option<Self> {
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
    pub(crate) fn is_on_github_com(&self) -> bool {
        self.0 == GITHUB || self.0.ends_with(".ghe.com")
    }

    /// Where this host's REST API is: `api.github.com`, `api.TENANT.ghe.com`, or `HOST/api/v3` on GitHub
    /// Enterprise Server.
    pub(crate) fn api(&self) -> ApiUrl {
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
pub(crate) struct ApiUrl {
    origin: Cow<'static, str>,
    base: String,
}

impl ApiUrl {
    /// Parses an address like `https://github.example.com/api/v3`.
    ///
    /// # Errors
    /// If it is not an `https` address, or has a user, a query or a fragment.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::new(format!("{:?} is not an https address of an API", redacted(text)));
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
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Host and port, for messages.
    pub(crate) fn host(&self) -> &str {
        self.origin.trim_start_matches("https://")
    }

    /// The address of an endpoint; `path` begins with a slash.
    pub(crate) fn endpoint(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin, self.base)
    }

    /// The path of an address below this one, with its slash; `None` if it is elsewhere.
    pub(crate) fn path_below<'u>(&self, url: &'u str) -> Option<&'u str> {
        let path = url.strip_prefix(&*self.origin)?.strip_prefix(self.base.as_str())?;
        path.starts_with('/').then_some(path)
    }

    /// Where a redirect leads, if it stays within this origin.
    pub(crate) fn same_origin(&self, location: &str) -> Option<String> {
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
pub(crate) struct Repository {
    /// The user or organisation.
    pub(crate) owner: String,
    /// The name within the owner's repositories.
    pub(crate) name: String,
}

impl Repository {
    /// Parses `OWNER/NAME`.
    pub(crate) fn parse(full_name: &str) -> Option<Self> {
        let (owner, name) = full_name.split_once('/')?;
        Self::of(owner, name)
    }

    fn of(owner: &str, name: &str) -> Option<Self> {
        (is_name(owner) && is_name(name))
            .then(|| Self { owner: owner.to_ascii_lowercase(), name: name.to_ascii_lowercase() })
    }

    /// The repository that a path of a git or LFS address belongs to; a wiki belongs to its repository.
    /// `None` if it is not a repository's path, a gist's for example, or if a server could take it for that of another one:
    /// whatever follows the repository is `/info/lfs` and plain names, nothing encoded, and no steps up.
    pub(crate) fn from_path(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let [owner, name, rest @ ..] = segments.as_slice() else { return None };
        let is_of_lfs = rest.starts_with(&["info", "lfs"]) && rest.iter().all(|segment| is_name(segment));
        if !rest.is_empty() && !is_of_lfs {
            return None;
        }
        let name = name.strip_suffix(".git").unwrap_or(name);
        let name = name.strip_suffix(".wiki").unwrap_or(name);
        let repository = Self::of(owner, name)?;
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
pub(crate) fn is_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The name that somebody who typed another word may have meant: the nearest, if no more than a letter in four is wrong,
/// missing, superfluous, or swapped with the next one.
pub(crate) fn nearest<'k>(typed: &str, names: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let distance = |word: &&str| strsim::damerau_levenshtein(typed, word);
    let nearest = names.min_by_key(distance)?;
    (distance(&nearest) <= (nearest.len() / 4).max(1)).then_some(nearest)
}

/// An App's installation on a host, as the host calls it: GitHub by a number, others by a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InstallationId(String);

impl InstallationId {
    /// Parses a number or a name. It becomes a part of a path.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        const LONGEST: usize = 100;
        (is_name(text) && text.len() <= LONGEST).then(|| Self(text.to_owned()))
    }

    /// Whether it is a number, as all of GitHub's are.
    pub(crate) fn is_number(&self) -> bool {
        self.number().is_some()
    }

    /// The number, if it is one.
    fn number(&self) -> Option<u64> {
        self.0.parse().ok().filter(|number: &u64| number.to_string() == self.0)
    }
}

impl From<u64> for InstallationId {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for InstallationId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.number() {
            Some(number) => serializer.serialize_u64(number),
            None => serializer.serialize_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for InstallationId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(number.into()),
            Written::Text(text) => {
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an installation"))
            }
        }
    }
}

/// An installation as a lookup found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstallationRef {
    pub(crate) id: InstallationId,
    /// The repository's number, known only if GitHub redirected from an old name: that name is of no use for
    /// narrowing a token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) repository_id: Option<u64>,
}

impl From<InstallationId> for InstallationRef {
    fn from(id: InstallationId) -> Self {
        Self { id, repository_id: None }
    }
}

/// What git or a person asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Repository(Host, Repository),
    /// A user or an organisation, in lower case.
    Owner(Host, String),
    /// The host as a whole, which is enough where only one installation can be meant.
    Host(Host),
}

impl Place {
    /// What kind of place it is, and its name within the host.
    pub(crate) fn kind_and_name(&self) -> (&'static str, String) {
        match self {
            Self::Repository(_, repository) => ("repository", repository.to_string()),
            Self::Owner(_, owner) => ("owner", owner.clone()),
            Self::Host(_) => ("only", String::new()),
        }
    }

    pub(crate) fn host(&self) -> &Host {
        match self {
            Self::Repository(host, _) | Self::Owner(host, _) | Self::Host(host) => host,
        }
    }

    pub(crate) fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Repository(_, repository) => Some(repository),
            Self::Owner(..) | Self::Host(_) => None,
        }
    }

    pub(crate) fn owner(&self) -> Option<&str> {
        match self {
            Self::Repository(_, repository) => Some(&repository.owner),
            Self::Owner(_, owner) => Some(owner),
            Self::Host(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(host, repository) => write!(f, "https://{host}/{repository}"),
            Self::Owner(host, owner) => write!(f, "https://{host}/{owner}"),
            Self::Host(host) => write!(f, "https://{host}"),
        }
    }
}
