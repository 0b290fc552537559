//! Which proxy is used for a host.

use std::ffi::OsString;

use ureq::Proxy;

use crate::error::{Error, Result};
use crate::world::Variables;

/// The proxy for `host`, by git's rules and then by curl's.
pub(super) fn proxy(
    host: &str,
    configured: Option<&str>,
    variables: &Variables<'_>,
) -> Result<Option<Proxy>> {
    let first = |names: &[&str]| names.iter().find_map(|name| variables.path(name));
    let text = |value: OsString| value.to_string_lossy().into_owned();
    // An empty http.proxy means: none, whatever the environment says.
    let (address, place) = match configured {
        Some(address) => (address.to_owned(), "http.proxy"),
        None => match first(&["https_proxy", "HTTPS_PROXY"]).or_else(|| first(&["all_proxy", "ALL_PROXY"])) {
            Some(address) => (text(address), "HTTPS_PROXY or ALL_PROXY"),
            None => return Ok(None),
        },
    };
    let excluded = first(&["no_proxy", "NO_PROXY"]).map(text).unwrap_or_default();
    if address.is_empty() || is_excluded(host, &excluded) {
        return Ok(None);
    }
    // The address may hold a password, so it is not shown.
    Proxy::new(&address).map(Some).map_err(|_| {
        Error::new(format!("the proxy address in {place} is not usable"))
            .hint("write it like http://proxy.example:3128; http, https, socks4, socks4a, socks5 and socks5h are supported")
    })
}

/// Whether the list excludes the host: `*`, the host itself, or a domain that it lies in.
fn is_excluded(host: &str, list: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    list.split([',', ' ']).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.trim_start_matches("*.").trim_start_matches('.').trim_matches(['[', ']']);
        let entry = entry.to_ascii_lowercase();
        entry == "*" || name == entry || name.strip_suffix(&entry).is_some_and(|rest| rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_names_hosts_and_domains_on_label_boundaries() {
        for (list, excluded) in [
            ("api.github.com", true),
            ("github.com", true),
            (".github.com", true),
            ("*.github.com", true),
            ("localhost, github.com", true),
            ("a b GitHub.com", true),
            ("*", true),
            ("hub.com", false),
            ("api.github.co", false),
            ("", false),
            (",", false),
        ] {
            assert_eq!(is_excluded("api.github.com", list), excluded, "{list}");
        }
        assert!(is_excluded("127.0.0.1:8443", "127.0.0.1"));
        assert!(is_excluded("[::1]:8443", "::1"));
    }

    #[test]
    fn proxies_are_chosen_as_git_and_curl_choose_them() {
        let chosen = |git: Option<&str>, env: &[(&str, &str)]| {
            let lookup = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            proxy("api.github.com", git, &Variables(&lookup)).map(|p| p.map(|p| p.uri().to_string()))
        };
        let http = |host: &str| Some(format!("http://{host}/"));
        assert_eq!(chosen(None, &[]).unwrap(), None);
        assert_eq!(chosen(Some("http://git:1"), &[("https_proxy", "http://env:2")]).unwrap(), http("git:1"));
        assert_eq!(chosen(Some(""), &[("https_proxy", "http://env:2")]).unwrap(), None);
        assert_eq!(
            chosen(None, &[("ALL_PROXY", "http://a:1"), ("HTTPS_PROXY", "http://h:2")]).unwrap(),
            http("h:2")
        );
        assert_eq!(chosen(None, &[("ALL_PROXY", "a:1")]).unwrap(), http("a:1"));
        assert_eq!(chosen(None, &[("http_proxy", "http://h:2")]).unwrap(), None);
        assert_eq!(chosen(Some("http://git:1"), &[("NO_PROXY", "x, github.com")]).unwrap(), None);
        assert_eq!(chosen(None, &[("https_proxy", "socks5h://s:1")]).unwrap().unwrap(), "socks5h://s:1/");
        let wrong = chosen(None, &[("https_proxy", "gopher://user:s3cret@p:1")]).unwrap_err();
        assert_eq!(wrong.message(), "the proxy address in HTTPS_PROXY or ALL_PROXY is not usable");
    }
}
