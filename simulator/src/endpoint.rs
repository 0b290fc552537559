//! What this GitHub can be asked, one line an endpoint. Faults and counts name requests by it, so that a name
//! that no request could have is a mistake at once and not a fault that never happens.

use std::fmt;
use std::str::FromStr;

use crate::rest::api_path;

/// The REST API, below `https://api.github.com` or `https://HOST/api/v3`.
const API: &[&str] = &[
    "GET /app",
    "POST /app-manifests/{code}/conversions",
    "GET /app/installations",
    "GET /app/installations/{id}",
    "GET /app/organizations/{org}/installation",
    "POST /app/installations/{id}/accessTokens",
    "POST /app/installations/{id}/access_tokens",
    "GET /installation/repositories",
    "DELETE /installation/token",
    "GET /meta",
    "GET /orgs/{org}/installation",
    "GET /repos/{owner}/{repo}",
    "GET /repos/{owner}/{repo}/installation",
    "GET /repositories/{id}/installation",
    "GET /users/{name}",
    "GET /users/{name}/installation",
];

/// git's server, LFS, the files of releases, and the pages on which Apps are registered and installed. A repository's name is
/// the same with and without `.git`.
const WEB: &[&str] = &[
    "GET /{owner}/{repo}.git/info/refs",
    "POST /{owner}/{repo}.git/git-upload-pack",
    "POST /{owner}/{repo}.git/git-receive-pack",
    "POST /{owner}/{repo}.git/info/lfs/objects/batch",
    "POST /{owner}/{repo}.git/info/lfs/locks/verify",
    "GET /_lfs/{oid}",
    "PUT /_lfs/{oid}",
    "POST /settings/apps/new",
    "POST /settings/apps",
    "POST /organizations/{org}/settings/apps/new",
    "POST /organizations/{org}/settings/apps",
    "GET /apps/{slug}/installations/new",
    "POST /apps/{slug}/installations",
    "GET /github-apps/{slug}/installations/new",
    "POST /github-apps/{slug}/installations",
    "GET /{owner}/{repo}/releases/latest/download/{file}",
    "GET /{owner}/{repo}/releases/download/{tag}/{file}",
];

/// Requests of one kind: a method and a route, as GitHub's documentation writes it:
/// `POST /app/installations/{id}/access_tokens`. Where a name or a number stands instead of `{…}`, only the
/// requests with this one are meant. The query is not part of it.
///
/// <https://docs.github.com/en/rest/apps/apps>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    method: String,
    /// Whether it is the REST API's.
    api: bool,
    segments: Vec<String>,
}

/// No request can have this method and route.
#[derive(Clone, Debug)]
pub struct NoSuchEndpoint(String);

impl fmt::Display for NoSuchEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no endpoint of the simulator; it has these:", self.0)?;
        API.iter().chain(WEB).try_for_each(|known| write!(f, "\n  {known}"))
    }
}

impl std::error::Error for NoSuchEndpoint {}

impl FromStr for Endpoint {
    type Err = NoSuchEndpoint;

    fn from_str(text: &str) -> Result<Self, NoSuchEndpoint> {
        let no_such = || NoSuchEndpoint(text.to_owned());
        let (method, route) = text.split_once(' ').ok_or_else(no_such)?;
        for (api, known) in [(true, API), (false, WEB)] {
            let segments = segments(api, route);
            let is_of = |known: &&str| {
                known.split_once(' ').is_some_and(|(its_method, its_route)| {
                    its_method == method && meets(&self::segments(api, its_route), &segments)
                })
            };
            if known.iter().any(is_of) {
                return Ok(Self { method: method.to_owned(), api, segments });
            }
        }
        Err(no_such())
    }
}

impl Endpoint {
    /// Whether a request with this host, method and path is of this kind.
    #[must_use]
    pub fn matches(&self, host: &str, method: &str, path: &str) -> bool {
        let (api, path) = match api_path(host, path) {
            Some(path) => (true, path),
            None => (false, path),
        };
        self.api == api && self.method == method && meets(&self.segments, &segments(api, path))
    }
}

fn segments(api: bool, path: &str) -> Vec<String> {
    let path = path.split('?').next().unwrap_or(path);
    let mut segments: Vec<String> = path.trim_start_matches('/').split('/').map(str::to_owned).collect();
    if !api && let Some(repository) = segments.get_mut(1) {
        *repository = repository.strip_suffix(".git").unwrap_or(repository).to_owned();
    }
    segments
}

/// Whether the path is the route, segment by segment.
fn meets(route: &[String], path: &[String]) -> bool {
    let same = |(route, path): (&String, &String)| {
        (route.starts_with('{') && !path.is_empty()) || route.eq_ignore_ascii_case(path)
    };
    route.len() == path.len() && route.iter().zip(path).all(same)
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn an_endpoint_meets_its_requests_on_every_kind_of_host_and_no_others() {
        let mint: Endpoint = "POST /app/installations/{id}/access_tokens".parse().unwrap();
        assert!(mint.matches("api.github.com", "POST", "/app/installations/4201/access_tokens"));
        assert!(mint.matches("ghe.example", "POST", "/api/v3/app/installations/4201/access_tokens?x=1"));
        assert!(!mint.matches("ghe.example", "POST", "/app/installations/4201/access_tokens"));
        assert!(!mint.matches("api.github.com", "GET", "/app/installations/4201/access_tokens"));
        assert!(!mint.matches("api.github.com", "POST", "/app/installations//access_tokens"));
        let probe: Endpoint = "GET /acme/{repo}.git/info/refs".parse().unwrap();
        assert!(probe.matches("github.com", "GET", "/Acme/widgets.git/info/refs?service=git-upload-pack"));
        assert!(probe.matches("github.com", "GET", "/acme/widgets/info/refs"));
        assert!(!probe.matches("github.com", "GET", "/globex/gears.git/info/refs"));
    }

    #[test]
    fn what_no_request_can_be_is_refused() {
        for text in [
            "/access_tokens",
            "POST /app/installations/{id}",
            "GET /repos/{owner}",
            "PUT /a/b/info/refs",
            "POST /{owner}/{repo}/info/lfs/",
        ] {
            let refused = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(refused.contains("\n  DELETE /installation/token\n"), "{refused}");
        }
    }
}
