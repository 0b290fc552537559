//! What is configured: file, environment and flags of the helper line become one validated [`Config`].
//!
//! Not git's own configuration: reading that costs a subprocess on every call, a typo in it goes unnoticed,
//! and a repository's `.git/config` must not be able to redirect a key or an API.

mod file;
mod settings;

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::error::{Error, Result, cause};
use crate::files::is_absent;
use crate::names::{ApiUrl, Host, InstallationId, Permissions, Repository};
use crate::secret::Secret;

pub use settings::{Flags, KEY_VARIABLE, SETTINGS, Setting, Variables};

/// Everything that is configured.
#[derive(Debug)]
pub struct Config {
    /// Which App answers for what. The later rule is the stronger one where two are equally specific.
    pub rules: Vec<Rule>,
    /// Where tokens are kept.
    pub store: StoreKind,
    /// A cached token is used while it is valid for at least this many seconds.
    pub min_fresh: i64,
    /// How long GitHub may take in all, and another process that looks up or mints the same.
    pub deadline: Duration,
}

/// An App and what it answers for.
#[derive(Debug)]
pub struct Rule {
    /// The App's client ID (`Iv23…`) or App ID: the `iss` of its JWT.
    pub issuer: String,
    /// Where its private key is.
    pub key: KeySource,
    /// The only host that gets its tokens.
    pub host: Host,
    /// The only API that sees its JWT.
    pub api: ApiUrl,
    /// The owners that it answers for, in lower case. With `repositories` empty too: every owner.
    pub owners: Vec<String>,
    /// Single repositories that it answers for.
    pub repositories: Vec<Repository>,
    /// The installation to use, if it is not to be looked up.
    pub installation: Option<InstallationId>,
    /// Whether a token is for the one repository that git asks for.
    pub per_repository: bool,
    /// What a token may do; empty: all that the installation may.
    pub permissions: Permissions,
    /// Whether git is told to ask nobody else when no token can be had.
    pub quit_on_failure: bool,
    /// Where the rule stands.
    pub origin: Origin,
    /// 0 for the system's file, 1 for the user's, 2 for environment and flags: the later source is stronger.
    rank: u8,
}

impl Rule {
    /// A rule of no App: for what is kept without one.
    #[must_use]
    pub fn unknown() -> Self {
        let host = Host::github();
        Self {
            issuer: String::new(),
            key: KeySource::File { path: PathBuf::new(), origin: Origin::Flag("") },
            api: host.api(),
            host,
            owners: Vec::new(),
            repositories: Vec::new(),
            installation: None,
            per_repository: false,
            permissions: Permissions::new(),
            quit_on_failure: true,
            origin: Origin::Flag(""),
            rank: AMBIENT,
        }
    }

    /// How specifically the rule names the repository: 2 by its full name, 1 by its owner, 0 by its host.
    /// `None` if the rule is not for it. Rules of environment and flags are for this very call, so they
    /// come before those of files.
    #[must_use]
    pub fn specificity(&self, repository: &Repository) -> Option<u8> {
        if self.repositories.contains(repository) {
            return Some(self.strength(2));
        }
        self.specificity_for_owner(&repository.owner)
    }

    /// The same for an owner as a whole.
    #[must_use]
    pub fn specificity_for_owner(&self, owner: &str) -> Option<u8> {
        if self.owners.iter().any(|named| named == owner) {
            return Some(self.strength(1));
        }
        (!self.names_what_it_is_for()).then(|| self.strength(0))
    }

    fn strength(&self, specific: u8) -> u8 {
        if self.is_for_this_call() { 3 } else { specific }
    }

    /// Whether the rule names owners or repositories, and so promises that the App is installed there.
    #[must_use]
    pub fn names_what_it_is_for(&self) -> bool {
        !self.owners.is_empty() || !self.repositories.is_empty()
    }

    /// Whether the rule comes from the environment or from flags.
    #[must_use]
    pub fn is_for_this_call(&self) -> bool {
        self.rank == AMBIENT
    }

    /// What the rule matches on its host.
    fn selectors(&self) -> impl Iterator<Item = Selector<'_>> {
        let owners = self.owners.iter().map(|owner| Selector::Owner(owner));
        let repositories = self.repositories.iter().map(Selector::Repository);
        let every_owner = (!self.names_what_it_is_for()).then_some(Selector::EveryOwner);
        owners.chain(repositories).chain(every_owner)
    }
}

/// What two rules for a host must not have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Selector<'r> {
    EveryOwner,
    Owner(&'r str),
    Repository(&'r Repository),
}

impl fmt::Display for Selector<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EveryOwner => f.write_str("every owner"),
            Self::Owner(owner) => write!(f, "owner {owner}"),
            Self::Repository(repository) => write!(f, "repository {repository}"),
        }
    }
}

const AMBIENT: u8 = 2;

/// Where a setting stands, for messages.
#[derive(Clone, Debug)]
pub enum Origin {
    /// In a configuration file.
    File {
        /// The file, which all settings of it share.
        file: Rc<Source>,
        /// Where in its text, in bytes: the line is counted only for a message.
        offset: usize,
    },
    /// In an environment variable.
    Variable(&'static str),
    /// In a flag of the helper line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, offset } => {
                let before = file.text.bytes().take(*offset);
                let line = before.filter(|byte| *byte == b'\n').count() + 1;
                write!(f, "{}, line {line}", file.path.display())
            }
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A configuration file as it was read.
pub struct Source {
    path: PathBuf,
    text: String,
}

impl fmt::Debug for Source {
    /// The path is enough: nobody knows what else stands in a file with a mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.path, f)
    }
}

/// What stands before a key's name where it is in the keyring, and not in a file.
pub const KEYRING_PREFIX: &str = "keyring:";

/// Where a private key is.
#[derive(Debug)]
pub enum KeySource {
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// Where the file is named.
        origin: Origin,
    },
    /// In the operating system's keyring.
    Keyring {
        /// Its name there.
        name: String,
        /// Where it is named.
        origin: Origin,
    },
    /// In the configuration itself, which only the environment may do.
    Text {
        /// The key as it was given.
        pem: Secret,
        /// The variable that holds it.
        origin: Origin,
    },
}

/// Where tokens are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// The platform's keyring, and the sealed file where that cannot be written.
    Auto,
    /// The platform's keyring: kernel keyring, Keychain, Credential Manager.
    Keyring,
    /// The freedesktop Secret Service over D-Bus.
    SecretService,
    /// The sealed file.
    File,
    /// Nowhere: every request mints.
    None,
}

impl StoreKind {
    /// Parses the name of a store.
    fn parse(text: &str, origin: &Origin) -> Result<Self> {
        Ok(match text {
            "auto" => Self::Auto,
            "keyring" => Self::Keyring,
            "secret-service" => Self::SecretService,
            "file" => Self::File,
            "none" => Self::None,
            _ => {
                return Err(Error::new(format!("there is no token store {text:?} ({origin})"))
                    .hint("the stores are auto, keyring, secret-service, file and none"));
            }
        })
    }
}

/// Where things are on this machine.
#[derive(Clone, Debug, Default)]
pub struct Folders {
    /// The configuration file of the whole machine.
    pub system_config: PathBuf,
    /// The user's configuration file.
    pub user_config: Option<PathBuf>,
    /// The user's home, for `~/`.
    pub home: Option<PathBuf>,
    /// Where what can be lost is kept.
    pub cache: Option<PathBuf>,
}

impl Folders {
    /// The usual places, within the user's home and folders for configuration and cache.
    #[must_use]
    pub fn new(home: Option<PathBuf>, config: Option<&Path>, cache: Option<&Path>) -> Self {
        Self {
            system_config: PathBuf::from("/etc/git-credential-ghapp/config.toml"),
            user_config: config.map(|folder| folder.join("config.toml")),
            home,
            cache: cache.map(Path::to_owned),
        }
    }

    /// The path with a leading `~/` replaced by the user's home, and relative to `base`.
    fn resolve(&self, path: &str, base: Option<&Path>) -> PathBuf {
        match (path.strip_prefix("~/"), &self.home, base) {
            (Some(rest), Some(home), _) => home.join(rest),
            (_, _, Some(base)) => base.join(path),
            _ => PathBuf::from(path),
        }
    }
}

/// Five minutes: git may start a long transfer with the token right before this is over.
const DEFAULT_MIN_FRESH: i64 = 300;
/// Longer than GitHub's bad moments, shorter than a person's patience.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

impl Default for Config {
    /// Nothing configured.
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            store: StoreKind::Auto,
            min_fresh: DEFAULT_MIN_FRESH,
            deadline: DEFAULT_DEADLINE,
        }
    }
}

impl Config {
    /// Reads all sources. Later ones win, setting by setting: the machine's file, the user's file (or the
    /// one that was named), the environment, the flags.
    ///
    /// # Errors
    /// If a file that was named does not exist, a file cannot be read or parsed, a value is not valid, or
    /// two rules of one file match the same.
    pub fn load(flags: &Flags, variables: &Variables<'_>, folders: &Folders) -> Result<Self> {
        let mut config = Self::default();
        let named = flags.config_file(variables);
        let sources = [
            (Some(&folders.system_config), 0, false),
            (named.as_ref().or(folders.user_config.as_ref()), 1, named.is_some()),
        ];
        for (path, rank, must_exist) in sources {
            let Some(path) = path else { continue };
            match std::fs::read_to_string(path) {
                Ok(text) => config.add_file(Source { path: path.clone(), text }, rank, folders)?,
                Err(e) if !must_exist && is_absent(&e) => {}
                Err(e) => {
                    return Err(Error::new(format!(
                        "cannot read the configuration {}: {}",
                        path.display(),
                        cause(&e)
                    )));
                }
            }
        }
        settings::apply(&mut config, flags, variables, folders)?;
        Ok(config)
    }

    /// Reads environment and flags only.
    ///
    /// # Errors
    /// If a value is not valid, or something is missing.
    pub fn load_only(flags: &Flags, variables: &Variables<'_>, folders: &Folders) -> Result<Self> {
        let mut config = Self::default();
        settings::apply(&mut config, flags, variables, folders)?;
        Ok(config)
    }

    /// What one file says by itself.
    ///
    /// # Errors
    /// If the text cannot be parsed, a value is not valid, or two rules of it match the same.
    pub fn of_file(text: &str, path: &Path, folders: &Folders) -> Result<Self> {
        let mut config = Self::default();
        config.add_file(Source { path: path.to_owned(), text: text.to_owned() }, 1, folders)?;
        Ok(config)
    }

    /// Adds what one file says. Of two files the one with the higher `rank` is stronger.
    ///
    /// # Errors
    /// If the text cannot be parsed, a value is not valid, or two rules of it match the same.
    fn add_file(&mut self, file: Source, rank: u8, folders: &Folders) -> Result<()> {
        let parsed = file::parse(&Rc::new(file), rank, folders)?;
        let mut matched: Vec<_> = parsed
            .rules
            .iter()
            .flat_map(|rule| rule.selectors().map(move |selector| ((selector, &rule.host), &rule.origin)))
            .collect();
        matched.sort_by(|one, other| one.0.cmp(&other.0));
        if let Some([((selector, host), first), (_, second)]) =
            matched.windows(2).find(|pair| pair[0].0 == pair[1].0)
        {
            return Err(Error::new(format!("two rules match {selector} on {host}: {first} and {second}"))
                .hint("name different owners or repositories in each [[app]]"));
        }
        self.rules.extend(parsed.rules);
        self.store = parsed.store.unwrap_or(self.store);
        self.min_fresh = parsed.min_fresh.unwrap_or(self.min_fresh);
        self.deadline = parsed.deadline.unwrap_or(self.deadline);
        Ok(())
    }
}

/// The checks that every source shares.
mod check {
    use super::{Duration, Error, Host, Origin, Permissions, Repository, Result};
    use crate::names::is_name;

    pub(super) fn issuer(text: &str, origin: &Origin) -> Result<String> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::new(format!("the App id is empty ({origin})"))
                .hint("use the client ID (Iv23…) or the App ID from the App's settings page"));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)) {
            return Err(Error::new(format!("{text:?} is not an App id ({origin})"))
                .hint("use the client ID (Iv23…) or the App ID from the App's settings page"));
        }
        Ok(text.to_owned())
    }

    pub(super) fn host(text: &str, origin: &Origin) -> Result<Host> {
        Host::parse(text.trim()).ok_or_else(|| {
            Error::new(format!("{text:?} is not a host ({origin})"))
                .hint("write the host as it stands in URLs, without https:// and without a path")
        })
    }

    pub(super) fn owner(text: &str, origin: &Origin) -> Result<String> {
        if is_name(text) {
            Ok(text.to_ascii_lowercase())
        } else {
            Err(Error::new(format!("{text:?} is not the name of an owner ({origin})")))
        }
    }

    pub(super) fn repository(text: &str, origin: &Origin) -> Result<Repository> {
        Repository::parse(text)
            .ok_or_else(|| Error::new(format!("{text:?} is not OWNER/REPOSITORY ({origin})")))
    }

    pub(super) fn per_repository(text: &str, origin: &Origin) -> Result<bool> {
        match text {
            "repository" => Ok(true),
            "installation" => Ok(false),
            _ => Err(Error::new(format!("there is no scope {text:?} ({origin})"))
                .hint("the scopes are installation and repository")),
        }
    }

    pub(super) fn quit_on_failure(text: &str, origin: &Origin) -> Result<bool> {
        match text {
            "quit" => Ok(true),
            "continue" => Ok(false),
            _ => Err(Error::new(format!("on-failure cannot be {text:?} ({origin})"))
                .hint("on-failure is quit or continue")),
        }
    }

    pub(super) fn permissions<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        origin: &Origin,
    ) -> Result<Permissions> {
        pairs
            .into_iter()
            .map(|(name, level)| {
                let named = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                if named && matches!(level, "read" | "write" | "admin") {
                    Ok((name.to_owned(), level.to_owned()))
                } else {
                    let shown = format!("{name} = {level}");
                    Err(Error::new(format!("{shown:?} is not a permission ({origin})"))
                        .hint("write permissions like contents = read, with read, write or admin"))
                }
            })
            .collect()
    }

    pub(super) fn deadline(seconds: i64, origin: &Origin) -> Result<Duration> {
        match u64::try_from(seconds) {
            Ok(seconds @ 1..=300) => Ok(Duration::from_secs(seconds)),
            _ => Err(Error::new(format!("deadline must be 1 to 300 seconds, not {seconds} ({origin})"))
                .hint("the default is 30")),
        }
    }

    pub(super) fn min_fresh(seconds: i64, origin: &Origin) -> Result<i64> {
        if (0..=3000).contains(&seconds) {
            Ok(seconds)
        } else {
            Err(Error::new(format!("min-fresh must be 0 to 3000 seconds, not {seconds} ({origin})"))
                .hint("a token lives for an hour; the default is 300"))
        }
    }
}

#[cfg(test)]
mod tests;
