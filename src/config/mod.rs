//! What is configured: files, environment and flags become one validated [`Config`].
//!
//! Not git's own configuration: reading that costs a subprocess on every call, a typo in it goes unnoticed,
//! and a repository's `.git/config` must not be able to redirect a key or an API.

mod file;
mod select;
mod settings;
pub(crate) mod variables;

use std::fmt;
use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::app::{Identity, token_command};
use crate::cache;
use crate::error::{Error, Result, cause};
use crate::files::{Writers, is_absent, read_text_and_writers};
use crate::names::{ApiUrl, Host, InstallationId, Repository};
use crate::origin::{Origin, SourceFile};
use crate::terminal::path_in_shell;
use crate::token::Permissions;
use crate::vendor::{GITHUB, Vendor};
use crate::world::{Folders, World};

pub(crate) use select::{Selected, for_public, select};
pub(crate) use settings::{Flags, SETTINGS, SOURCES, Setting, Value};

/// Everything that is configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    /// Which App answers for what. The later rule is the stronger one where two are equally specific.
    pub(crate) rules: Vec<Rule>,
    /// How tokens are kept. Its deadline is also how long GitHub may take in all.
    pub(crate) cache: cache::Settings,
}

/// An App and what it answers for.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The App's client ID (`Iv23…`) or App ID: the `iss` of its JWT. Where a command gives tokens, the command's name.
    pub(crate) app_id: String,
    /// What proves that we are it, or gives tokens without an App.
    pub(crate) identity: Identity,
    /// The only host that gets its tokens.
    pub(crate) host: Host,
    /// The only API that sees its JWT.
    pub(crate) api: ApiUrl,
    /// What kind of API that is, if it is not GitHub's.
    vendor: Option<Rc<Vendor>>,
    /// The owners that it answers for, in lower case. With `repositories` empty too: every owner.
    pub(crate) owners: Vec<String>,
    /// Single repositories that it answers for.
    pub(crate) repositories: Vec<Repository>,
    /// The owner whose installation gives tokens for public repositories that the App is not installed on.
    pub(crate) public_repositories: Option<String>,
    /// The installation to use, if it is not to be looked up.
    pub(crate) installation: Option<InstallationId>,
    /// What a token reaches, if that is said.
    scope: Option<RuleScope>,
    /// What a token may do; empty: all that the installation may.
    pub(crate) permissions: Permissions,
    /// Whether git is told to ask nobody else when no token can be had.
    pub(crate) quit_on_failure: bool,
    /// Where the rule stands.
    pub(crate) origin: Origin,
    source: Source,
}

/// The most repositories that a token can be narrowed to.
/// <https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app>
const MOST_LISTED: usize = 500;

/// What a token reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleScope {
    /// All that the installation covers.
    Installation,
    /// The one repository that git asks for.
    Repository,
    /// The repositories that the rule names.
    Listed,
}

/// Where rules come from. The later source is the stronger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The file of the machine or of the user.
    File,
    /// Environment and flags: the rule is for this very call.
    Call,
}

impl Rule {
    /// A rule with defaults for all that only an App's id and key do not say.
    fn new(app_id: String, identity: Identity, host: Host, origin: Origin, source: Source) -> Self {
        Self {
            app_id,
            identity,
            api: host.api(),
            vendor: None,
            host,
            owners: Vec::new(),
            repositories: Vec::new(),
            public_repositories: None,
            installation: None,
            scope: None,
            permissions: Permissions::new(),
            quit_on_failure: true,
            origin,
            source,
        }
    }

    /// What kind of API it is.
    pub(crate) fn vendor(&self) -> &Vendor {
        self.vendor.as_deref().unwrap_or(&GITHUB)
    }

    /// Makes its API one of the kind that another rule's is.
    pub(crate) fn take_vendor(&mut self, other: &Self) {
        self.vendor.clone_from(&other.vendor);
    }

    /// What a token reaches. A command is told of the repository unless the rule says otherwise: nobody else knows whether
    /// its tokens reach more than that.
    pub(crate) fn scope(&self) -> RuleScope {
        let default = match self.identity {
            Identity::TokenCommand(_) => RuleScope::Repository,
            Identity::Keys(_) | Identity::SignCommand(_) => RuleScope::Installation,
        };
        self.scope.unwrap_or(default)
    }

    /// Whether a token is for the one repository that git asks for.
    pub(crate) fn per_repository(&self) -> bool {
        self.scope() == RuleScope::Repository
    }

    /// An error if its tokens are for the repositories that it names, and it does not name them, or names more than that.
    fn check_list(&self) -> Result<()> {
        if self.scope() != RuleScope::Listed {
            return Ok(());
        }
        let what = match (self.repositories.len(), self.owners.first()) {
            (0, _) => "names no repositories".to_owned(),
            (count @ 1.., None) if count <= MOST_LISTED => return Ok(()),
            (_, Some(owner)) => format!("is for all of {owner} too"),
            (count, None) => {
                format!("names {count} repositories, and a token can be for {MOST_LISTED} at most")
            }
        };
        Err(Error::new(format!("the scope is listed, but the rule {what} ({})", self.origin))
            .hint("name the repositories in repositories, and no owners"))
    }

    /// Whose the tokens are, for messages: an App's, or a command's.
    pub(crate) fn client(&self) -> String {
        match self.identity {
            Identity::TokenCommand(_) => format!("{} {}", token_command::SETTING, self.app_id),
            Identity::Keys(_) | Identity::SignCommand(_) => format!("App {}", self.app_id),
        }
    }

    /// Whether another rule's tokens come from the same App, or from the same command.
    pub(crate) fn is_same_client(&self, other: &Self) -> bool {
        let words = |rule: &Self| rule.identity.token_command().map(|it| it.command.words());
        self.app_id == other.app_id && self.api == other.api && words(self) == words(other)
    }

    /// Whether the rule names owners or repositories, and so promises that the App is installed there.
    pub(crate) fn names_what_it_is_for(&self) -> bool {
        !self.owners.is_empty() || !self.repositories.is_empty()
    }

    /// The owners that it names, by themselves or as owners of repositories.
    pub(crate) fn named_owners(&self) -> impl Iterator<Item = &String> {
        self.owners.iter().chain(self.repositories.iter().map(|repository| &repository.owner))
    }

    /// Whether the rule comes from the environment or from flags.
    pub(crate) fn is_for_this_call(&self) -> bool {
        self.source == Source::Call
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

impl Config {
    /// Reads all sources. Later ones win, setting by setting: the machine's file, the user's file (or the
    /// one that was named), the environment, the flags.
    ///
    /// # Errors
    /// If a file that was named does not exist, a file cannot be read or parsed, a value is not valid, or
    /// two rules of one file match the same.
    pub(crate) fn load(flags: &Flags, world: &World<'_>) -> Result<Self> {
        variables::refuse_misspelt(world)?;
        let mut config = Self::default();
        let folders = &world.folders;
        let named = flags.config_file(&world.variables);
        let files = [
            (Some(&folders.system_config), Whose::Machine),
            (named.as_ref().or(folders.user_config.as_ref()), Whose::User { named: named.is_some() }),
        ];
        for (path, whose) in files {
            let Some(path) = path else { continue };
            match read_file(path, whose) {
                Ok((text, writers)) => {
                    check_everybody(path, &writers)?;
                    let before = config.rules.len();
                    config.add_file(SourceFile::new(path.clone(), text), folders)?;
                    check_commands(path, &config.rules[before..], &writers)?;
                }
                Err(e) if whose != (Whose::User { named: true }) && is_absent(&e) => {}
                // Every user may put a file there, and keeps nobody else from git by that.
                Err(e) if cfg!(windows) && whose == Whose::Machine => {
                    world.terminal.warning(&not_administrators(path, &e));
                }
                Err(e) => {
                    let (path, cause) = (path.display(), cause(&e));
                    return Err(Error::new(format!("cannot read the configuration {path}: {cause}")));
                }
            }
        }
        settings::apply(&mut config, flags, world)?;
        Ok(config)
    }

    /// Reads environment and flags only.
    ///
    /// # Errors
    /// If a value is not valid, or something is missing.
    pub(crate) fn load_without_files(flags: &Flags, world: &World<'_>) -> Result<Self> {
        variables::refuse_misspelt(world)?;
        let mut config = Self::default();
        settings::apply(&mut config, flags, world)?;
        Ok(config)
    }

    /// What one file says by itself.
    ///
    /// # Errors
    /// If the text cannot be parsed, a value is not valid, or two rules of it match the same.
    pub(crate) fn of_file(text: &str, path: &Path, folders: &Folders) -> Result<Self> {
        let mut config = Self::default();
        config.add_file(SourceFile::new(path.to_owned(), text.to_owned()), folders)?;
        Ok(config)
    }

    /// Whether tokens for a host go with this user name.
    pub(crate) fn is_username(&self, host: &Host, name: &str) -> bool {
        self.rules.iter().any(|rule| rule.host == *host && rule.vendor().username == name)
    }

    fn add_file(&mut self, file: SourceFile, folders: &Folders) -> Result<()> {
        let rules = file::read(&Rc::new(file), folders, &mut self.cache)?;
        let mut matched: Vec<_> = rules
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
        self.rules.extend(rules);
        Ok(())
    }
}

/// Whose configuration a file is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// That of the whole machine.
    Machine,
    /// The user's, who may have named it.
    User { named: bool },
}

/// The text of a configuration, and who has a say in it.
fn read_file(path: &Path, whose: Whose) -> io::Result<(String, Writers)> {
    let (text, writers) = read_text_and_writers(path)?;
    if whose == Whose::Machine {
        writers.check_administrators()?;
    }
    Ok((text, writers))
}

/// Why a configuration that administrators are to have written is not used.
fn not_administrators(path: &Path, why: &io::Error) -> Error {
    let (path, why) = (path.display(), cause(why));
    let what = format!("the configuration {path} is not used: {why}");
    // The Administrators group has another name in each language.
    Error::new(what).hint(format!(
        "administrators alone may write it: icacls \"{path}\" /setowner *S-1-5-32-544, and let others only read it"
    ))
}

/// An error if everybody may write a configuration.
fn check_everybody(path: &Path, writers: &Writers) -> Result<()> {
    match writers.everybody() {
        false => Ok(()),
        true => {
            let what = format!("the configuration {} is not used: every user may write it", path.display());
            Err(Error::new(what).hint(format!("chmod o-w {}", path_in_shell(path))))
        }
    }
}

/// An error if these rules of a configuration name commands, and another user wrote it.
fn check_commands(path: &Path, rules: &[Rule], writers: &Writers) -> Result<()> {
    let Some(command) = rules.iter().find_map(|rule| rule.identity.command()) else { return Ok(()) };
    writers.check_owner().map_err(|owner| {
        command
            .failure(format!("{} is not run, because of who owns that file: {owner}", command.name()))
            .hint(format!("chown \"$(id -u)\" {}, or copy it", path_in_shell(path)))
    })
}

#[cfg(test)]
mod tests;
