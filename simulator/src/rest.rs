//! The REST API, as far as Apps use it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::jwt;
use crate::limits::{Principal, Standing};
use crate::manifest;
use crate::server::{Answer, Asked};
use crate::vendor;
use crate::world::{App, Installation, Repository, Token, World};

/// The versions that the REST API has. <https://docs.github.com/en/rest/about-the-rest-api/api-versions>
const VERSIONS: [&str; 2] = ["2022-11-28", "2026-03-10"];

/// The path within the REST API, if the request is one: everything on `api.` hosts, `/api/v3` elsewhere, and `/api/rest` for
/// another vendor's API.
#[must_use]
pub fn api_path<'p>(host: &str, path: &'p str) -> Option<&'p str> {
    if host.starts_with("api.") {
        Some(path)
    } else {
        path.strip_prefix("/api/v3").or_else(|| path.strip_prefix(vendor::BASE))
    }
}

pub(crate) fn answer(world: &mut World, asked: &Asked, path: &str) -> Answer {
    if !asked.host.starts_with("api.") && asked.path.starts_with(vendor::BASE) {
        return vendor::answer(world, asked, path);
    }
    if asked.header("user-agent").is_none() {
        let html = "<html>Request forbidden by administrative rules.</html>";
        return Answer::new(403, "text/html", html.as_bytes().to_vec());
    }
    let version = asked.header("x-github-api-version").unwrap_or(VERSIONS[0]);
    if !VERSIONS.contains(&version) {
        return refuse(400, "The api version provided is not supported");
    }
    let caller = caller(world, asked);
    let Some(standing) = count(world, asked, &caller) else { return dispatch(world, asked, path, &caller) };
    let answer = match (&caller, standing.exceeded) {
        (_, false) => dispatch(world, asked, path, &caller),
        (Caller::App(app), true) => refuse(403, &format!("API rate limit exceeded for app ID {}.", app.id)),
        (_, true) => refuse(403, "API rate limit exceeded for installation."),
    };
    answer
        .with("X-RateLimit-Limit", &standing.limit.to_string())
        .with("X-RateLimit-Remaining", &(standing.limit - standing.used).to_string())
        .with("X-RateLimit-Used", &standing.used.to_string())
        .with("X-RateLimit-Reset", &standing.reset.to_string())
        .with("X-RateLimit-Resource", "core")
}

/// Who asks.
pub(crate) enum Caller {
    Nobody,
    /// An App, with a JWT.
    App(App),
    /// An installation; the index of the token.
    Installation(usize),
    /// Neither; why the credential is not an App's JWT.
    Refused(u16, &'static str),
}

pub(crate) fn caller(world: &mut World, asked: &Asked) -> Caller {
    let Some(header) = asked.header("authorization") else { return Caller::Nobody };
    let now = world.now();
    let text = header.strip_prefix("Bearer ").or(header.strip_prefix("token ")).unwrap_or_default();
    let live = |token: &Token| token.text == text && !token.revoked && token.expires_at > now;
    if let Some(index) = world.tokens.iter().position(live) {
        return Caller::Installation(index);
    }
    // An App's JWT is a Bearer and nothing else.
    let verified = jwt::verify(world, header.strip_prefix("Bearer ").unwrap_or_default());
    verified.map_or_else(|(status, message)| Caller::Refused(status, message), Caller::App)
}

/// Counts the request for who asks, where there are limits: an Enterprise Server has none of its own.
fn count(world: &mut World, asked: &Asked, caller: &Caller) -> Option<Standing> {
    let principal = match caller {
        _ if is_enterprise_server(&asked.host) => return None,
        Caller::App(app) => Principal::App(app.id),
        Caller::Installation(index) => Principal::Installation(world.tokens[*index].installation),
        Caller::Nobody | Caller::Refused(..) => return None,
    };
    let (limit, now) = (world.rate_limit, world.now());
    Some(world.windows.count(principal, limit, now))
}

/// Whether an API host is that of a GitHub Enterprise Server.
fn is_enterprise_server(host: &str) -> bool {
    !host.starts_with("api.")
}

fn dispatch(world: &mut World, asked: &Asked, path: &str, caller: &Caller) -> Answer {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let method = asked.method.as_str();
    match (method, parts.as_slice()) {
        ("DELETE", ["installation", "token"]) => return revoke(world, caller),
        ("GET", ["installation", "repositories"]) => {
            return covered_repositories(world, asked, caller, query);
        }
        ("GET", ["repos", owner, name]) => return repository(world, asked, caller, owner, name),
        ("GET", ["users", login]) => return user(world, login),
        ("GET", ["meta"]) => return json(200, &json!({"verifiable_password_authentication": false})),
        ("POST", ["app-manifests", code, "conversions"]) => return manifest::convert(world, asked, code),
        _ => {}
    }
    let app = match caller {
        Caller::App(app) => app,
        Caller::Nobody => return refuse(401, "Requires authentication"),
        Caller::Installation(_) => return refuse(401, "A JSON web token could not be decoded"),
        Caller::Refused(status, message) => return refuse(*status, message),
    };
    match (method, parts.as_slice()) {
        ("GET", ["app"]) => json(200, &app_json(app, &asked.host)),
        ("GET", ["app", "installations"]) => installations(world, app, asked, query),
        ("GET", ["app", "installations", id]) => {
            let found = world.installations.iter().find(|it| it.app == app.id && it.id.to_string() == *id);
            installation(found, app, asked)
        }
        ("GET", ["repos", owner, name, "installation"]) => {
            repository_installation(world, app, asked, owner, name)
        }
        ("GET", ["repositories", id, "installation"]) => {
            let repository = world.repositories.iter().find(|repository| repository.id.to_string() == *id);
            installation(repository.and_then(|repository| world.covering(app.id, repository)), app, asked)
        }
        ("GET", ["orgs" | "users", owner, "installation"]) => {
            let on_owner = |it: &&Installation| {
                it.account.as_ref().is_some_and(|login| login.eq_ignore_ascii_case(owner))
            };
            installation(world.installations.iter().filter(|it| it.app == app.id).find(on_owner), app, asked)
        }
        ("POST", ["app", "installations", id, "access_tokens"]) => mint(world, app, asked, id),
        _ => refuse(404, "Not Found"),
    }
}

/// The index of the token that the request must carry.
fn token(caller: &Caller) -> Result<usize, Answer> {
    match caller {
        Caller::Installation(index) => Ok(*index),
        Caller::Nobody => Err(refuse(401, "Requires authentication")),
        Caller::App(_) | Caller::Refused(..) => Err(refuse(401, "Bad credentials")),
    }
}

fn revoke(world: &mut World, caller: &Caller) -> Answer {
    match token(caller) {
        Ok(index) => {
            world.tokens[index].revoked = true;
            Answer::new(204, "application/json", Vec::new())
        }
        Err(refusal) => refusal,
    }
}

/// What the token may see.
fn visible<'w>(world: &'w World, token: &Token) -> Vec<&'w Repository> {
    let installation = world.installations.iter().find(|it| it.id == token.installation && !it.suspended);
    let covered = |it: &&Repository| {
        installation.is_some_and(|installation| installation.covers(it))
            && token.repositories.as_ref().is_none_or(|ids| ids.contains(&it.id))
    };
    world.repositories.iter().filter(covered).collect()
}

fn covered_repositories(world: &World, asked: &Asked, caller: &Caller, query: &str) -> Answer {
    let token = match token(caller) {
        Ok(index) => &world.tokens[index],
        Err(refusal) => return refusal,
    };
    let all: Vec<Value> =
        visible(world, token).into_iter().map(|it| repository_json(it, &asked.host)).collect();
    page(
        asked,
        "/installation/repositories",
        query,
        &all,
        |shown| json!({"total_count": all.len(), "repositories": shown}),
    )
}

fn repository(world: &World, asked: &Asked, caller: &Caller, owner: &str, name: &str) -> Answer {
    let token = match token(caller) {
        Ok(index) => &world.tokens[index],
        Err(refusal) => return refusal,
    };
    let named =
        |it: &&&Repository| it.owner.eq_ignore_ascii_case(owner) && it.name.eq_ignore_ascii_case(name);
    let is_public = || world.find(owner, name).filter(|it| !it.private);
    match visible(world, token).into_iter().find(|it| named(&it)).or_else(is_public) {
        Some(found) => json(200, &repository_json(found, &asked.host)),
        None => refuse(404, "Not Found"),
    }
}

/// Users are public. An App's bot is `SLUG[bot]`, and its number is not the App's.
fn user(world: &World, login: &str) -> Answer {
    let login = login.replace("%5B", "[").replace("%5b", "[").replace("%5D", "]").replace("%5d", "]");
    match world.apps.iter().find(|app| login == format!("{}[bot]", app.slug)) {
        Some(app) => json(200, &json!({"login": login, "id": 41_000_000 + app.id, "type": "Bot"})),
        None => refuse(404, "Not Found"),
    }
}

fn repository_installation(world: &World, app: &App, asked: &Asked, owner: &str, name: &str) -> Answer {
    if let Some(repository) = world.find(owner, name) {
        return installation(world.covering(app.id, repository), app, asked);
    }
    // Who may not see a repository does not learn that it was renamed.
    match world
        .find_by_old_name(owner, name)
        .filter(|repository| world.covering(app.id, repository).is_some())
    {
        Some(repository) => {
            let base = if asked.host.starts_with("api.") { "" } else { "/api/v3" };
            let location =
                format!("https://{}{base}/repositories/{}/installation", asked.host, repository.id);
            let moved = json!({"message": "Moved Permanently", "url": location, "documentation_url": "https://docs.github.com/rest"});
            json(301, &moved).with("Location", &location)
        }
        None => refuse(404, "Not Found"),
    }
}

fn installations(world: &World, app: &App, asked: &Asked, query: &str) -> Answer {
    let all: Vec<Value> = world
        .installations
        .iter()
        .filter(|it| it.app == app.id)
        .map(|it| installation_json(it, app, &asked.host))
        .collect();
    page(asked, "/app/installations", query, &all, |shown| json!(shown))
}

/// One page of a list, with a link to the next one.
fn page(
    asked: &Asked,
    path: &str,
    query: &str,
    all: &[Value],
    wrap: impl Fn(Vec<&Value>) -> Value,
) -> Answer {
    let number = |name: &str, default: usize| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
            .unwrap_or(default)
    };
    let (size, page) = (number("per_page", 30).clamp(1, 100), number("page", 1).max(1));
    let answer = json(200, &wrap(all.iter().skip((page - 1) * size).take(size).collect()));
    if page * size < all.len() {
        let base = if asked.host.starts_with("api.") { "" } else { "/api/v3" };
        let next = format!("https://{}{base}{path}?per_page={size}&page={}", asked.host, page + 1);
        return answer.with("Link", &format!("<{next}>; rel=\"next\""));
    }
    answer
}

fn installation(found: Option<&Installation>, app: &App, asked: &Asked) -> Answer {
    match found {
        Some(installation) => json(200, &installation_json(installation, app, &asked.host)),
        None => refuse(404, "Not Found"),
    }
}

fn mint(world: &mut World, app: &App, asked: &Asked, id: &str) -> Answer {
    let installation = world.installations.iter().find(|it| it.id.to_string() == id && it.app == app.id);
    let Some(installation) = installation.cloned() else { return refuse(404, "Not Found") };
    if installation.suspended {
        return refuse(403, "This installation has been suspended");
    }
    let wish: Value = match asked.body.as_slice() {
        [] => json!({}),
        body => match serde_json::from_slice(body) {
            Ok(wish @ Value::Object(_)) => wish,
            _ => return refuse(400, "Problems parsing JSON"),
        },
    };
    let covered: Vec<&Repository> = world.repositories.iter().filter(|it| installation.covers(it)).collect();
    let mut narrowed: Option<Vec<u64>> = None;
    for (field, names) in [
        ("repositories", wish["repositories"].as_array()),
        ("repository_ids", wish["repository_ids"].as_array()),
    ] {
        for wanted in names.into_iter().flatten() {
            let found = covered.iter().find(|repository| match field {
                "repositories" => {
                    wanted.as_str().is_some_and(|name| name.eq_ignore_ascii_case(&repository.name))
                }
                _ => wanted.as_u64() == Some(repository.id),
            });
            match found {
                Some(repository) => narrowed.get_or_insert_default().push(repository.id),
                None => {
                    return refuse(
                        422,
                        "There is at least one repository that does not exist or is not accessible to the parent installation.",
                    );
                }
            }
        }
    }
    let mut permissions = installation.permissions.clone();
    if let Some(wanted) = wish["permissions"].as_object() {
        let wanted: BTreeMap<String, String> = wanted
            .iter()
            .map(|(name, level)| (name.clone(), level.as_str().unwrap_or_default().to_owned()))
            .collect();
        let granted = |(name, level): (&String, &String)| match permissions.get(name).map(String::as_str) {
            Some("write") => level == "write" || level == "read",
            Some(has) => has == level,
            None => false,
        };
        if !wanted.iter().all(granted) {
            return refuse(422, "The permissions requested are not granted to this installation.");
        }
        permissions = wanted;
        permissions.entry("metadata".to_owned()).or_insert_with(|| "read".to_owned());
    }
    let named = narrowed.as_ref().map(|ids| {
        let chosen = covered.iter().filter(|repository| ids.contains(&repository.id));
        chosen
            .map(|it| json!({"id": it.id, "name": it.name, "full_name": format!("{}/{}", it.owner, it.name)}))
            .collect::<Vec<_>>()
    });
    let long = match asked.header("x-github-stateless-s2s-token") {
        _ if is_enterprise_server(&asked.host) => false,
        Some("enabled") => true,
        Some("disabled") => false,
        _ => world.long_tokens,
    };
    let token = world.mint(&installation, narrowed, permissions, long);
    let mut answer = json!({
        "token": token.text,
        "expires_at": jiff::Timestamp::from_second(token.expires_at).map(|at| at.to_string()).unwrap_or_default(),
        "permissions": token.permissions,
        "repository_selection": if named.is_some() { "selected" } else { selection(&installation) },
    });
    if let Some(named) = named {
        answer["repositories"] = json!(named);
    }
    json(201, &answer)
}

fn selection(installation: &Installation) -> &'static str {
    match installation.selection {
        crate::world::Selection::All => "all",
        crate::world::Selection::Selected(_) => "selected",
    }
}

pub(crate) fn app_json(app: &App, host: &str) -> Value {
    let web = host.strip_prefix("api.").unwrap_or(host);
    let folder = if is_enterprise_server(host) { "github-apps" } else { "apps" };
    json!({
        "id": app.id,
        "client_id": app.client_id,
        "slug": app.slug,
        "name": app.name,
        "owner": {"login": app.owner, "type": if app.is_users { "User" } else { "Organization" }},
        "html_url": format!("https://{web}/{folder}/{}", app.slug),
        "permissions": app.permissions,
    })
}

fn repository_json(repository: &Repository, host: &str) -> Value {
    let web = host.strip_prefix("api.").unwrap_or(host);
    let full_name = format!("{}/{}", repository.owner, repository.name);
    json!({
        "id": repository.id,
        "name": repository.name,
        "full_name": full_name,
        "private": repository.private,
        "visibility": if repository.private { "private" } else { "public" },
        "archived": false,
        "owner": {"login": repository.owner},
        "html_url": format!("https://{web}/{full_name}"),
        "clone_url": format!("https://{web}/{full_name}.git"),
    })
}

fn installation_json(installation: &Installation, app: &App, host: &str) -> Value {
    let web = host.strip_prefix("api.").unwrap_or(host);
    let owner = installation.account.as_deref().unwrap_or("an-enterprise");
    let account = match &installation.account {
        Some(login) => json!({"login": login, "type": "Organization"}),
        None => json!({"slug": "an-enterprise"}),
    };
    json!({
        "id": installation.id,
        "account": account,
        "repository_selection": selection(installation),
        "app_id": app.id,
        "client_id": app.client_id,
        "app_slug": app.slug,
        "html_url": format!("https://{web}/organizations/{owner}/settings/installations/{}", installation.id),
        "permissions": installation.permissions,
        "suspended_at": installation.suspended.then_some("2026-01-01T00:00:00Z"),
    })
}

pub(crate) fn refuse(status: u16, message: &str) -> Answer {
    let documentation = "https://docs.github.com/rest";
    json(
        status,
        &json!({"message": message, "documentation_url": documentation, "status": status.to_string()}),
    )
}

pub(crate) fn json(status: u16, value: &Value) -> Answer {
    Answer::new(status, "application/json; charset=utf-8", value.to_string().into_bytes())
}
