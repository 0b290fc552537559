//! `setup`: from an App and its key to a first clone with one command, and back with another.
//!
//! Everything is found out first, then shown, then written: what fails before has changed nothing.

mod change;
mod journal;
mod rule;

use std::ffi::OsString;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::identity;
use super::installations::{owner, selection, use_for_git};
use super::output::{Output, count};
use crate::app::key::keyring;
use crate::config::{Config, Flags, Rule, SETTINGS, SOURCES, Setting};
use crate::error::{Error, Result};
use crate::files::open_to_others;
use crate::git;
use crate::git::config::{self, Scope, is_ours};
use crate::github::Failure;
use crate::github::answers::{AppInfo, Installation};
use crate::names::{InstallationRef, Place};
use crate::source::TokenSource;
use crate::token::Need;
use crate::world::World;

use change::Change;
use journal::Journal;

/// What is to be set up, and how far.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Options {
    /// Write to git's configuration of this user (default)
    #[arg(long, group = "where")]
    global: bool,
    /// Write to the configuration of the whole machine, git's and this program's
    #[arg(long, group = "where")]
    system: bool,
    /// Write to git's configuration of this repository
    #[arg(long, group = "where")]
    local: bool,
    /// Let git ask helpers that are configured for all hosts before this one
    #[arg(long)]
    keep_other_helpers: bool,
    /// Let git use https where a URL says SSH
    #[arg(long)]
    rewrite_ssh: bool,
    /// Let commits be the App's: set user.name and user.email to its bot's
    #[arg(long)]
    identity: bool,
    /// Let git send the credential at once, without asking without one first (git 2.46)
    #[arg(long)]
    proactive: bool,
    /// Move the private key to a safe place: a file of this user's alone, or the keyring
    #[arg(long, value_name = "WHERE", value_enum)]
    move_key: Option<MoveKey>,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Ask nothing, even where a person could answer
    #[arg(long, short)]
    yes: bool,
    /// Take back everything that setup wrote; with --app-id only what it wrote for that App
    #[arg(long, conflicts_with_all = ["dry_run", "keep_other_helpers", "rewrite_ssh", "identity", "proactive", "move_key"])]
    undo: bool,
}

/// Where a private key is moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum MoveKey {
    /// Beside the configuration file
    Folder,
    /// The operating system's keyring
    Keyring,
}

pub(super) fn setup(
    options: Options,
    flags: &Flags,
    world: &World<'_>,
    stdin: &mut dyn BufRead,
    output: &mut Output<'_>,
) -> Result<()> {
    let scope = match (options.system, options.local) {
        (true, _) => Scope::System,
        (_, true) => Scope::here()?,
        _ => Scope::Global,
    };
    let file = config_file(&scope, flags, world)?;
    let journal = Journal::beside(&file);
    if options.undo {
        return undo(&journal, flags.last("app-id"), world, output);
    }
    let mut person = Person { present: (world.streams)().input && !options.yes, stdin, world };
    let mut flags = complete(flags, &file, world, &mut person)?;
    // Checked like any other configuration, as if the flags stood on git's helper line.
    let config = Config::load_without_files(&flags, world)?;
    let Some(rule) = config.rules.last() else { return Err(super::nothing_configured()) };
    let source = TokenSource::new(rule, &config, world);
    source.app().key()?;
    let (app, installations) = look_around(&source)?;
    tell_about(&app, rule, &installations, world, output)?;
    let key = where_the_key_goes(&options, rule, &app, &file, &mut person)?;
    let mut changes: Vec<Change> = key.change.into_iter().collect();
    changes.extend(rule::write(&file, rule, key.name.as_deref(), &world.folders)?);
    let bot = match options.identity {
        true => Some(bot(rule, &app, &installations, &source)?),
        false => None,
    };
    changes.extend(gits_side(&options, &scope, rule, bot)?);
    changes.retain(|change| !change.is_done());
    if scope == Scope::System && !rule_key_is_shared(rule, &options) {
        let what = "only its owner can read the private key, so git of other users gets no token";
        let hint = "let a group read it: chgrp GROUP FILE && chmod 640 FILE, and its folder too";
        world.terminal.warning(&Error::new(what).hint(hint));
    }
    output.line(match options.dry_run {
        _ if changes.is_empty() => "everything is set up already",
        true => "this would be changed:",
        false => "this will be changed:",
    })?;
    for change in &changes {
        change.tell(output)?;
    }
    if options.dry_run {
        return Ok(());
    }
    if !changes.is_empty() {
        if person.present && !person.agrees("go on?")? {
            return Err(Error::new("nothing was changed"));
        }
        journal.apply(&rule.app_id, changes, world)?;
        output.line("done; git-credential-ghapp setup --undo takes it back")?;
    }
    // The key may have moved.
    if let Some(name) = key.name {
        let _ = flags.set("private-key", OsString::from(name));
    }
    let config = Config::load_without_files(&flags, world)?;
    config.rules.last().map_or(Ok(()), |rule| try_it(rule, &installations, &config, &scope, world, output))
}

/// A person, if there is one.
struct Person<'p> {
    present: bool,
    stdin: &'p mut dyn BufRead,
    world: &'p World<'p>,
}

impl Person<'_> {
    /// Asks for a line; `None` if there is nobody, or nothing was typed.
    fn asked(&mut self, question: &str) -> Result<Option<String>> {
        if !self.present {
            return Ok(None);
        }
        self.world.terminal.ask(question);
        let mut line = String::new();
        self.stdin.read_line(&mut line).map_err(|_| Error::new("the answer cannot be read"))?;
        Ok(Some(line.trim().to_owned()).filter(|line| !line.is_empty()))
    }

    /// Whether a person agrees, which is the default.
    fn agrees(&mut self, question: &str) -> Result<bool> {
        let answer = self.asked(&format!("{question} [Y/n]"))?;
        Ok(answer.is_none_or(|answer| answer.to_lowercase().starts_with('y')))
    }
}

/// Which of this program's files is written.
fn config_file(scope: &Scope, flags: &Flags, world: &World<'_>) -> Result<PathBuf> {
    if let Some(named) = flags.config_file(&world.variables) {
        return Ok(named);
    }
    match scope {
        Scope::System => Ok(world.folders.system_config.clone()),
        Scope::Global | Scope::File(_) => world.folders.user_config.clone().ok_or_else(|| {
            Error::new("there is no place for a configuration: this user has no home")
                .hint("set HOME, or name a file: --config FILE")
        }),
    }
}

/// The flags, with what is missing from a person, and with the key of an App that is configured already.
fn complete(flags: &Flags, file: &Path, world: &World<'_>, person: &mut Person<'_>) -> Result<Flags> {
    let usage = "git-credential-ghapp setup --app-id ID --private-key FILE";
    let missing = |what: &str| Error::new(format!("the {what} is missing")).hint(usage);
    let mut flags = flags.clone();
    let is_set = |name: &str| world.variables.path(name).is_some();
    if !flags.has("app-id") && !is_set("GHAPP_APP_ID") {
        let what = "client ID or App ID";
        let answer = person.asked(what)?.ok_or_else(|| missing(what))?;
        // The flag is one of this program's.
        let _ = flags.set("app-id", OsString::from(answer));
    }
    let says_the_source = |setting: &&Setting| {
        let other = setting.key != "private-key";
        SOURCES.contains(&setting.key) && (is_set(setting.variable) || (other && flags.has(setting.name())))
    };
    if is_set("GHAPP_PRIVATE_KEY") || SETTINGS.iter().any(|setting| says_the_source(&setting)) {
        return Ok(flags);
    }
    let named = flags.last("private-key").map(PathBuf::from);
    if named.as_ref().is_some_and(|path| path.exists()) {
        return Ok(flags);
    }
    let known = known_sources(&flags, file, world)?;
    if !known.is_empty() {
        for (name, text) in known {
            let _ = flags.set(name, text);
        }
    } else if named.is_none() {
        let what = "file of the App's private key";
        let answer = person.asked(what)?.ok_or_else(|| missing(what))?;
        let _ = flags.set("private-key", OsString::from(answer));
    }
    Ok(flags)
}

/// Where the file says that the key of this App is, as flags: perhaps setup moved it.
fn known_sources(flags: &Flags, file: &Path, world: &World<'_>) -> Result<Vec<(&'static str, OsString)>> {
    let Some(text) = change::read_if_there(file)? else { return Ok(Vec::new()) };
    let present = Config::of_file(&text, file, &world.folders)?;
    let rule = present.rules.iter().find(|rule| Some(rule.app_id.as_str()) == flags.last("app-id"));
    let Some(rule) = rule else { return Ok(Vec::new()) };
    let sources = SETTINGS.iter().filter(|setting| SOURCES.contains(&setting.key));
    let written = sources.filter_map(|setting| Some((setting.name(), (setting.written)(rule)?.as_flag())));
    Ok(written.map(|(name, text)| (name, OsString::from(text))).collect())
}

/// What GitHub says about the App.
fn look_around(source: &TokenSource<'_>) -> Result<(AppInfo, Vec<Installation>), Failure> {
    let github = source.github()?;
    let app = github.app()?;
    let mut installations = Vec::new();
    github.installations(|page| {
        installations.extend(page);
        ControlFlow::Continue(())
    })?;
    Ok((app, installations))
}

fn tell_about(
    app: &AppInfo,
    rule: &Rule,
    installations: &[Installation],
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    let installed = count(installations.len(), "installation", "installations");
    output.line(&format!("App {}{} on {}, {installed}", app.slug, app.of_owner(), rule.host))?;
    let rows: Vec<[String; 4]> = installations
        .iter()
        .map(|it| [owner(it), it.id.to_string(), selection(it), use_for_git(it)])
        .collect();
    if !rows.is_empty() {
        output.table(["OWNER", "ID", "REPOSITORIES", "GIT CAN"], &rows)?;
    }
    let covered = |owner: &str| {
        installations.iter().any(|it| it.owner().is_some_and(|it| it.eq_ignore_ascii_case(owner)))
    };
    for owner in rule.named_owners() {
        if !covered(owner) {
            let what = format!("the App is not installed on {owner}");
            world.terminal.warning(&Error::new(what).hint(app.install_hint()));
        }
    }
    if installations.is_empty() {
        world.terminal.warning(&Error::new("the App is not installed anywhere").hint(app.install_hint()));
    }
    Ok(())
}

/// How `private-key` names the key in the configuration, and what moves it there.
struct KeyPlace {
    /// `None` where another setting says where the key is.
    name: Option<String>,
    change: Option<Change>,
}

fn where_the_key_goes(
    options: &Options,
    rule: &Rule,
    app: &AppInfo,
    file: &Path,
    person: &mut Person<'_>,
) -> Result<KeyPlace> {
    let Some(path) = rule.key.file() else {
        return match rule.key.setting() {
            None if rule.key.command().is_none() => Err(Error::new(format!(
                "the private key is {}, which the configuration cannot name",
                rule.key.describe()
            ))
            .hint("put it into a file, and name that: --private-key FILE")),
            name => Ok(KeyPlace { name, change: None }),
        };
    };
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let safe = file.with_file_name("keys").join(format!("{}.pem", app.slug));
    let stays = || KeyPlace { name: Some(path.display().to_string()), change: None };
    if path == safe {
        return Ok(stays());
    }
    let wish = match options.move_key {
        None => offer_to_move(&path, &safe, person)?,
        wish => wish,
    };
    Ok(match wish {
        None => stays(),
        Some(MoveKey::Folder) => {
            KeyPlace { name: Some(safe.display().to_string()), change: Some(Change::key_file(path, safe)) }
        }
        Some(MoveKey::Keyring) => KeyPlace {
            name: Some(keyring::setting(&app.slug)),
            change: Some(Change::key_to_keyring(path, app.slug.clone())),
        },
    })
}

/// Asks a person where the key is to be. Where nobody is there it stays, and that others can read it is told.
fn offer_to_move(path: &Path, safe: &Path, person: &mut Person<'_>) -> Result<Option<MoveKey>> {
    let shown = path.display();
    let open = open_to_others(path).is_some();
    if open {
        person.world.terminal.warning(
            &Error::new(format!("the private key {shown} is readable by others"))
                .hint(format!("chmod 600 '{shown}', or let setup move it: --move-key folder")),
        );
    }
    let default = if open { "folder" } else { "keep" };
    let question = format!(
        "keep the private key at {shown}, move it to the folder {}, or into the keyring? keep, folder, keyring [{default}]",
        safe.parent().unwrap_or(safe).display()
    );
    if !person.present {
        return Ok(None);
    }
    match person.asked(&question)?.as_deref().unwrap_or(default) {
        "keep" => Ok(None),
        "folder" => Ok(Some(MoveKey::Folder)),
        "keyring" => Ok(Some(MoveKey::Keyring)),
        other => Err(Error::new(format!("{other:?} is neither keep nor folder nor keyring"))
            .hint("nothing was changed; run setup again")),
    }
}

/// Whether other users than the key's owner will be able to read it.
fn rule_key_is_shared(rule: &Rule, options: &Options) -> bool {
    rule.key.file().is_some_and(|path| options.move_key.is_none() && open_to_others(path).is_some())
}

/// Name and address for commits of the App.
fn bot(
    rule: &Rule,
    app: &AppInfo,
    installations: &[Installation],
    source: &TokenSource<'_>,
) -> Result<(String, String)> {
    let Some((place, installation)) = usable(rule, installations) else {
        return Err(Error::new("the App's identity can be found only once it is installed somewhere")
            .hint(app.install_hint()));
    };
    let token = source.token_of(installation, &place, Need::Fresh)?.token;
    identity::of_bot(rule, source, &token.secret)
}

/// The first installation that git can use and that the rule is for.
fn usable(rule: &Rule, installations: &[Installation]) -> Option<(Place, InstallationRef)> {
    let fits = |it: &&Installation| {
        let owner = it.owner().unwrap_or_default();
        let is_named = rule.named_owners().any(|named| named.eq_ignore_ascii_case(owner));
        let pinned = rule.installation.is_none_or(|pinned| pinned == it.id);
        it.is_usable() && pinned && (is_named || !rule.names_what_it_is_for())
    };
    let found = installations.iter().find(fits)?;
    let owner = found.owner().unwrap_or_default().to_ascii_lowercase();
    Some((Place::Owner(rule.host.clone(), owner), found.id.into()))
}

/// What git must know.
fn gits_side(
    options: &Options,
    scope: &Scope,
    rule: &Rule,
    bot: Option<(String, String)>,
) -> Result<Vec<Change>> {
    let host = &rule.host;
    let helper = helper_value()?;
    let mut changes = Vec::new();
    let urls: Vec<String> = if rule.names_what_it_is_for() {
        // Other owners keep the helpers that they have.
        let owners = rule.owners.iter().cloned();
        // git compares whole names between slashes, and URLs are written with the suffix and without.
        let repositories = rule.repositories.iter().flat_map(|it| [it.to_string(), format!("{it}.git")]);
        owners.chain(repositories).map(|path| format!("https://{host}/{path}")).collect()
    } else {
        vec![format!("https://{host}")]
    };
    for url in urls {
        let key = format!("credential.{url}.helper");
        let present = config::values(scope, &key)?;
        let last = present.iter().rposition(String::is_empty).map_or(0, |empty| empty + 1);
        let asked = &present[last..];
        let others_first = asked.iter().position(|value| is_ours(value)).is_none_or(|ours| ours > 0);
        let cleared = last > 0 || options.keep_other_helpers;
        let missing = match options.keep_other_helpers {
            true if asked.iter().any(|value| is_ours(value)) => Vec::new(),
            true => vec![helper.clone()],
            false if others_first || !cleared => vec![String::new(), helper.clone()],
            false => Vec::new(),
        };
        changes.push(Change::add(scope, key, &present, missing));
        changes.push(single(scope, format!("credential.{url}.useHttpPath"), "true")?);
    }
    if options.rewrite_ssh {
        let key = format!("url.https://{host}/.insteadOf");
        let present = config::values(scope, &key)?;
        let mut missing = vec![format!("git@{host}:"), format!("ssh://git@{host}/")];
        missing.retain(|ssh| !present.contains(ssh));
        changes.push(Change::add(scope, key, &present, missing));
    }
    if options.proactive {
        changes.push(single(scope, format!("http.https://{host}.proactiveAuth"), "basic")?);
    }
    if let Some((name, address)) = bot {
        changes.push(single(scope, "user.name".to_owned(), &name)?);
        changes.push(single(scope, "user.email".to_owned(), &address)?);
    }
    Ok(changes)
}

/// A setting with one value.
fn single(scope: &Scope, key: String, value: &str) -> Result<Change> {
    let present = config::values(scope, &key)?;
    Ok(Change::replace(scope, key, present, value))
}

/// How git calls this program: by its short name where git finds it, else by its path.
fn helper_value() -> Result<String> {
    let here = std::env::current_exe().and_then(std::fs::canonicalize);
    let here = here.map_err(|_| Error::new("this program does not know where it is"))?;
    let found = config::found_by_git().and_then(|path| std::fs::canonicalize(path).ok());
    if found.is_some_and(|path| path == here) {
        return Ok("ghapp".to_owned());
    }
    let path = here.display().to_string().replace('\\', "/");
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-:".contains(&byte));
    // git hands everything else to a shell.
    Ok(if plain { path } else { format!("!'{}'", path.replace('\'', r"'\''")) })
}

fn undo(journal: &Journal, app: Option<&str>, world: &World<'_>, output: &mut Output<'_>) -> Result<()> {
    let undone = journal.undo(app, world)?;
    if undone.is_empty() {
        return output.line("setup has written nothing that could be taken back");
    }
    output.line("taken back:")?;
    undone.iter().try_for_each(|text| output.line(&format!("  {text}")))
}

/// A first `git ls-remote`, through git itself.
fn try_it(
    rule: &Rule,
    installations: &[Installation],
    configuration: &Config,
    scope: &Scope,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    let mut repository = rule.repositories.first().map(ToString::to_string);
    if repository.is_none()
        && let Some((place, installation)) = usable(rule, installations)
    {
        let source = TokenSource::new(rule, configuration, world);
        let issued = source.token_of(installation, &place, Need::Fresh)?;
        repository = source.probe_any_repository(&issued.token)?.map(|it| it.to_string());
    }
    let Some(repository) = repository else {
        return output.line("not tried: the App can reach no repository yet");
    };
    let url = format!("https://{}/{repository}.git", rule.host);
    let in_this_repository = matches!(scope, Scope::File(_));
    let said = git::call_unattended(["ls-remote", "--quiet", url.as_str(), "HEAD"], in_this_repository)?;
    if said.code == Some(0) {
        return output.line(&format!("git ls-remote {url} works"));
    }
    let why =
        said.stderr.lines().last().unwrap_or("it does not say why").trim_start_matches("fatal: ").to_owned();
    Err(Error::new(format!("all is written, but git ls-remote {url} fails: {why}"))
        .hint(format!("git-credential-ghapp doctor {url}")))
}
