//! `token`: the token that git would get, for everything that is not git.

use serde_json::json;
use zeroize::Zeroizing;

use super::output::{Output, time};
use super::{narrow, place};
use crate::app::jwt;
use crate::config::{Config, Selected};
use crate::error::{Error, Result};
use crate::names::Place;
use crate::source::{Issued, Narrowing, Outcome, TokenSource};
use crate::token::{Granted, Need};
use crate::world::World;

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// OWNER/REPO, OWNER, or a URL; default: the current repository's remote, or the only installation
    name: Option<String>,
    /// Print JSON: the token, when it expires, its installation, permissions and repositories
    #[arg(long)]
    json: bool,
    /// Mint a new token even if one is cached
    #[arg(long, conflicts_with = "app")]
    fresh: bool,
    #[command(flatten)]
    narrow: narrow::Narrow,
    /// Print the App's own JWT instead, for endpoints that need it, such as GET /app
    #[arg(long, conflicts_with = "permission")]
    app: bool,
    /// How long the JWT is valid, at most 600
    #[arg(long, value_name = "SECONDS", requires = "app", default_value_t = jwt::LIFETIME)]
    #[arg(value_parser = clap::value_parser!(i64).range(1..=jwt::LONGEST))]
    expires_in: i64,
}

pub(super) fn token(
    options: &Options,
    repositories: &[String],
    config: &Config,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    if options.app && !repositories.is_empty() {
        return Err(Error::new("the App's JWT is for no repository").hint("leave out --repository"));
    }
    if options.app {
        return app_jwt(options, config, world, output);
    }
    let name = options.name.as_deref();
    let (selected, narrowing) =
        narrow::selected(name, repositories, &options.narrow, "token", config, world)?;
    let need = if options.fresh { Need::New } else { Need::Fresh };
    let (issued, granted) = issue(&selected, &narrowing, need, "token", config, world)?;
    let token = issued.token.secret.expose();
    if !options.json {
        return output.write(Zeroizing::new(format!("{token}\n")).as_bytes());
    }
    let expires_at = time(issued.token.expires_at());
    let rule = selected.rule;
    // Written out by hand where the token is, so that no copy of it stays in memory that is not wiped.
    let rest = json!({
        "expires_at": expires_at,
        "host": rule.host.to_string(),
        "api": rule.api.to_string(),
        "app": rule.app_id,
        "installation": issued.installation.map(|it| it.id),
        "permissions": granted.permissions,
        "repository_selection": granted.repository_selection,
        "repositories": granted.repositories,
    });
    let rest = serde_json::to_string_pretty(&rest).unwrap_or_default();
    // git's lines can carry the token, so it holds nothing that JSON would have to escape but these two.
    let token = Zeroizing::new(token.replace('\\', "\\\\").replace('"', "\\\""));
    let rest = rest.trim_start_matches('{');
    output.write(Zeroizing::new(format!("{{\n  \"token\": \"{}\",{rest}\n", *token)).as_bytes())
}

/// A token for a place, and what it was granted. `usage` is what stands before a name on the command line, should one be
/// missing.
pub(super) fn issue(
    selected: &Selected<'_>,
    narrowing: &Narrowing,
    need: Need<'_>,
    usage: &str,
    config: &Config,
    world: &World<'_>,
) -> Result<(Issued, Granted)> {
    let Selected { rule, place } = selected;
    world.terminal.trace(|| format!("rule for {place}: {} ({})", rule.client(), rule.origin));
    let source = TokenSource::new(rule, config, world).narrowed(narrowing.clone());
    let outcome = source.token(place, need).map_err(|why| match place {
        Place::Host(host) => place::which(usage, host, config, world).unwrap_or(why),
        _ => why,
    });
    match outcome? {
        Outcome::Issued(issued) => {
            if place.repository().is_none() && issued.token.is_new(world.clock) {
                // The token often goes to git next.
                source.probe_any_repository(&issued.token)?;
            }
            let granted = source.granted(&issued);
            Ok((issued, granted))
        }
        Outcome::NotInstalled(error) => Err(error),
    }
}

fn app_jwt(options: &Options, config: &Config, world: &World<'_>, output: &mut Output<'_>) -> Result<()> {
    let selected = place::selected(options.name.as_deref(), "token", config, world)?;
    let source = TokenSource::new(selected.rule, config, world);
    let now = world.clock.now().plus(source.clock_offset());
    let jwt = source.app().jwt(now, options.expires_in)?;
    let expires_at = time(now.plus(options.expires_in));
    let app = source.app().id();
    // A JWT is of letters, digits, dots, dashes and underscores.
    let text = Zeroizing::new(if options.json {
        format!(
            "{{\n  \"token\": \"{}\",\n  \"expires_at\": \"{expires_at}\",\n  \"app\": \"{app}\"\n}}\n",
            jwt.expose()
        )
    } else {
        format!("{}\n", jwt.expose())
    });
    output.write(text.as_bytes())
}
