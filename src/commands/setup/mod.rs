//! `setup`: from an App and its key to a first clone with one command, and back with another.
//!
//! Everything is found out first, then tried, then shown, then written: what fails has changed nothing.

mod change;
mod check;
mod git_side;
mod journal;
mod key;
mod owners;
mod rule;
mod undo;

use std::ffi::OsString;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::identity;
use super::installations::{owner, selection, use_for_git};
use super::output::{Output, count};
use super::person::{Person, TRIES};
use crate::app::key::KeySource;
use crate::app::token_command;
use crate::config::{Config, Flags, Rule, SETTINGS, SOURCES, Setting};
use crate::error::{Error, Result};
use crate::files::open_to_others;
use crate::git::config::{self, Helper, Scope};
use crate::github::Failure;
use crate::github::answers::{AppInfo, Installation};
use crate::names::{InstallationRef, Place};
use crate::source::{TokenSource, with_token};
use crate::token::Need;
use crate::world::{PRIVATE_KEY, World};

use change::Change;
use check::Check;
use git_side::{Identity, helper_value};
use journal::{Entry, Journal, Which};
use key::{KeyPlace, absolute};
use owners::Situation;
use rule::Present;

pub(super) use change::in_shell;
pub(super) use git_side::{Here, typed_program};
pub(super) use undo::Written;

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
    /// Let git ask this program for every owner of the host, and no other helper; the default where there is none
    #[arg(long)]
    all_owners: bool,
    /// Let git ask other helpers before this one
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
    /// Let a new private key take the place of the App's old one, and tell what is left to do about that
    #[arg(long, value_name = "FILE")]
    rotate_key: Option<PathBuf>,
    /// Show what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Ask nothing, even where a person could answer
    #[arg(long, short)]
    yes: bool,
    /// Take back everything that setup wrote; with --app-id, --host or --owner only what it wrote for that
    #[arg(long, conflicts_with_all = ["all_owners", "rotate_key", "keep_other_helpers", "rewrite_ssh", "identity", "proactive", "move_key"])]
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
        // What is taken back says itself where it stands.
        (_, true) if !options.undo => Scope::here()?,
        _ => Scope::Global,
    };
    let file = config_file(&scope, flags, world)?;
    let journal = Journal::beside(&file);
    let mut person = Person::new(options.yes, stdin, world);
    if options.undo {
        let which = Which { app: flags.last("app-id"), host: flags.last("host"), owner: flags.last("owner") };
        return undo::undo(&journal, &which, options.dry_run, &mut person, world, output);
    }
    let present = Present::read(file, &world.folders)?;
    let Subject { flags, config, mut rule, app, installations } =
        find_client(&options, flags, &present, &journal, world, &mut person)?;
    if let Some(app) = &app {
        tell_about(app, &rule, &installations, world, output)?;
    }

    // For whom it is.
    let on_host = |it: &&Rule| it.host == rule.host;
    let is_own = |it: &Rule| match &app {
        Some(app) => it.identity.token_command().is_none() && app.has_id(&it.app_id),
        None => it.is_same_client(&rule),
    };
    let own: Vec<usize> = (0..present.rules.len())
        .filter(|index| on_host(&&present.rules[*index]) && is_own(&present.rules[*index]))
        .collect();
    let own_rules: Vec<&Rule> = own.iter().map(|index| &present.rules[*index]).collect();
    let other_apps: Vec<&Rule> = present.rules.iter().filter(on_host).filter(|it| !is_own(it)).collect();
    if let Some(same) = own_rules.first() {
        rule.app_id.clone_from(&same.app_id);
    }
    let helpers = other_helpers(&rule)?;
    let situation = Situation {
        options: &options,
        app: app.as_ref(),
        installations: &installations,
        other_apps,
        is_configured: !own.is_empty(),
        other_helpers: &helpers,
    };
    situation.decide(&mut rule, &mut person)?;
    let as_they_are = !own.is_empty() && !rule.names_what_it_is_for() && !options.all_owners;

    // This program's side.
    let from_environment = is_from_environment(&flags, world);
    let place = if let Some(app) = app.as_ref().filter(|_| !from_environment) {
        let before = own_rules.first().and_then(|rule| rule.identity.only_key()?.setting());
        key::where_it_goes(&options, &rule, app, before.as_deref(), &present.file, &mut person, world)?
    } else {
        KeyPlace { name: None, change: None }
    };
    let mut changes: Vec<Change> = place.change.iter().cloned().collect();
    let mut rules = vec![rule.clone()];
    let mut old_keys = Vec::new();
    if !from_environment {
        let (change, written) =
            rule::write(&present, &rule, &own, as_they_are, place.name.as_deref(), &world.folders)?;
        changes.extend(change);
        rules = written;
        // The key is still where it was.
        rules.iter_mut().for_each(|it| it.identity.clone_from(&rule.identity));
        old_keys = key::old_keys(&rule, &place, &own_rules, &journal, &config, world)?;
        changes.extend(old_keys.iter().filter_map(key::OldKey::removal));
    }

    // git's side.
    let named = flags.config.is_some().then(|| absolute(&present.file));
    let helper = helper_value(named.as_deref(), world)?;
    let identity = match (options.identity, &app) {
        (true, Some(app)) => Some(bot(&rule, app, &installations, &config, &present.file, world)?),
        (true, None) => {
            let what = format!("{} is no App, which has an identity", rule.client());
            return Err(Error::new(what).hint("leave out --identity"));
        }
        (false, _) => None,
    };
    let all_installed = owners::paths_of_installations(&installations);
    let mut settings = Vec::new();
    for rule in &rules {
        let paths = owners::paths(rule, &installations, &flags);
        settings.extend(git_side::settings(&options, rule, &paths, &all_installed, &helper)?);
        if let Some(identity) = &identity {
            let (more, file) = git_side::identity(identity, &scope, rule, &paths)?;
            settings.extend(more);
            changes.extend(file);
        }
    }
    for setting in &settings {
        changes.push(setting.change(&scope)?);
    }
    changes.retain(|change| !change.is_done());

    // Whether it works.
    let check = Check {
        rules: &rules,
        installations: &installations,
        config: &config,
        from_environment,
        in_this_repository: matches!(scope, Scope::File(_)),
        world,
    };
    let tried = check.tokens()?;
    if let Some(tried) = &tried {
        check.before(tried, &settings, &helper)?;
    }
    if scope == Scope::System && !rule_key_is_shared(&rule, &options) && !from_environment {
        let what = "only its owner can read the private key, so git of other users gets no token";
        let hint = "let a group read it: chgrp GROUP FILE && chmod 640 FILE, and its folder too";
        world.terminal.warning(&Error::new(what).hint(hint));
    }
    output.line(&owners::in_words(&rules, &options, &helpers))?;
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
    let is_changed = !changes.is_empty();
    if is_changed {
        if person.present && !person.agrees("go on?")? {
            return Err(Error::new("nothing was changed"));
        }
        let entry = Entry {
            app: rule.app_id.clone(),
            other_id: app.as_ref().and_then(|app| app.other_id(&rule.app_id)),
            host: Some(rule.host.to_string()),
            owners: rules.iter().flat_map(|rule| rule.named_owners().cloned()).collect(),
            changes,
        };
        journal.apply(entry, world)?;
    }
    let works = tried.as_ref().map(|tried| check.after(tried).map(|()| tried.works()));
    if let Some(Err(why)) = works {
        if is_changed {
            journal.undo_last(world)?;
        }
        return Err(why);
    }
    if is_changed {
        output
            .line(&format!("done; {} takes it back", undo_command(&scope, &present.file, &flags, world)))?;
    }
    for advice in app.iter().flat_map(|app| old_keys.iter().filter_map(|old| old.advice(&rule, app, world))) {
        output.line(&advice)?;
    }
    let not_tried = match app {
        Some(_) => "not tried: the App can reach no repository yet".to_owned(),
        None => format!("not tried: {} with a repository tries it: doctor OWNER/REPO", typed_program(world)),
    };
    output.line(&works.transpose()?.unwrap_or(not_tried))
}

/// The App as it is named, and as GitHub knows it; or a command that gives tokens.
struct Subject {
    flags: Flags,
    config: Config,
    rule: Rule,
    app: Option<AppInfo>,
    installations: Vec<Installation>,
}

/// Finds out which App or command is meant. Where a person types what is missing, and GitHub does not know that, it is asked for again.
fn find_client(
    options: &Options,
    given: &Flags,
    present: &Present,
    journal: &Journal,
    world: &World<'_>,
    person: &mut Person<'_>,
) -> Result<Subject> {
    for tries in 1.. {
        let (flags, typed) = complete(options, given, present, journal, world, person)?;
        let refused = match as_github_knows(flags, world) {
            Ok(subject) => return Ok(subject),
            Err(failure @ (Failure::Unreachable(_) | Failure::Limited(..))) => return Err(failure.into()),
            Err(failure) => Error::from(failure),
        };
        if !typed || tries == TRIES {
            return Err(refused);
        }
        person.tell(&refused);
    }
    Err(super::nothing_configured())
}

fn as_github_knows(flags: Flags, world: &World<'_>) -> Result<Subject, Failure> {
    // Checked like any other configuration, as if the flags stood on git's helper line.
    let config = Config::load_without_files(&flags, world)?;
    let Some(rule) = config.rules.last().cloned() else { return Err(super::nothing_configured().into()) };
    let source = TokenSource::new(&rule, &config, world);
    if rule.identity.token_command().is_some() {
        return Ok(Subject { flags, rule: rule.clone(), app: None, installations: Vec::new(), config });
    }
    source.app().check_key()?;
    let github = source.github()?;
    let app = Some(github.app()?);
    let mut installations = Vec::new();
    github.installations(|page| {
        installations.extend(page);
        ControlFlow::Continue(())
    })?;
    Ok(Subject { flags, rule: rule.clone(), app, installations, config })
}

/// Which of this program's files is written.
fn config_file(scope: &Scope, flags: &Flags, world: &World<'_>) -> Result<PathBuf> {
    if let Some(named) = flags.config_file(&world.variables) {
        return Ok(absolute(&named));
    }
    match scope {
        Scope::System => Ok(world.folders.system_config.clone()),
        Scope::Global | Scope::File(_) => world.folders.user_config.clone().ok_or_else(|| {
            Error::new("there is no place for a configuration: this user has no home")
                .hint("set HOME, or name a file: --config FILE")
        }),
    }
}

/// What a person types to take it back.
fn undo_command(scope: &Scope, file: &Path, flags: &Flags, world: &World<'_>) -> String {
    let system = if *scope == Scope::System { " --system" } else { "" };
    let named = flags
        .config_file(&world.variables)
        .map(|_| format!(" --config {}", in_shell(&file.display().to_string())));
    format!("{} setup{system} --undo{}", typed_program(world), named.unwrap_or_default())
}

/// Whether git will find App and key in its environment, so that nothing of them is written.
fn is_from_environment(flags: &Flags, world: &World<'_>) -> bool {
    let is_set = |name: &str| world.variables.path(name).is_some();
    let mut sources = sources();
    (is_set("GHAPP_APP_ID") || is_set("GHAPP_TOKEN_COMMAND"))
        && !flags.has("app-id")
        && (is_set(PRIVATE_KEY) || sources.clone().any(|source| is_set(source.variable)))
        && !sources.any(|source| flags.has(source.name()))
}

/// The settings that say where the key is.
fn sources() -> impl Iterator<Item = &'static Setting> + Clone {
    SETTINGS.iter().filter(|setting| SOURCES.contains(&setting.key))
}

/// The flags, with what is missing from a person, and with the key of an App that is configured already. Whether a person
/// typed something of that.
fn complete(
    options: &Options,
    flags: &Flags,
    present: &Present,
    journal: &Journal,
    world: &World<'_>,
    person: &mut Person<'_>,
) -> Result<(Flags, bool)> {
    let missing = |what: &str| {
        Error::new(format!("the {what} is missing")).hint(
            "git-credential-ghapp setup --app-id ID --private-key FILE; in CI set GHAPP_APP_ID and GHAPP_PRIVATE_KEY",
        )
    };
    let mut flags = flags.clone();
    let mut typed = false;
    let is_set = |name: &str| world.variables.path(name).is_some();
    if options.rotate_key.is_some() {
        only_app(&mut flags, present, world)?;
    }
    let is_command = flags.has(token_command::SETTING) || is_set("GHAPP_TOKEN_COMMAND");
    if !flags.has("app-id") && !is_set("GHAPP_APP_ID") && !is_command {
        let what = "client ID or App ID";
        let answer = person.asked(what)?.ok_or_else(|| missing(what))?;
        typed = true;
        // The flag is one of this program's.
        let _ = flags.set("app-id", OsString::from(answer));
    }
    let named = match &options.rotate_key {
        Some(path) => vec![path.display().to_string()],
        None => flags.each("private-key").map(str::to_owned).collect(),
    };
    // A public key alone goes with the command that is there already.
    let says_the_source = |source: &Setting| {
        let is_other = !["private-key", "public-key"].contains(&source.key);
        is_set(source.variable) || (is_other && flags.has(source.name()))
    };
    if named.is_empty() && (is_set(PRIVATE_KEY) || sources().any(says_the_source)) {
        return Ok((flags, typed));
    }
    let named = if named.is_empty() {
        let known = known_sources(&flags, present);
        if !known.is_empty() {
            for (name, values) in known {
                flags.replace(name, values);
            }
            return Ok((flags, typed));
        }
        typed = true;
        vec![key::asked(person, world)?.ok_or_else(|| missing("file of the App's private key"))?]
    } else {
        named
    };
    let found: Result<Vec<String>> = named.iter().map(|named| key::found(named, journal, world)).collect();
    flags.replace("private-key", found?);
    Ok((flags, typed))
}

/// Names the App whose key is to be another one, if there is one App only.
fn only_app(flags: &mut Flags, present: &Present, world: &World<'_>) -> Result<()> {
    let named = flags.last("app-id").map(str::to_owned).or(world.variables.text("GHAPP_APP_ID")?);
    let mut apps: Vec<&Rule> = Vec::new();
    for rule in &present.rules {
        let meant = named.as_ref().is_none_or(|named| *named == rule.app_id)
            && flags.last("host").is_none_or(|host| host.eq_ignore_ascii_case(&rule.host.to_string()));
        if meant && !apps.iter().any(|it| it.app_id == rule.app_id && it.host == rule.host) {
            apps.push(rule);
        }
    }
    match (apps.as_slice(), &named) {
        ([app], _) => {
            let _ = flags.set("app-id", OsString::from(&app.app_id));
            let _ = flags.set("host", OsString::from(app.host.to_string()));
            let _ = flags.set("api-url", OsString::from(app.api.to_string()));
            Ok(())
        }
        // By its other id, perhaps.
        ([], Some(_)) => Ok(()),
        ([], None) => Err(super::nothing_configured()),
        (several, _) => {
            let each: Vec<String> = several.iter().map(|rule| format!("--app-id {}", rule.app_id)).collect();
            Err(Error::new("several Apps are configured").hint(format!("say which: {}", each.join(" or "))))
        }
    }
}

/// Where the file says that the key of this App is, as flags that are not given.
fn known_sources(flags: &Flags, present: &Present) -> Vec<(&'static str, Vec<String>)> {
    let rule = present.rules.iter().find(|rule| Some(rule.app_id.as_str()) == flags.last("app-id"));
    let written = |rule| sources().map(move |it| (it.name(), it.as_flags(rule)));
    let known = rule.into_iter().flat_map(written);
    known.filter(|(name, values)| !values.is_empty() && !flags.has(name)).collect()
}

/// The helpers of other programs that git asks for the host.
fn other_helpers(rule: &Rule) -> Result<Vec<Helper>> {
    let mut helpers = config::helpers(&format!("https://{}", rule.host))?;
    helpers.retain(|helper| !helper.is_ours());
    Ok(helpers)
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

/// Whether other users than the key's owner will be able to read it.
fn rule_key_is_shared(rule: &Rule, options: &Options) -> bool {
    let is_shared = |path: &Path| options.move_key.is_none() && open_to_others(path).is_some();
    let of_key = |key: &dyn KeySource| key.file().is_some_and(is_shared) || key.command().is_some();
    rule.identity.only_key().is_none_or(of_key)
}

/// Name and address for commits of the App.
fn bot(
    rule: &Rule,
    app: &AppInfo,
    installations: &[Installation],
    config: &Config,
    file: &Path,
    world: &World<'_>,
) -> Result<Identity> {
    let Some((place, installation)) = installed_on(rule, installations).into_iter().next() else {
        return Err(Error::new("the App's identity can be found only once it is installed somewhere")
            .hint(app.install_hint()));
    };
    let source = TokenSource::new(rule, config, world);
    let token_of = |need: Need<'_>| source.token_of(installation, &place, need);
    let of_bot = with_token(token_of, |issued| identity::of_bot(rule, &source, &issued.token.secret))?;
    let (name, address) = of_bot;
    Ok(Identity { name, address, file: file.with_file_name(format!("identity-{}.gitconfig", app.slug)) })
}

/// The installations that the rule is for: those on the owners that it names, or the first one that git can use.
fn installed_on(rule: &Rule, installations: &[Installation]) -> Vec<(Place, InstallationRef)> {
    let named = |owner: &str| rule.named_owners().any(|named| named.eq_ignore_ascii_case(owner));
    let fits = |it: &&Installation| {
        let pinned = rule.installation.is_none_or(|pinned| pinned == it.id);
        let owner = it.owner().unwrap_or_default();
        pinned && if rule.names_what_it_is_for() { named(owner) } else { it.is_usable() }
    };
    let place = |it: &Installation| {
        let owner = it.owner().unwrap_or_default().to_ascii_lowercase();
        (Place::Owner(rule.host.clone(), owner), it.id.into())
    };
    let count = if rule.names_what_it_is_for() { usize::MAX } else { 1 };
    installations.iter().filter(fits).take(count).map(place).collect()
}
