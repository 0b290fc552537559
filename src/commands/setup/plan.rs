//! One run of setup, once it is clear which App it is for: decided, planned, shown, written.

use std::path::Path;

use super::change::{Change, GitFile};
use super::check::{Check, Tried};
use super::git_side::{self, Identity, Setting, helper_value, typed_program};
use super::journal::{Entry, Journal, Which};
use super::key::{self, KeyPlace, OldKey, absolute};
use super::owners::{self, Situation};
use super::rule::{self, Present};
use super::subject::Subject;
use super::{Options, Target, installed_on};
use crate::app::key::KeySource;
use crate::commands::identity;
use crate::commands::output::Output;
use crate::commands::person::Person;
use crate::config::{Config, Flags, Rule};
use crate::error::{Error, Result};
use crate::files::open_to_others;
use crate::git::config::{self, Helper, Scope};
use crate::github::answers::{AppInfo, Installation};
use crate::source::{MintedBy, TokenSource, with_token};
use crate::terminal::{in_shell, path_in_shell};
use crate::token::Need;
use crate::world::World;

/// One run of setup, once it is clear what it is for.
pub(super) struct Setup<'s> {
    options: &'s Options,
    scope: Scope,
    present: Present,
    journal: Journal,
    pub(super) subject: &'s Subject,
    /// The rules of the same App or command in the file, by their position.
    own: Vec<usize>,
    /// Whether those say whom it is for.
    as_they_are: bool,
    /// The helpers of other programs that git asks for the host.
    helpers: Vec<Helper>,
    world: &'s World<'s>,
}

/// What is to be done.
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    /// The App's rules as they will be, with the key where it is now.
    rules: Vec<Rule>,
    /// git's settings for them.
    pub(super) settings: Vec<Setting>,
    /// How git will call this program.
    pub(super) helper: String,
    /// The keys that the App had before.
    pub(super) old_keys: Vec<OldKey>,
}

impl<'s> Setup<'s> {
    /// Decides for whom the App is to answer, beside the Apps and helpers that are there.
    pub(super) fn decide(
        options: &'s Options,
        Target { scope, present, journal }: Target,
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
    pub(super) fn plan(&self, person: &mut Person<'_>) -> Result<Plan> {
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
                let what = format!("the name of {} in commits cannot be found out", rule.client());
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
    pub(super) fn check<'c>(&'c self, plan: &'c Plan) -> Check<'c> {
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
    pub(super) fn show(&self, plan: &Plan, output: &mut Output<'_>) -> Result<()> {
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
    pub(super) fn write(
        &self,
        plan: &Plan,
        check: &Check<'_>,
        tried: Option<&Tried>,
    ) -> Result<Option<String>> {
        let Self { journal, subject, world, .. } = self;
        let is_changed = !plan.changes.is_empty();
        if is_changed {
            let rule = &subject.rule;
            let entry = Entry {
                app: rule.app_id.clone(),
                configuration: None,
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
    pub(super) fn how_to_undo(&self, flags: &Flags) -> Result<String> {
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

/// What a person types to take it back.
fn undo_command(scope: &Scope, file: &Path, flags: &Flags, world: &World<'_>) -> String {
    let system = if *scope == Scope::System { " --system" } else { "" };
    let named = flags.config_file(&world.variables).map(|_| format!(" --config {}", path_in_shell(file)));
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
