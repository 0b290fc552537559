//! `status`: which tokens are cached, for whom, for what, and until when.

use serde_json::{Value, json};

use super::cached::{Cached, cached};
use super::output::{Output, soon, time};
use crate::config::Config;
use crate::error::Result;
use crate::world::World;

/// How it is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn status(
    options: &Options,
    config: &Config,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<u8> {
    let (cached, failures) = cached(config, world);
    for why in &failures {
        world.terminal.warning(why);
    }
    let code = u8::from(!failures.is_empty());
    if options.json {
        let tokens: Vec<Value> = cached.iter().map(as_json).collect();
        output.json(&json!({ "tokens": tokens }))?;
        return Ok(code);
    }
    if cached.is_empty() {
        output.line("no token is cached")?;
        return Ok(code);
    }
    let now = world.clock.now();
    let row = |it: &Cached| {
        let label = &it.label;
        let (host, app, installation) =
            (label.host.clone(), label.app.clone(), label.installation.to_string());
        let expires = soon(it.expires_at, now);
        [it.whom(), host, app, installation, expires, it.store.to_owned(), what_it_may(it)]
    };
    let rows: Vec<_> = cached.iter().map(row).collect();
    output.table(["FOR", "HOST", "APP", "INSTALLATION", "EXPIRES", "KEPT IN", "MAY"], &rows)?;
    Ok(code)
}

fn as_json(it: &Cached) -> Value {
    let label = &it.label;
    json!({
        "host": label.host,
        "api": label.api,
        "app": label.app,
        "installation": label.installation,
        "owner": label.owner,
        "repositories": if label.repositories.is_empty() { Value::Null } else { json!(label.repositories) },
        "repository_selection": it.granted.repository_selection,
        "permissions": it.granted.permissions,
        "expires_at": time(it.expires_at),
        "kept_in": it.store,
    })
}

/// Its permissions, as far as they are noted.
fn what_it_may(it: &Cached) -> String {
    let permissions = it.granted.permissions.iter().flatten();
    let listed: Vec<String> = permissions.map(|(name, level)| format!("{name}: {level}")).collect();
    if listed.is_empty() { "not noted".to_owned() } else { listed.join(", ") }
}
