//! git's settings for one address: `http.*`, and the variables that say the same.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
use ureq::Proxy;

use super::proxy::proxy;
use crate::error::{Error, Result};
use crate::git;
use crate::terminal::Terminal;
use crate::world::{Variables, World};

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
pub(super) struct Settings<'a> {
    pub(super) host: &'a str,
    pub(super) configured: Configured,
    /// git's own host pins its key.
    pins_gits_host: bool,
    /// What the repository around sets for this address, to no effect.
    unheeded: Vec<&'static str>,
    pub(super) variables: Variables<'a>,
    home: Option<&'a Path>,
}

/// The values of `http.*` for one address, by the lower-case name after the dot.
pub(super) type Configured = BTreeMap<&'static str, Setting>;

/// A value of `http.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) value: String,
    /// Whether it stands in a section for URLs.
    is_for_url: bool,
}

impl<'a> Settings<'a> {
    /// What git says for one address. Without git there are no settings of git's.
    pub(super) fn read(
        address: &'a str,
        gits_address: &str,
        http: &HttpSettings,
        world: &'a World<'_>,
    ) -> Result<Self> {
        for name in WHERE_GITS_CONFIGURATION_IS {
            world.variables.path(name).map(|path| whole(name, path.into())).transpose()?;
        }
        let Entries { protected, of_repository } = http.entries(&world.variables)?;
        let mut configured = matching(protected, address)?;
        let mut gits =
            if gits_address == address { Configured::new() } else { matching(protected, gits_address)? };
        let pins_gits_host = gits.get("pinnedpubkey").is_some_and(|pin| !pin.value.is_empty());
        gits.retain(|name, _| ABOUT_THE_WAY.contains(name));
        for (name, setting) in gits {
            if !configured.get(name).is_some_and(|setting| setting.is_for_url) {
                configured.insert(name, setting);
            }
        }
        // A repository with a configuration that git itself cannot match has nothing that could have been heeded.
        let of_repository = matching(of_repository, address).unwrap_or_default();
        let differs = |(name, setting): &(&'static str, Setting)| {
            configured.get(name).map(|it| &it.value) != Some(&setting.value)
        };
        let unheeded = of_repository.into_iter().filter(differs).map(|(name, _)| name).collect();
        let host = address.trim_start_matches("https://").split('/').next().unwrap_or_default();
        let (variables, home) = (world.variables, world.folders.home.as_deref());
        Ok(Self { host, configured, pins_gits_host, unheeded, variables, home })
    }

    /// A setting that a variable may set too, which then counts.
    pub(super) fn text(&self, variable: &str, name: &str) -> Option<String> {
        let variable = self.variables.path(variable).map(|value| value.to_string_lossy().into_owned());
        variable.or_else(|| self.configured.get(name).map(|setting| setting.value.clone()))
    }

    /// The same of a path, where an empty value means that there is none.
    ///
    /// # Errors
    /// If it is relative.
    pub(super) fn path(&self, variable: &str, name: &str) -> Result<Option<PathBuf>> {
        if let Some(path) = self.variables.path(variable) {
            return whole(variable, path.into()).map(Some);
        }
        let configured = self.configured.get(name).map(|it| &it.value).filter(|it| !it.is_empty());
        configured.map(|path| whole(&format!("http.{}", spelled(name)), expand(path, self.home))).transpose()
    }

    pub(super) fn is_unverified(&self) -> bool {
        self.variables.path("GIT_SSL_NO_VERIFY").is_some()
            || self.configured.get("sslverify").is_some_and(|setting| is_false(&setting.value))
    }

    pub(super) fn warn_of_unheeded(&self, terminal: &Terminal) {
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
    pub(super) fn refuse_what_cannot_be_done(&self) -> Result<()> {
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
            if tls_with_proxy && self.path(variable, name)?.is_some() {
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
    pub(super) fn crypto_provider(&self) -> CryptoProvider {
        let mut provider = rustls::crypto::ring::default_provider();
        if self.text("GIT_SSL_VERSION", "sslversion").as_deref() == Some("tlsv1.3") {
            provider.cipher_suites.retain(|suite| matches!(suite, SupportedCipherSuite::Tls13(_)));
        }
        provider
    }

    /// The proxy, by git's rules and then by curl's.
    pub(super) fn proxy(&self) -> Result<Option<Proxy>> {
        proxy(self.host, self.configured.get("proxy").map(|setting| setting.value.as_str()), &self.variables)
    }
}

/// A path as it is, unless it is relative: git runs in repositories, and there it is a file that anybody may have written.
///
/// # Errors
/// If it is relative. `place` says where it stands.
pub(super) fn whole(place: &str, path: PathBuf) -> Result<PathBuf> {
    if path.has_root() {
        return Ok(path);
    }
    let what = format!("{place} is relative to whatever folder git runs in: {}", path.display());
    Err(Error::new(what).hint(format!("write the whole path in {place}")))
}

/// The variables that tell git where its protected configuration is. (git(1), git-config(1))
const WHERE_GITS_CONFIGURATION_IS: &[&str] =
    &["HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"];

/// A setting that is no one's, which git is given to say again: where it does, it has read all the others.
const ASKED: (&str, &str) = ("http.ghappasked", "true");

/// A setting as `http.*` says it: key and value.
type Entry = (String, String);

/// All of `http.*` that git reads here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entries {
    protected: Vec<Entry>,
    of_repository: Vec<Entry>,
}

/// The same, asked of git once: when they are first needed.
#[derive(Debug, Default)]
pub(crate) struct HttpSettings(OnceCell<Entries>);

impl HttpSettings {
    fn entries(&self, variables: &Variables<'_>) -> Result<&Entries> {
        match self.0.get() {
            Some(entries) => Ok(entries),
            None => {
                let entries = entries(variables)?;
                Ok(self.0.get_or_init(|| entries))
            }
        }
    }
}

/// Asks git itself, which knows its files, scopes and includes.
fn entries(variables: &Variables<'_>) -> Result<Entries> {
    let asked = format!("{}={}", ASKED.0, ASKED.1);
    let arguments = ["-c", &asked, "config", "--null", "--show-scope", "--get-regexp", r"^http\."];
    let output = match git::call_here(arguments) {
        Ok(output) => output,
        Err(_) if !git::is_there(variables) => return Ok(Entries::default()),
        Err(why) => return Err(why),
    };
    let mut entries = parse(&output.stdout);
    // The command line comes last. What ends early, or is not git at all, does not say that.
    let is_whole =
        entries.protected.pop().is_some_and(|(key, value)| (key.as_str(), value.as_str()) == ASKED);
    if output.code == Some(0) && is_whole {
        return Ok(entries);
    }
    let why = output.stderr.lines().next().unwrap_or("it does not say why");
    Err(Error::new(format!("git cannot read its configuration: {why}"))
        .hint("git config --list --show-origin tells more"))
}

/// `scope NUL key LF value NUL`, or `scope NUL key NUL` for a key that stands without a value, which means true.
fn parse(output: &str) -> Entries {
    let mut entries = Entries::default();
    let mut fields = output.split('\0');
    while let (Some(scope), Some(setting)) = (fields.next(), fields.next()) {
        let (key, value) = setting.split_once('\n').unwrap_or((setting, "true"));
        let list = match scope {
            "system" | "global" | "command" => &mut entries.protected,
            _ => &mut entries.of_repository,
        };
        list.push((key.to_owned(), value.to_owned()));
    }
    entries
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
    let numbered =
        entries.iter().zip(&numbers).map(|((_, (key, _)), number)| (key.as_str(), number.as_str()));
    let numbered: Vec<(&str, &str)> = numbered.chain([ASKED]).collect();
    let output = git::call_with(&numbered, ["config", "--null", "--get-urlmatch", "http", address])?;
    let says_it = output.stdout.split('\0').any(|record| record.split_once('\n') == Some(ASKED));
    if output.code != Some(0) || !says_it {
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

/// git's way to write "false".
pub(super) fn is_false(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "false" | "no" | "off" | "0" | "")
}

fn expand(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_sorted_by_who_may_have_written_it() {
        let Entries { protected, of_repository } = parse(
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
}
