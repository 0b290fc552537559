//! `setup`: from an App and its key to a first clone with one command, and back with another.
//!
//! Everything is found out first, then tried, then shown, then written: what fails has changed nothing.

mod change;
mod check;
mod files;
mod git_side;
mod journal;
mod key;
mod minted;
mod owners;
mod plan;
mod rule;
mod subject;
mod undo;
mod undo_change;

use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::output::Output;
use super::person::Person;
use crate::cache::{Cache, Lock, Turn};
use crate::config::{Config, Flags, Rule};
use crate::error::{Error, Result};
use crate::git::{self, config::Scope};
use crate::github::answers::Installation;
use crate::names::{InstallationRef, Place};
use crate::world::World;

use journal::{Journal, Which};
use key::absolute;
use minted::Minted;
use plan::Setup;
use rule::Present;
use subject::Subject;

pub(super) use git_side::{Here, typed_program};
pub(super) use key::{
    into_file_instead as key_into_file_instead, keep as keep_key, kept as kept_key,
    new_place as new_place_for_key,
};
pub(super) use undo::Written;

/// What is to be set up, and how far.
#[derive(Debug, Default, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Options {
    /// Write to this user's git configuration (default)
    #[arg(long, group = "where")]
    global: bool,
    /// Write to the whole machine's configuration, both git's and this program's
    #[arg(long, group = "where")]
    system: bool,
    /// Write to this repository's git configuration
    #[arg(long, group = "where")]
    local: bool,
    /// Let git ask this helper, and no other, for every owner on the host; the default if git has no other helper
    #[arg(long)]
    all_owners: bool,
    /// Keep other helpers, and let git ask them before this one
    #[arg(long)]
    keep_other_helpers: bool,
    /// Let git use https for SSH URLs, by url.*.insteadOf
    #[arg(long)]
    rewrite_ssh: bool,
    /// Commit as the App: set user.name and user.email to those of its bot
    #[arg(long)]
    identity: bool,
    /// Let git send the credential with its first request, not only after a 401 (git 2.46 or later)
    #[arg(long)]
    proactive: bool,
    /// Move the private key to a safe place
    #[arg(long, value_name = "WHERE", value_enum)]
    move_key: Option<MoveKey>,
    /// Replace the App's private key with this one, and say what is left to do with the old one
    #[arg(long, value_name = "FILE")]
    rotate_key: Option<PathBuf>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Ask no questions: do what the default answers say
    #[arg(long, short)]
    yes: bool,
    /// Undo everything that setup wrote, or with --app-id, --host or --owner only what it wrote for that App, host or owner
    #[arg(long, conflicts_with_all = ["all_owners", "rotate_key", "keep_other_helpers", "rewrite_ssh", "identity", "proactive", "move_key"])]
    undo: bool,
    /// Whether it waits until the App is installed although nobody is there to be asked
    #[arg(skip)]
    waits: bool,
}

impl Options {
    /// For an App that was made a moment ago, which somebody is about to install in a browser.
    pub(super) fn of_new_app(yes: bool) -> Self {
        Self { yes, waits: true, ..Self::default() }
    }
}

/// Where a private key is moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum MoveKey {
    /// A folder beside the configuration file, which only you can read
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
    let journal = Journal::beside(&file).alone(flags.config_file(&world.variables).is_some());
    let _turn =
        if options.dry_run { None } else { turn(&Config::load(flags, world).unwrap_or_default(), world)? };
    let mut person = Person::new(options.yes, stdin, world);
    if options.undo {
        let which = Which { app: flags.last("app-id"), host: flags.last("host"), owner: flags.last("owner") };
        return undo::undo(&journal, &which, options.dry_run, flags, &mut person, world, output);
    }

    let present = Present::read(file, &world.folders)?;
    let mut subject = Subject::find(&options, flags, &present, &journal, world, &mut person)?;
    let minted = Minted::watch(&subject, &present, flags, world);
    let target = Target { scope, present, journal };
    let done = set_up(&options, flags, target, &mut subject, &mut person, world, output);
    if options.dry_run || done.is_err() {
        minted.remove(world);
    }
    done
}

/// The turn of whoever changes what setup writes, held until it is dropped: of several at once, each finds what the one before
/// it left.
pub(super) fn turn(config: &Config, world: &World<'_>) -> Result<Option<Lock>> {
    Cache::open(world, &config.cache, None).turn(Turn::SetUp)
}

/// Where setup writes.
struct Target {
    /// Which of git's configuration files.
    scope: Scope,
    /// This program's file, and what is in it.
    present: Present,
    /// What setup wrote before.
    journal: Journal,
}

/// Does it for an App that is known.
fn set_up(
    options: &Options,
    flags: &Flags,
    target: Target,
    subject: &mut Subject,
    person: &mut Person<'_>,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    if (person.present || options.waits) && !options.dry_run {
        subject.wait_until_installed(world, output)?;
    }
    subject.tell(world, output)?;
    let setup = Setup::decide(options, target, subject, person, world)?;
    let plan = setup.plan(person)?;
    let check = setup.check(&plan);
    let tried = check.tokens()?;
    if let Some(tried) = &tried {
        check.before(tried, &plan.settings, &plan.helper)?;
    }
    setup.show(&plan, output)?;
    if options.dry_run {
        return Ok(());
    }
    if person.present && !plan.changes.is_empty() && !person.agrees("continue?")? {
        return Err(Error::new("nothing was changed"));
    }
    let works = setup.write(&plan, &check, tried.as_ref())?;
    if !plan.changes.is_empty() {
        output.line(&setup.how_to_undo(flags)?)?;
    }
    let Subject { rule, app, .. } = setup.subject;
    for advice in
        app.iter().flat_map(|app| plan.old_keys.iter().filter_map(|old| old.advice(rule, app, world)))
    {
        output.line(&advice)?;
    }
    let not_tried = || match app {
        Some(_) => "not tried: the App can reach no repository yet".to_owned(),
        None => format!("not tried yet: {} doctor OWNER/REPO tries it", typed_program(world)),
    };
    output.line(&works.unwrap_or_else(not_tried))
}

/// The configuration file of this user, or the one that is named.
///
/// # Errors
/// If there is no place for it.
pub(super) fn user_configuration(flags: &Flags, world: &World<'_>) -> Result<PathBuf> {
    config_file(&Scope::Global, flags, world)
}

/// An error if that file, what setup noted beside it, or git's configuration could not be changed by setup.
pub(super) fn check_configuration(file: &Path, world: &World<'_>) -> Result<()> {
    git::config::values(&Scope::Global, "credential.helper")?;
    Present::read(file.to_owned(), &world.folders)?;
    Journal::beside(file).read(world).map(drop)
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

/// The installations that the rule is for: those on the owners that it names, or the first one that git can use.
fn installed_on(rule: &Rule, installations: &[Installation]) -> Vec<(Place, InstallationRef)> {
    let named = |owner: &str| rule.named_owners().any(|named| named.eq_ignore_ascii_case(owner));
    let fits = |it: &&Installation| {
        let pinned = rule.installation.as_ref().is_none_or(|pinned| *pinned == it.id);
        let owner = it.owner().unwrap_or_default();
        pinned && if rule.names_what_it_is_for() { named(owner) } else { it.is_usable() }
    };
    let place = |it: &Installation| {
        let owner = it.owner().unwrap_or_default().to_ascii_lowercase();
        (Place::Owner(rule.host.clone(), owner), it.id.clone().into())
    };
    let count = if rule.names_what_it_is_for() { usize::MAX } else { 1 };
    installations.iter().filter(fits).take(count).map(place).collect()
}
