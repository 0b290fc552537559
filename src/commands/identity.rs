//! Who the App is in commits: its bot.

use crate::config::Rule;
use crate::error::{Error, Result};
use crate::github::Failure;
use crate::names::is_name;
use crate::secret::Secret;
use crate::source::TokenSource;

/// Name and address of the App's bot, with which GitHub shows commits as the App's. The token is any of the App's.
pub(super) fn of_bot(
    rule: &Rule,
    source: &TokenSource<'_>,
    token: &Secret,
) -> Result<(String, String), Failure> {
    let github = source.github()?;
    let app = github.app()?.ok_or_else(|| {
        Error::new(format!("{} does not tell the name of the App's bot", rule.api))
            .hint("leave out --identity, and set user.name and user.email")
    })?;
    let slug = app.slug;
    if !is_name(&slug) {
        return Err(Error::new(format!(
            "{} says that the App is called {slug:?}, which is no name",
            rule.api
        ))
        .into());
    }
    let number = github.bot(&slug, token)?;
    let name = format!("{slug}[bot]");
    let address = format!("{number}+{name}@users.noreply.{}", rule.host);
    Ok((name, address))
}
