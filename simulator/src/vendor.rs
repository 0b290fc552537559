//! Another vendor's API for Apps, as strict as GitHub's and otherwise different: other paths, fields in camel case, ids that
//! may be names, tokens of two hours, and no English. It is below `https://HOST/api/rest` on every host.
//!
//! It has no more than an App needs: an installation by its owner, the installations, and the tokens. git's server is the
//! same as GitHub's, but for the user name.

use serde_json::{Value, json};

use crate::rest::{Caller, caller};
use crate::server::{Answer, Asked};
use crate::world::{App, Installation, Selection, World};

/// Where the API is.
pub(crate) const BASE: &str = "/api/rest";
/// The hosts whose git takes this user name beside a token, and not `x-access-token`.
pub(crate) const USERNAME: (&str, &str) = ("icr.example", "app-token");
/// How long its tokens live, in seconds.
const LIFETIME: i64 = 7200;

/// What may differ between servers of this kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vendor {
    /// Whether installations have names, and not numbers.
    pub named: bool,
    /// How it writes when a token expires.
    pub expiry: Expiry,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, Default)]
pub enum Expiry {
    /// As ISO 8601 has it, with fractions.
    #[default]
    Iso,
    /// In seconds since the Unix epoch.
    Seconds,
    /// In milliseconds.
    Milliseconds,
}

pub(crate) fn answer(world: &mut World, asked: &Asked, path: &str) -> Answer {
    if asked.header("accept") != Some("application/json") {
        return refuse(406, "accept");
    }
    if asked.header("x-github-api-version").is_some() {
        return refuse(400, "en-tête inconnu");
    }
    let path = path.split('?').next().unwrap_or(path);
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let app = match caller(world, asked) {
        Caller::App(app) => app,
        _ => return refuse(401, "jeton refusé"),
    };
    match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["app", "organizations", owner, "installation"]) => {
            let is_its = |it: &&Installation| {
                it.app == app.id
                    && it.account.as_deref().is_some_and(|login| login.eq_ignore_ascii_case(owner))
            };
            match world.installations.iter().find(is_its) {
                Some(found) => json(200, &installation(found, world.vendor)),
                None => refuse(404, "introuvable"),
            }
        }
        ("GET", ["app", "installations"]) => {
            let its = world.installations.iter().filter(|it| it.app == app.id);
            json(200, &its.map(|it| installation(it, world.vendor)).collect())
        }
        ("POST", ["app", "installations", id, "accessTokens"]) => mint(world, &app, id),
        _ => refuse(404, "introuvable"),
    }
}

fn mint(world: &mut World, app: &App, id: &str) -> Answer {
    let vendor = world.vendor;
    let found = world.installations.iter().find(|it| it.app == app.id && name(it, vendor) == *id).cloned();
    let Some(found) = found else { return refuse(404, "introuvable") };
    if found.suspended {
        return refuse(403, "suspendu");
    }
    let usual = std::mem::replace(&mut world.token_lifetime, LIFETIME);
    let token = world.mint(&found, None, found.permissions.clone(), false);
    world.token_lifetime = usual;
    let expires_at = match vendor.expiry {
        Expiry::Iso => {
            let at = jiff::Timestamp::from_second(token.expires_at).map(|at| at.to_string());
            json!(at.unwrap_or_default().replace('Z', ".123Z"))
        }
        Expiry::Seconds => json!(token.expires_at),
        Expiry::Milliseconds => json!(token.expires_at * 1000 + 123),
    };
    json(200, &json!({"token": token.text, "expiresAt": expires_at, "tokenType": "installation"}))
}

/// What the vendor calls an installation.
fn name(installation: &Installation, vendor: Vendor) -> String {
    if vendor.named { format!("inst-{}", installation.id) } else { installation.id.to_string() }
}

fn installation(installation: &Installation, vendor: Vendor) -> Value {
    let id = if vendor.named { json!(name(installation, vendor)) } else { json!(installation.id) };
    let selection = if installation.selection == Selection::All { "all" } else { "selected" };
    json!({
        "id": id,
        "account": {"login": installation.account, "kind": "organization"},
        "repositorySelection": selection,
        "permissions": ["repository:write"],
        "suspendedAt": installation.suspended.then_some(1_700_000_000_000_i64),
    })
}

fn refuse(status: u16, said: &str) -> Answer {
    json(status, &json!({"code": status * 100, "msg": said}))
}

fn json(status: u16, value: &Value) -> Answer {
    Answer::new(status, "application/json", value.to_string().into_bytes())
}
