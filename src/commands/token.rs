//! `token`: the token that git would get, for everything that is not git.

use serde_json::json;
use zeroize::Zeroizing;

use super::output::{Output, time};
use super::place;
use crate::app::jwt;
use crate::cache::Wanted;
use crate::config::Config;
use crate::connection::{Connection, Issued, Outcome};
use crate::error::{Failure, Result};
use crate::names::Granted;
use crate::route::{Place, Route};
use crate::world::World;

/// What is asked for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// OWNER/REPO, OWNER, or a URL; default: the current repository's remote, or the only installation
    name: Option<String>,
    /// Tell more than the token: expiry, installation, permissions, repositories
    #[arg(long)]
    json: bool,
    /// Mint a new one, whatever is cached
    #[arg(long, conflicts_with = "app")]
    fresh: bool,
    /// Print the App's own JWT instead, for the endpoints that want it (GET /app, for example)
    #[arg(long)]
    app: bool,
    /// How long the JWT is valid
    #[arg(long, value_name = "SECONDS", requires = "app", default_value_t = jwt::LIFETIME)]
    #[arg(value_parser = clap::value_parser!(i64).range(1..=jwt::LONGEST))]
    expires_in: i64,
}

pub(super) fn token(
    options: &Options,
    config: &Config,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<()> {
    if options.app {
        return app_jwt(options, config, world, output);
    }
    let (place, route) = place::route(options.name.as_deref(), config)?;
    let wanted = if options.fresh { Wanted::New } else { Wanted::Any };
    let (issued, granted) = issue(&place, &route, wanted, config, world)?;
    let token = issued.entry.token.expose();
    if !options.json {
        return output.write(Zeroizing::new(format!("{token}\n")).as_bytes());
    }
    let expires_at = time(issued.entry.expires_at);
    let rule = route.rule;
    // Written out by hand where the token is, so that no copy of it stays in memory that is not wiped.
    let rest = json!({
        "expires_at": expires_at,
        "host": rule.host.to_string(),
        "api": rule.api.to_string(),
        "app": rule.issuer,
        "installation": issued.found.installation,
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

/// A token for a place, and what it was granted as far as that was noted.
pub(super) fn issue(
    place: &Place,
    route: &Route<'_>,
    wanted: Wanted<'_>,
    config: &Config,
    world: &World<'_>,
) -> Result<(Issued, Granted)> {
    world.terminal.trace(|| format!("rule for {place}: App {} ({})", route.rule.issuer, route.rule.origin));
    Connection::with(route.rule, config, world, |connection| match connection.token(route, wanted)? {
        Outcome::Issued(issued) => {
            if route.repository.is_none() && connection.minted_now(&issued.entry) {
                // What is asked for here goes to git next, perhaps at once.
                connection.try_with_any_repository(&issued.entry).map_err(Failure::into_error)?;
            }
            let granted = connection.cache().grant(&issued.key).map(|grant| grant.granted);
            Ok((issued, granted.unwrap_or_default()))
        }
        Outcome::NotInstalled(error) => Err(error),
    })
}

fn app_jwt(options: &Options, config: &Config, world: &World<'_>, output: &mut Output<'_>) -> Result<()> {
    let (_, route) = place::route(options.name.as_deref(), config)?;
    Connection::with(route.rule, config, world, |connection| {
        let now = world.clock.now().plus(connection.clock_offset());
        let jwt = connection.app().jwt(now, options.expires_in)?;
        let expires_at = time(now.plus(options.expires_in));
        let app = connection.app().issuer();
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
    })
}
