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
mod subject;
mod undo;

use std::io::BufRead;
use std::path::{Path, PathBuf};

use super::cached::{Cached, cached};
use super::identity;
use super::logout;
use super::output::Output;
use super::person::Person;
use crate::app::key::KeySource;
use crate::cache::TokenKey;
use crate::config::{Config, Flags, Rule};
use crate::error::{Error, Result};
use crate::files::open_to_others;
use crate::git::config::{self, Helper, Scope};
use crate::github::answers::{AppInfo, Installation};
use crate::names::{InstallationRef, Place};
use crate::source::{MintedBy, TokenSource, with_token};
use crate::token::Need;
use crate::world::World;

use change::{Change, GitFile};
use check::{Check, Tried};
use git_side::{Identity, Setting, helper_value};
use journal::{Entry, Journal, Which};
use key::{KeyPlace, OldKey, absolute};
use owners::Situation;
use rule::Present;
use subject::Subject;

pub(super) use change::in_shell;
pub(super) use git_side::{Here, typed_program};
pub(super) use undo::Written;

/// What is to be set up, and how far.
#[derive(Debug, clap::Args)]
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
    let journal = Journal::beside(&file);
    let mut person = Person::new(options.yes, stdin, world);
    if options.undo {
        let which = Which { app: flags.last("app-id"), host: flags.last("host"), owner: flags.last("owner") };
        return undo::undo(&journal, &which, options.dry_run, flags, &mut person, world, output);
    }

    let present = Present::read(file, &world.folders)?;
    let mut subject = Subject::find(&options, flags, &present, &journal, world, &mut person)?;
    let minted = Minted::watch(&subject, &present, flags, world);
    let done = set_up(&options, flags, scope, present, journal, &mut subject, &mut person, world, output);
    if options.dry_run || done.is_err() {
        minted.remove(world);
    }
    done
}

/// Does it for an App that is known.
#[expect(clippy::too_many_arguments, reason = "it is the rest of one function")]
fn set_up(
    options: &Options,
    flags: &Flags,
    scope: Scope,
    present: Present,
    journal: Journal,
    subject: &mut Subject,
    person: &mut Person<'_>,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    if person.present && !options.dry_run {
        subject.wait_until_installed(world, output)?;
    }
    subject.tell(world, output)?;
    let setup = Setup::decide(options, scope, present, journal, subject, person, world)?;
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

/// One run of setup, once it is clear what it is for.
struct Setup<'s> {
    options: &'s Options,
    scope: Scope,
    present: Present,
    journal: Journal,
    subject: &'s Subject,
    /// The rules of the same App or command in the file, by their position.
    own: Vec<usize>,
    /// Whether those say whom it is for.
    as_they_are: bool,
    /// The helpers of other programs that git asks for the host.
    helpers: Vec<Helper>,
    world: &'s World<'s>,
}

/// What is to be done.
struct Plan {
    changes: Vec<Change>,
    /// The App's rules as they will be, with the key where it is now.
    rules: Vec<Rule>,
    /// git's settings for them.
    settings: Vec<Setting>,
    /// How git will call this program.
    helper: String,
    /// The keys that the App had before.
    old_keys: Vec<OldKey>,
}

impl<'s> Setup<'s> {
    /// Decides for whom the App is to answer, beside the Apps and helpers that are there.
    fn decide(
        options: &'s Options,
        scope: Scope,
        present: Present,
        journal: Journal,
        subject: &'s mut Subject,
        person: &mut Person<'_>,
        world: &'s World<'_>,
    ) -> Result<Self> {
        let (rule, app, installations) = (&mut subject.rule, &subject.app, &subject.installations);
        let on_host: Vec<usize> =
            (0..present.rules.len()).filter(|index| present.rules[*index].host == rule.host).collect();
        let is_own = |it: &Rule| match app {
            Some(app) => it.identity.token_command().is_none() && app.has_id(&it.app_id),
            None => it.is_same_client(rule),
        };
        let (own, others): (Vec<usize>, Vec<usize>) =
            on_host.into_iter().partition(|index| is_own(&present.rules[*index]));
        if let Some(first) = own.first() {
            rule.app_id.clone_from(&present.rules[*first].app_id);
        }
        let helpers = other_helpers(rule)?;
        let situation = Situation {
            options,
            app: app.as_ref(),
            installations,
            other_apps: others.iter().map(|index| &present.rules[*index]).collect(),
            is_configured: !own.is_empty(),
            other_helpers: &helpers,
        };
        situation.decide(rule, person)?;
        let as_they_are = !own.is_empty() && !rule.names_what_it_is_for() && !options.all_owners;
        Ok(Self { options, scope, present, journal, subject, own, as_they_are, helpers, world })
    }

    /// Finds out what is to be changed.
    fn plan(&self, person: &mut Person<'_>) -> Result<Plan> {
        let named = self.subject.flags.config.is_some().then(|| absolute(&self.present.file));
        let mut plan = Plan {
            changes: Vec::new(),
            rules: vec![self.subject.rule.clone()],
            settings: Vec::new(),
            helper: helper_value(named.as_deref(), self.world)?,
            old_keys: Vec::new(),
        };
        if !self.is_from_environment() {
            self.plan_own_side(&mut plan, person)?;
        }
        self.plan_gits_side(&mut plan)?;
        plan.changes.retain(|change| !change.is_done());
        Ok(plan)
    }

    /// This program's side: the rule, and where the key goes.
    fn plan_own_side(&self, plan: &mut Plan, person: &mut Person<'_>) -> Result<()> {
        let Self { options, present, journal, subject, own, as_they_are, world, .. } = self;
        let Subject { rule, app, config, .. } = subject;
        let own_rules: Vec<&Rule> = own.iter().map(|index| &present.rules[*index]).collect();
        let place = match app {
            Some(app) => {
                let before = own_rules.first().and_then(|rule| rule.identity.only_key()?.setting());
                key::where_it_goes(options, rule, app, before.as_deref(), &present.file, person, world)?
            }
            // Where nobody says what the App is called, the key stays where it is.
            None => KeyPlace { name: rule.identity.only_key().and_then(KeySource::setting), change: None },
        };
        plan.changes.extend(place.change.iter().cloned());
        let (change, written) =
            rule::write(present, rule, own, *as_they_are, place.name.as_deref(), &world.folders)?;
        plan.changes.extend(change);
        plan.rules = written;
        // The key is still where it was.
        plan.rules.iter_mut().for_each(|it| it.identity.clone_from(&rule.identity));
        plan.old_keys = key::old_keys(rule, &place, &own_rules, journal, config, world)?;
        plan.changes.extend(plan.old_keys.iter().filter_map(OldKey::removal));
        Ok(())
    }

    /// git's side: its settings.
    fn plan_gits_side(&self, plan: &mut Plan) -> Result<()> {
        let Self { options, scope, present, journal, subject, world, .. } = self;
        let Subject { flags, config, rule, app, installations } = subject;
        let identity = match (options.identity, app) {
            (true, Some(app)) => Some(bot(rule, app, installations, config, &present.file, world)?),
            (true, None) => {
                let what = format!("it cannot be found out who {} is in commits", rule.client());
                return Err(Error::new(what).hint("leave out --identity, and set user.name and user.email"));
            }
            (false, _) => None,
        };
        let all_installed = owners::paths_of_installations(installations);
        for rule in &plan.rules {
            let paths = owners::paths(rule, installations, flags);
            plan.settings.extend(git_side::settings(options, rule, &paths, &all_installed, &plan.helper)?);
            if let Some(identity) = &identity {
                let (more, file) = git_side::identity(identity, scope, rule, &paths)?;
                plan.settings.extend(more);
                plan.changes.extend(file);
            }
        }
        let file = GitFile::find(scope, journal, world)?;
        for setting in &plan.settings {
            plan.changes.push(setting.change(&file)?);
        }
        Ok(())
    }

    /// Whether it works is found out with this.
    fn check<'c>(&'c self, plan: &'c Plan) -> Check<'c> {
        Check {
            rules: &plan.rules,
            installations: &self.subject.installations,
            config: &self.subject.config,
            from_environment: self.is_from_environment(),
            in_this_repository: matches!(self.scope, Scope::File(_)),
            world: self.world,
        }
    }

    /// Shows what will be changed.
    fn show(&self, plan: &Plan, output: &mut Output<'_>) -> Result<()> {
        let Self { options, scope, subject, present, helpers, world, .. } = self;
        if *scope == Scope::System
            && !rule_key_is_shared(&subject.rule, options)
            && !self.is_from_environment()
        {
            let what = "only its owner can read the private key, so git of other users gets no token";
            let hint = "let a group read it: chgrp GROUP FILE && chmod 640 FILE, and its folder too";
            world.terminal.warning(&Error::new(what).hint(hint));
        }
        let host = &subject.rule.host;
        let on_host: Vec<&Rule> = present.rules.iter().filter(|rule| rule.host == *host).collect();
        let has_rest =
            on_host.iter().any(|rule| !rule.names_what_it_is_for() || rule.public_repositories.is_some())
                && config::helpers(&format!("https://{host}"))?.iter().any(Helper::is_ours);
        output.line(&owners::in_words(&plan.rules, &on_host, has_rest, options, helpers))?;
        output.line(match options.dry_run {
            _ if plan.changes.is_empty() => "everything is set up already",
            true => "this would change:",
            false => "this will change:",
        })?;
        plan.changes.iter().try_for_each(|change| change.tell(output))
    }

    /// Makes the changes, and tries git with them; if it fails, all is as it was. Gives what was tried.
    fn write(&self, plan: &Plan, check: &Check<'_>, tried: Option<&Tried>) -> Result<Option<String>> {
        let Self { journal, subject, world, .. } = self;
        let is_changed = !plan.changes.is_empty();
        if is_changed {
            let rule = &subject.rule;
            let entry = Entry {
                app: rule.app_id.clone(),
                other_id: subject.app.as_ref().and_then(|app| app.other_id(&rule.app_id)),
                host: Some(rule.host.to_string()),
                owners: plan.rules.iter().flat_map(|rule| rule.named_owners().cloned()).collect(),
                changes: plan.changes.clone(),
            };
            journal.apply(entry, world)?;
        }
        let Some(tried) = tried else { return Ok(None) };
        if let Err(why) = check.after(tried) {
            if is_changed {
                journal.undo_last(world)?;
            }
            return Err(why);
        }
        Ok(Some(tried.works()))
    }

    /// What a person types to take it back, and what that takes back with it.
    fn how_to_undo(&self, flags: &Flags) -> Result<String> {
        let Self { scope, present, journal, subject, world, .. } = self;
        let undo = undo_command(scope, &present.file, flags, world);
        let app = &subject.rule.app_id;
        let runs = journal.apps(&Which::default(), world)?;
        Ok(if runs.iter().any(|it| it != app) {
            let id = in_shell(app);
            format!("done; to undo everything that setup wrote for this App: {undo} --app-id {id}")
        } else if runs.len() > 1 {
            format!("done; to undo everything that setup wrote: {undo}")
        } else {
            format!("done; to undo it: {undo}")
        })
    }

    fn is_from_environment(&self) -> bool {
        self.subject.is_from_environment(self.world)
    }
}

/// The tokens that setup mints for an App that is not configured: they are for trying it, and only a setup that is done keeps
/// them.
struct Minted {
    /// With the settings of this command alone, and with those of the files, which git's call of this program reads.
    configs: Vec<Config>,
    /// What was cached before: keys, and the stores.
    before: Vec<(TokenKey, &'static str)>,
    app: String,
}

impl Minted {
    fn watch(subject: &Subject, present: &Present, flags: &Flags, world: &World<'_>) -> Self {
        let app = subject.rule.app_id.clone();
        let is_configured = present
            .rules
            .iter()
            .any(|rule| rule.app_id == app || subject.app.as_ref().is_some_and(|it| it.has_id(&rule.app_id)));
        let mut configs = Vec::new();
        // A token of an App that is configured is one that git may be using now, and one of a command is not ours to revoke.
        if !is_configured && subject.rule.identity.token_command().is_none() {
            configs.push(subject.config.clone());
            configs.extend(Config::load(flags, world).ok().map(|files| {
                let rules = subject.config.rules.clone();
                Config { rules, ..files }
            }));
        }
        let cached = configs.iter().flat_map(|config| cached(config, world).0);
        let before = cached.map(|it| (it.key, it.store)).collect();
        Self { configs, before, app }
    }

    /// Revokes and removes what was minted since.
    fn remove(&self, world: &World<'_>) {
        for config in &self.configs {
            let is_new = |it: &Cached| {
                it.label.app == self.app
                    && !self.before.iter().any(|(key, store)| it.key == *key && it.store == *store)
            };
            for why in logout::these(is_new, config, world).1 {
                world.terminal.warning(&why);
            }
        }
    }
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

/// The helpers of other programs that git asks for the host.
fn other_helpers(rule: &Rule) -> Result<Vec<Helper>> {
    let mut helpers = config::helpers(&format!("https://{}", rule.host))?;
    helpers.retain(|helper| !helper.is_ours());
    Ok(helpers)
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
    let token_of = |need: Need<'_>| source.token_of(MintedBy::GitHub(&installation), &place, need);
    let of_bot = with_token(token_of, |issued| identity::of_bot(rule, &source, &issued.token.secret))?;
    let (name, address) = of_bot;
    Ok(Identity { name, address, file: file.with_file_name(format!("identity-{}.gitconfig", app.slug)) })
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
