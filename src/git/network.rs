//! How GitHub is reached: by git's own network settings, so that whoever can clone can mint.
//!
//! They come from git's protected configuration only: system, global, command line and environment. (git-config(1), section
//! SCOPES) A repository's is anybody's, even that of a folder with files that look like a bare repository.
//!
//! git's rules are in git-config(1), section http.*, and in its source, http.c; those of the proxy variables
//! in curl(1), section ENVIRONMENT.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::config::Config;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Proxy};
use zeroize::Zeroizing;

use super::resolver::NameLookup;
use crate::error::{Error, Result, cause};
use crate::git;
use crate::terminal::Terminal;
use crate::world::{Variables, World};

/// How long a connection may take to be there, name lookup and proxy included.
const CONNECT: Duration = Duration::from_secs(10);

/// A way to a server, by git's settings.
pub(crate) struct Way {
    pub(crate) agent: Agent,
    /// Whether the server's certificate is checked. Where it is not, what the server says proves nothing.
    pub(crate) verified: bool,
    /// The proxy in between, if there is one.
    pub(crate) proxy: Option<Proxy>,
}

/// Prepares the way to one address, which ends with a slash. `gits_address` is where git itself goes: the proxy, the CAs
/// and the client certificate for that are the ones for this address too, unless there are others for exactly this one.
///
/// # Errors
/// If git cannot read its configuration, if a named certificate cannot be read, if a proxy's address is not usable, or if git
/// is told to check something that this program cannot check.
pub(crate) fn way(address: &str, gits_address: &str, world: &World<'_>) -> Result<Way> {
    let (config, verified) = config(address, gits_address, world)?;
    let proxy = config.proxy().cloned();
    let agent = Agent::with_parts(config, DefaultConnector::new(), NameLookup);
    Ok(Way { agent, verified, proxy })
}

/// An agent for git's own address, which begins to connect now, so that the first request need not wait for that.
///
/// # Errors
/// As [`way`].
pub(crate) fn agent_ahead(address: &str, world: &World<'_>) -> Result<Agent> {
    let (config, _) = config(address, address, world)?;
    let server = address.parse().map_err(|_| Error::new(format!("{address} is not a usable address")))?;
    Ok(super::ahead::agent(config, server, CONNECT))
}

/// What a process must be allowed to talk to a server, in MiB. It takes about half. With less an allocation fails somewhere
/// on the way, and that ends a program before it can tell git anything.
#[cfg(unix)]
const LEAST_MEMORY: u64 = 48;

/// An error if this process may not have the memory that talking to a server takes. (setrlimit(2), `RLIMIT_AS`)
#[cfg(unix)]
fn check_memory() -> Result<()> {
    use rustix::process::{Resource, getrlimit};
    match getrlimit(Resource::As).current.map(|bytes| bytes >> 20) {
        Some(allowed) if allowed < LEAST_MEMORY => {
            let what = format!(
                "this process may have {allowed} MiB of memory, and needs {LEAST_MEMORY} MiB to talk to a server"
            );
            Err(Error::new(what).hint("raise the limit: ulimit -v"))
        }
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn check_memory() -> Result<()> {
    Ok(())
}

/// How a server is reached, and whether its certificate is checked.
fn config(address: &str, gits_address: &str, world: &World<'_>) -> Result<(Config, bool)> {
    check_memory()?;
    let settings = Settings::read(address, gits_address, world)?;
    settings.warn_of_unheeded(&world.terminal);
    settings.refuse_what_cannot_be_done()?;
    let unverified = settings.is_unverified();
    if unverified {
        let host = settings.host;
        world.terminal.warning(
            &Error::new(format!("the certificate of {host} is not checked, as git's configuration says"))
                .hint("name the CA instead: git config --global http.sslCAInfo FILE"),
        );
    }
    let roots = match settings.named_roots()? {
        Some(named) => RootCerts::Specific(Arc::new(named.certificates)),
        None => RootCerts::PlatformVerifier,
    };
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(settings.crypto_provider()))
        .root_certs(roots)
        .client_cert(settings.client_certificate()?.map(|found| found.certificate))
        .disable_verification(unverified)
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(settings.proxy()?)
        .timeout_connect(Some(CONNECT))
        .user_agent(concat!("git-credential-ghapp/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok((config, !unverified))
}

/// How an address is reached, in words for a person.
#[derive(Debug)]
pub(crate) struct Description {
    /// The proxy and where it is named, if there is one.
    pub(crate) proxy: Option<String>,
    /// Whose CAs are trusted, and with which certificate the client shows who it is.
    pub(crate) certificates: String,
    /// Whether certificates are not checked at all.
    pub(crate) unverified: bool,
}

/// Tells how an address is reached, without the password that a proxy's address may hold.
///
/// # Errors
/// As [`way`].
pub(crate) fn describe(address: &str, gits_address: &str, world: &World<'_>) -> Result<Description> {
    let settings = Settings::read(address, gits_address, world)?;
    settings.refuse_what_cannot_be_done()?;
    let mut certificates = match settings.named_roots()? {
        Some(NamedRoots { places, .. }) => {
            let places: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
            format!("the CAs in {}", places.join(" and "))
        }
        None => "the system's CAs".to_owned(),
    };
    if let Some(ClientCertificate { path, .. }) = settings.client_certificate()? {
        certificates = format!("{certificates}, with the client certificate {}", path.display());
    }
    let proxy = settings.proxy()?;
    Ok(Description {
        proxy: proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port())),
        certificates,
        unverified: settings.is_unverified(),
    })
}

/// Settings that are about the way to a server. Those of git's host are also those of its API.
const ABOUT_THE_WAY: &[&str] = &[
    "proxy",
    "proxysslcainfo",
    "proxysslcert",
    "sslcainfo",
    "sslcapath",
    "sslcert",
    "sslcertpasswordprotected",
    "sslcerttype",
    "sslkey",
    "sslkeytype",
    "sslversion",
];
/// Settings that are about the server itself: its key, and whether it must prove who it is.
const ABOUT_THE_SERVER: &[&str] = &["pinnedpubkey", "sslverify"];

/// git's settings for one address, and the variables that say the same.
struct Settings<'a> {
    host: &'a str,
    configured: Configured,
    /// git's own host pins its key.
    pins_gits_host: bool,
    /// What the repository around sets for this address, to no effect.
    unheeded: Vec<&'static str>,
    variables: Variables<'a>,
    home: Option<&'a Path>,
}

/// The values of `http.*` for one address, by the lower-case name after the dot.
type Configured = BTreeMap<&'static str, Setting>;

/// A value of `http.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    value: String,
    /// Whether it stands in a section for URLs.
    is_for_url: bool,
}

impl<'a> Settings<'a> {
    /// Asks git itself, which knows its files, scopes and includes. Without git there are no settings of git's.
    fn read(address: &'a str, gits_address: &str, world: &'a World<'_>) -> Result<Self> {
        let (protected, of_repository) = entries()?;
        let mut configured = matching(&protected, address)?;
        let mut gits =
            if gits_address == address { Configured::new() } else { matching(&protected, gits_address)? };
        let pins_gits_host = gits.get("pinnedpubkey").is_some_and(|pin| !pin.value.is_empty());
        gits.retain(|name, _| ABOUT_THE_WAY.contains(name));
        for (name, setting) in gits {
            if !configured.get(name).is_some_and(|setting| setting.is_for_url) {
                configured.insert(name, setting);
            }
        }
        // A repository with a configuration that git itself cannot match has nothing that could have been heeded.
        let of_repository = matching(&of_repository, address).unwrap_or_default();
        let differs = |(name, setting): &(&'static str, Setting)| {
            configured.get(name).map(|it| &it.value) != Some(&setting.value)
        };
        let unheeded = of_repository.into_iter().filter(differs).map(|(name, _)| name).collect();
        let host = address.trim_start_matches("https://").split('/').next().unwrap_or_default();
        let (variables, home) = (world.variables, world.folders.home.as_deref());
        Ok(Self { host, configured, pins_gits_host, unheeded, variables, home })
    }

    /// A setting that a variable may set too, which then counts.
    fn text(&self, variable: &str, name: &str) -> Option<String> {
        let variable = self.variables.path(variable).map(|value| value.to_string_lossy().into_owned());
        variable.or_else(|| self.configured.get(name).map(|setting| setting.value.clone()))
    }

    /// The same, where an empty value means that there is none.
    fn path(&self, variable: &str, name: &str) -> Option<PathBuf> {
        let variable = self.variables.path(variable).map(PathBuf::from);
        let configured = || self.configured.get(name).map(|it| &it.value).filter(|it| !it.is_empty());
        variable.or_else(|| configured().map(|path| expand(path, self.home)))
    }

    fn is_unverified(&self) -> bool {
        self.variables.path("GIT_SSL_NO_VERIFY").is_some()
            || self.configured.get("sslverify").is_some_and(|setting| is_false(&setting.value))
    }

    fn warn_of_unheeded(&self, terminal: &Terminal) {
        let names: Vec<&str> = self.unheeded.iter().map(|name| spelled(name)).collect();
        let Some(first) = names.first() else { return };
        let what = format!(
            "{} of this repository is not used here: anybody may have written it",
            names.iter().map(|name| format!("http.{name}")).collect::<Vec<_>>().join(", ")
        );
        terminal.warning(&Error::new(what).hint(format!(
            "if it is yours, set it for this user: git config --global http.https://{}.{first} VALUE",
            self.host
        )));
    }

    /// What git uses to refuse a server is done here as well, or nothing is.
    fn refuse_what_cannot_be_done(&self) -> Result<()> {
        let search = |name: &str| {
            format!("git config --show-origin --get-regexp '^http.*{name}' tells where that is set")
        };
        let pins = self.configured.get("pinnedpubkey").is_some_and(|pin| !pin.value.is_empty());
        if pins || self.pins_gits_host {
            let what =
                "git is to accept one public key only (http.pinnedPubkey), which this program cannot check";
            return Err(Error::new(what).hint(search("pinnedpubkey")));
        }
        let tls_with_proxy = self.proxy()?.is_some_and(|proxy| proxy.uri().scheme_str() == Some("https"));
        for (variable, name) in
            [("GIT_PROXY_SSL_CAINFO", "proxysslcainfo"), ("GIT_PROXY_SSL_CERT", "proxysslcert")]
        {
            if tls_with_proxy && self.path(variable, name).is_some() {
                let what =
                    format!("certificates for the proxy alone (http.{}) are not supported", spelled(name));
                return Err(Error::new(what).hint(
                    "use http.sslCAInfo and http.sslCert, which are for both, or reach the proxy by http://",
                ));
            }
        }
        Ok(())
    }

    /// TLS as git is told to speak it. What is older than TLS 1.2 is never spoken.
    fn crypto_provider(&self) -> CryptoProvider {
        let mut provider = rustls::crypto::ring::default_provider();
        if self.text("GIT_SSL_VERSION", "sslversion").as_deref() == Some("tlsv1.3") {
            provider.cipher_suites.retain(|suite| matches!(suite, SupportedCipherSuite::Tls13(_)));
        }
        provider
    }

    /// The certificate by which the client shows who it is, if one is named.
    fn client_certificate(&self) -> Result<Option<ClientCertificate>> {
        let Some(path) = self.path("GIT_SSL_CERT", "sslcert") else { return Ok(None) };
        let key_path = self.path("GIT_SSL_KEY", "sslkey").unwrap_or_else(|| path.clone());
        let unusable = |path: &Path, why: &str| {
            let what = format!("cannot use the client certificate in {}: {why}", path.display());
            Error::new(what).hint("http.sslCert and http.sslKey must name a certificate and its key, both in PEM and without a password")
        };
        let is_pem =
            |variable, name| self.text(variable, name).is_none_or(|kind| kind.eq_ignore_ascii_case("pem"));
        if !is_pem("GIT_SSL_CERT_TYPE", "sslcerttype") || !is_pem("GIT_SSL_KEY_TYPE", "sslkeytype") {
            return Err(unusable(&path, "it is said to be of another kind than PEM"));
        }
        let asks = self.configured.get("sslcertpasswordprotected").is_some_and(|it| !is_false(&it.value));
        if asks || self.variables.path("GIT_SSL_CERT_PASSWORD_PROTECTED").is_some() {
            return Err(unusable(&path, "it is said to have a password"));
        }
        let certificates = certificates_in(&path).map_err(|why| unusable(&path, &why))?;
        if certificates.is_empty() {
            return Err(unusable(&path, "there is no certificate in PEM format in it"));
        }
        let key = std::fs::read(&key_path).map_err(|e| unusable(&key_path, &cause(&e)))?;
        let key = PrivateKey::from_pem(&Zeroizing::new(key)).map_err(|_| {
            unusable(&key_path, "there is no private key in PEM format and without a password in it")
        })?;
        Ok(Some(ClientCertificate { certificate: ClientCert::new_with_certs(&certificates, key), path }))
    }

    /// The file and the folder of CAs that git or the environment name.
    fn named_file_and_folder(&self) -> (Option<PathBuf>, Option<PathBuf>) {
        let mut file = self.path("GIT_SSL_CAINFO", "sslcainfo");
        let mut folder = self.path("GIT_SSL_CAPATH", "sslcapath");
        if file.is_none() && folder.is_none() {
            let variable = |name| self.variables.path(name).map(PathBuf::from);
            file = variable("SSL_CERT_FILE");
            folder = variable("SSL_CERT_DIR");
            if file.is_none() && cfg!(target_os = "linux") {
                // The platform verifier reads SSL_CERT_DIR itself, which may be a list of folders.
                folder = None;
            }
        }
        (file, folder)
    }

    /// The CAs that git or the environment name. They take the place of the system's, as they do in git.
    fn named_roots(&self) -> Result<Option<NamedRoots>> {
        let (file, folder) = self.named_file_and_folder();
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

    /// The proxy, by git's rules and then by curl's.
    fn proxy(&self) -> Result<Option<Proxy>> {
        proxy(self.host, self.configured.get("proxy").map(|setting| setting.value.as_str()), &self.variables)
    }
}

/// A setting as `http.*` says it: key and value.
type Entry = (String, String);

/// All of `http.*` that git reads here: what is protected, and what a repository says.
fn entries() -> Result<(Vec<Entry>, Vec<Entry>)> {
    let output = match git::call_here(["config", "--null", "--show-scope", "--get-regexp", r"^http\."]) {
        Ok(output) => output,
        Err(_) if !git::is_there() => return Ok((Vec::new(), Vec::new())),
        Err(why) => return Err(why),
    };
    // git answers with status 1 where nothing is configured.
    if !matches!(output.code, Some(0 | 1)) {
        let why = output.stderr.lines().next().unwrap_or("it does not say why");
        return Err(Error::new(format!("git cannot read its configuration: {why}"))
            .hint("git config --list --show-origin tells more"));
    }
    Ok(parse(&output.stdout))
}

/// `scope NUL key LF value NUL`, or `scope NUL key NUL` for a key that stands without a value, which means true.
fn parse(output: &str) -> (Vec<Entry>, Vec<Entry>) {
    let (mut protected, mut of_repository) = (Vec::new(), Vec::new());
    let mut fields = output.split('\0');
    while let (Some(scope), Some(setting)) = (fields.next(), fields.next()) {
        let (key, value) = setting.split_once('\n').unwrap_or((setting, "true"));
        let list = match scope {
            "system" | "global" | "command" => &mut protected,
            _ => &mut of_repository,
        };
        list.push((key.to_owned(), value.to_owned()));
    }
    (protected, of_repository)
}

/// What entries say for an address. The last one counts, unless there are URLs to compare, which git does best.
fn matching(entries: &[Entry], address: &str) -> Result<Configured> {
    let used = |key: &str| {
        let name = key.rsplit('.').next().unwrap_or_default();
        ABOUT_THE_WAY.iter().chain(ABOUT_THE_SERVER).copied().find(|used| *used == name)
    };
    let is_for_url = |key: &str| key.matches('.').count() > 1;
    let entries: Vec<(&'static str, &Entry)> =
        entries.iter().filter_map(|entry| Some((used(&entry.0)?, entry))).collect();
    let setting =
        |(_, (key, value)): &(_, &Entry)| Setting { value: value.clone(), is_for_url: is_for_url(key) };
    if !entries.iter().any(|(_, (key, _))| is_for_url(key)) {
        return Ok(entries.iter().map(|entry| (entry.0, setting(entry))).collect());
    }
    // git is told the number of each value instead of the value, which may hold a password.
    let numbers: Vec<String> = (0..entries.len()).map(|number| number.to_string()).collect();
    let numbered: Vec<(&str, &str)> =
        entries.iter().zip(&numbers).map(|((_, (key, _)), number)| (key.as_str(), number.as_str())).collect();
    let output = git::call_with(&numbered, ["config", "--null", "--get-urlmatch", "http", address])?;
    if !matches!(output.code, Some(0 | 1)) {
        return Err(Error::new(format!("git cannot compare its settings with {address}: {}", output.stderr)));
    }
    let numbers =
        output.stdout.split('\0').filter_map(|record| record.split_once('\n')?.1.parse::<usize>().ok());
    Ok(numbers.filter_map(|number| entries.get(number)).map(|entry| (entry.0, setting(entry))).collect())
}

/// A setting's name as git's manual spells it.
fn spelled(name: &str) -> &str {
    match name {
        "pinnedpubkey" => "pinnedPubkey",
        "proxysslcainfo" => "proxySSLCAInfo",
        "proxysslcert" => "proxySSLCert",
        "sslcainfo" => "sslCAInfo",
        "sslcapath" => "sslCAPath",
        "sslcert" => "sslCert",
        "sslcertpasswordprotected" => "sslCertPasswordProtected",
        "sslcerttype" => "sslCertType",
        "sslkey" => "sslKey",
        "sslkeytype" => "sslKeyType",
        "sslverify" => "sslVerify",
        "sslversion" => "sslVersion",
        _ => name,
    }
}

/// A client's certificate with its key, and where it is from.
struct ClientCertificate {
    certificate: ClientCert,
    path: PathBuf,
}

/// git's way to write "false".
fn is_false(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "no" | "off" | "0" | "")
}

/// CAs, and where they are from.
struct NamedRoots {
    certificates: Vec<Certificate<'static>>,
    places: Vec<PathBuf>,
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
fn proxy(host: &str, configured: Option<&str>, variables: &Variables<'_>) -> Result<Option<Proxy>> {
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
    fn what_git_says_is_sorted_by_who_may_have_written_it() {
        let (protected, of_repository) = parse(
            "system\0http.proxy\nhttp://p:1\0local\0http.proxy\nhttp://evil:1\0global\0http.sslverify\0\
             worktree\0http.x\na\nb\0command\0http.https://a.b/.sslcainfo\n~/ca.pem\0",
        );
        let owned = |entries: &[(&str, &str)]| -> Vec<Entry> {
            entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(
            protected,
            owned(&[
                ("http.proxy", "http://p:1"),
                ("http.sslverify", "true"),
                ("http.https://a.b/.sslcainfo", "~/ca.pem")
            ])
        );
        assert_eq!(of_repository, owned(&[("http.proxy", "http://evil:1"), ("http.x", "a\nb")]));
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
