//! How the API is reached: git's own network settings, so that whoever can clone can mint.
//!
//! git's rules are in git-config(1), section http.*, and in its source, http.c; those of the proxy variables
//! in curl(1), section ENVIRONMENT.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use crate::error::{Error, Result, cause};
use crate::git;
use crate::world::{Variables, World};

/// How long a connection may take to be there, name lookup and proxy included.
const CONNECT: Duration = Duration::from_secs(10);

/// Builds an agent that is set up for one address, which ends with a slash.
///
/// # Errors
/// If a named CA cannot be read, or a proxy's address is not usable.
pub(crate) fn agent(address: &str, world: &World<'_>) -> Result<Agent> {
    let World { variables, terminal, .. } = world;
    let home = world.folders.home.as_deref();
    let git = GitHttp::read(address);
    let host = address.trim_start_matches("https://").split('/').next().unwrap_or_default();
    let no_verify = is_unverified(&git, variables);
    if no_verify {
        terminal.warning(
            &Error::new(format!("the certificate of {host} is not checked, as git's configuration says"))
                .hint("name the CA instead: git config --global http.sslCAInfo FILE"),
        );
    }
    let roots = match named_roots(&git, variables, home)? {
        Some(named) => RootCerts::Specific(Arc::new(named.certificates)),
        None => RootCerts::PlatformVerifier,
    };
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(roots)
        .disable_verification(no_verify)
        .build();
    let agent = Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(proxy(host, &git, variables)?)
        .timeout_connect(Some(CONNECT))
        .user_agent(concat!("git-credential-ghapp/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(agent.into())
}

/// How an address is reached, in words for a person.
#[derive(Debug)]
pub(crate) struct Description {
    /// The proxy and where it is named, if there is one.
    pub(crate) proxy: Option<String>,
    /// Whose CAs are trusted.
    pub(crate) roots: String,
    /// Whether certificates are not checked at all.
    pub(crate) unverified: bool,
}

/// Tells how an address is reached, without the password that a proxy's address may hold.
///
/// # Errors
/// If a named CA cannot be read, or a proxy's address is not usable.
pub(crate) fn describe(address: &str, world: &World<'_>) -> Result<Description> {
    let variables = &world.variables;
    let home = world.folders.home.as_deref();
    let git = GitHttp::read(address);
    let host = address.trim_start_matches("https://").split('/').next().unwrap_or_default();
    let roots = match named_roots(&git, variables, home)? {
        Some(NamedRoots { certificates, places }) => {
            let places: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
            format!("{} CAs of {}", certificates.len(), places.join(" and "))
        }
        None => "the system's CAs".to_owned(),
    };
    let proxy = proxy(host, &git, variables)?;
    Ok(Description {
        proxy: proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port())),
        roots,
        unverified: is_unverified(&git, variables),
    })
}

fn is_unverified(git: &GitHttp, variables: &Variables<'_>) -> bool {
    variables.path("GIT_SSL_NO_VERIFY").is_some() || git.ssl_verify.as_deref().is_some_and(is_false)
}

/// git's settings for one address.
#[derive(Debug, Default)]
struct GitHttp {
    proxy: Option<String>,
    ssl_ca_info: Option<String>,
    ssl_ca_path: Option<String>,
    ssl_verify: Option<String>,
}

impl GitHttp {
    /// Asks git itself, which knows its files, scopes and includes. Without git there are no settings of git's.
    fn read(address: &str) -> Self {
        let said = git::call(["config", "--null", "--get-urlmatch", "http", address]);
        // git answers with status 1 where nothing is configured.
        said.map_or_else(|_| Self::default(), |said| Self::parse(said.stdout.as_bytes()))
    }

    /// `key LF value NUL`, or only `key NUL` for a key that stands without a value, which means true.
    fn parse(output: &[u8]) -> Self {
        let mut settings = Self::default();
        for record in output.split(|byte| *byte == 0) {
            let Ok(record) = std::str::from_utf8(record) else { continue };
            let (key, value) = record.split_once('\n').unwrap_or((record, "true"));
            let slot = match key {
                "http.proxy" => &mut settings.proxy,
                "http.sslcainfo" => &mut settings.ssl_ca_info,
                "http.sslcapath" => &mut settings.ssl_ca_path,
                "http.sslverify" => &mut settings.ssl_verify,
                _ => continue,
            };
            *slot = Some(value.to_owned());
        }
        settings
    }
}

/// git's way to write "false".
fn is_false(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "no" | "off" | "0" | "")
}

/// The file and the folder of CAs that git or the environment name.
fn named_file_and_folder(
    git: &GitHttp,
    variables: &Variables<'_>,
    home: Option<&Path>,
) -> (Option<PathBuf>, Option<PathBuf>) {
    let configured =
        |value: &Option<String>| value.as_deref().filter(|v| !v.is_empty()).map(|v| expand(v, home));
    let variable = |name| variables.path(name).map(PathBuf::from);
    let mut file = variable("GIT_SSL_CAINFO").or_else(|| configured(&git.ssl_ca_info));
    let mut folder = variable("GIT_SSL_CAPATH").or_else(|| configured(&git.ssl_ca_path));
    if file.is_none() && folder.is_none() {
        file = variable("SSL_CERT_FILE");
        folder = variable("SSL_CERT_DIR");
        if file.is_none() && cfg!(target_os = "linux") {
            // The platform verifier reads SSL_CERT_DIR itself, which may be a list of folders.
            folder = None;
        }
    }
    (file, folder)
}

/// CAs, and where they are from.
struct NamedRoots {
    certificates: Vec<Certificate<'static>>,
    places: Vec<PathBuf>,
}

/// The CAs that git or the environment name. They take the place of the system's, as they do in git.
fn named_roots(git: &GitHttp, variables: &Variables<'_>, home: Option<&Path>) -> Result<Option<NamedRoots>> {
    let (file, folder) = named_file_and_folder(git, variables, home);
    if file.is_none() && folder.is_none() {
        return Ok(None);
    }
    let mut certificates = Vec::new();
    if let Some(file) = &file {
        certificates.extend(certificates_in(file).map_err(|why| unusable(file, &why))?);
    }
    if let Some(folder) = &folder {
        let entries = std::fs::read_dir(folder).map_err(|e| unusable(folder, &cause(&e)))?;
        for entry in entries.flatten() {
            // Such folders also hold lists of revoked certificates, and links that lead nowhere.
            certificates.extend(certificates_in(&entry.path()).unwrap_or_default());
        }
    }
    let places: Vec<PathBuf> = file.into_iter().chain(folder).collect();
    match places.first() {
        Some(path) if certificates.is_empty() => {
            Err(unusable(path, "there is no certificate in PEM format in it"))
        }
        _ => Ok(Some(NamedRoots { certificates, places })),
    }
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::new(format!("cannot use the CA certificates in {}: {why}", path.display())).hint(
        "they are named by http.sslCAInfo, http.sslCAPath, GIT_SSL_CAINFO, GIT_SSL_CAPATH or SSL_CERT_FILE",
    )
}

fn certificates_in(path: &Path) -> std::result::Result<Vec<Certificate<'static>>, String> {
    let pem = crate::files::read(path).map_err(|e| cause(&e))?;
    CertificateDer::pem_slice_iter(&pem)
        .map(|der| {
            der.map(|der| Certificate::from_der(&der).to_owned()).map_err(|_| "it is damaged".to_owned())
        })
        .collect()
}

fn expand(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// The proxy for `host`, by git's rules and then by curl's.
fn proxy(host: &str, git: &GitHttp, variables: &Variables<'_>) -> Result<Option<Proxy>> {
    let first = |names: &[&str]| names.iter().find_map(|name| variables.path(name));
    let text = |value: OsString| value.to_string_lossy().into_owned();
    // An empty http.proxy means: none, whatever the environment says.
    let (address, place) = match &git.proxy {
        Some(address) => (address.clone(), "http.proxy"),
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
            .hint("write it like http://proxy.example:3128; http, https, socks4, socks4a, socks5 and socks5h are known")
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
    fn git_answers_are_read_with_and_without_values() {
        let git =
            GitHttp::parse(b"http.proxy\nhttp://p:1\0http.sslverify\0http.sslcainfo\n~/ca.pem\0http.x\ny\0");
        assert_eq!(git.proxy.as_deref(), Some("http://p:1"));
        assert_eq!(git.ssl_verify.as_deref(), Some("true"));
        assert_eq!(git.ssl_ca_info.as_deref(), Some("~/ca.pem"));
        assert_eq!(expand("~/ca.pem", Some(Path::new("/home/u"))), Path::new("/home/u/ca.pem"));
    }

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
            let git = GitHttp { proxy: git.map(str::to_owned), ..GitHttp::default() };
            let lookup = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            proxy("api.github.com", &git, &Variables(&lookup)).map(|p| p.map(|p| p.uri().to_string()))
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
