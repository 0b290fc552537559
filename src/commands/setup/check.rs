//! Everything is tried before it is written: a mint with what the rule asks for, and git with its settings to be.

use super::git_side::{Setting, helper_with};
use super::installed_on;
use crate::config::{Config, Rule, SETTINGS};
use crate::error::{Error, Result};
use crate::git;
use crate::github::answers::Installation;
use crate::names::Place;
use crate::source::{MintedBy, Outcome, TokenSource, with_token};
use crate::token::Need;
use crate::world::{PRIVATE_KEY, World};

/// What is tried.
pub(super) struct Check<'c> {
    /// The rules as they will be, with the key where it is now.
    pub(super) rules: &'c [Rule],
    pub(super) installations: &'c [Installation],
    pub(super) config: &'c Config,
    /// Whether git takes App and key from the environment, and nothing of them is written.
    pub(super) from_environment: bool,
    /// Whether it is the configuration of the repository that this process is in.
    pub(super) in_this_repository: bool,
    pub(super) world: &'c World<'c>,
}

/// A repository to try git with, and the rule that is for it.
pub(super) struct Tried {
    url: String,
    rule: usize,
}

impl Tried {
    pub(super) fn works(&self) -> String {
        format!("git ls-remote {} works", self.url)
    }
}

impl Check<'_> {
    /// Mints what each rule asks for. Gives a repository to try git with; `None` where the App can reach none yet.
    pub(super) fn tokens(&self) -> Result<Option<Tried>> {
        let mut tried = None;
        for (index, rule) in self.rules.iter().enumerate() {
            let source = TokenSource::new(rule, self.config, self.world);
            let mut first = None;
            for repository in &rule.repositories {
                let place = Place::Repository(rule.host.clone(), repository.clone());
                if let Outcome::NotInstalled(why) = source.token(&place, Need::Fresh)? {
                    return Err(why);
                }
                first.get_or_insert_with(|| repository.clone());
            }
            for (place, installation) in installed_on(rule, self.installations) {
                let token_of =
                    |need: Need<'_>| source.token_of(MintedBy::GitHub(&installation), &place, need);
                with_token(token_of, |issued| {
                    if first.is_none() {
                        first = source.probe_any_repository(&issued.token)?;
                    }
                    Ok(())
                })?;
            }
            let url = first.map(|it| format!("https://{}/{it}.git", rule.host));
            tried = tried.or(url.map(|url| Tried { url, rule: index }));
        }
        Ok(tried)
    }

    /// Lets git list a repository with settings that are not written yet.
    pub(super) fn before(&self, tried: &Tried, settings: &[Setting], helper: &str) -> Result<()> {
        let (helper, hidden) = match self.from_environment {
            true => (helper.to_owned(), &[][..]),
            // The file that it names may not be there yet.
            false => {
                let flags = as_flags(&self.rules[tried.rule]);
                (helper_with(&flags, self.world)?, &[PRIVATE_KEY, "GHAPP_CONFIG"][..])
            }
        };
        let settings: Vec<_> = settings.iter().flat_map(|setting| setting.for_one_call(&helper)).collect();
        self.list(tried, &settings, hidden).map_err(|why| fails(tried, "would fail", &why))
    }

    /// The same with what is written.
    pub(super) fn after(&self, tried: &Tried) -> Result<()> {
        let hidden = if self.from_environment { &[][..] } else { &[PRIVATE_KEY][..] };
        self.list(tried, &[], hidden)
            .map_err(|why| fails(tried, "fails with the new settings, so they were undone", &why))
    }

    fn list(&self, tried: &Tried, settings: &[(String, String)], hidden: &[&str]) -> Result<()> {
        let output = git::call_as_user(
            settings,
            hidden,
            self.in_this_repository,
            &["ls-remote", "--quiet", "--", &tried.url, "HEAD"],
        )?;
        if output.code == Some(0) {
            return Ok(());
        }
        // This program names causes; what git adds to that is that there was one.
        let own = |kind: &str| {
            let prefix = format!("git-credential-ghapp: {kind}: ");
            output.stderr.lines().rev().find_map(|line| line.strip_prefix(prefix.as_str()).map(str::to_owned))
        };
        Err(match (own("error"), own("hint")) {
            (Some(why), Some(hint)) => Error::new(why).hint(hint),
            (Some(why), None) => Error::new(why),
            (None, _) => {
                let last = output.stderr.lines().rfind(|line| !line.starts_with("git-credential-ghapp: "));
                let last = last.unwrap_or("git does not say why").trim_start_matches("fatal: ");
                Error::new(last.trim_end_matches(": terminal prompts disabled"))
            }
        })
    }
}

fn fails(tried: &Tried, how: &str, why: &Error) -> Error {
    let settings = r"git config --show-origin --get-regexp '^(credential|http|url)\.'";
    Error::new(format!("git ls-remote {} {how}: {why}", tried.url)).hint(settings).hint_of(why)
}

/// A rule as flags on git's helper line.
fn as_flags(rule: &Rule) -> Vec<(&'static str, String)> {
    let each = SETTINGS.iter().map(|setting| (setting.flag, setting.as_flags(rule)));
    each.flat_map(|(flag, values)| values.into_iter().map(move |value| (flag, value))).collect()
}
