//! Registration of an App from a manifest: the form that takes the manifest, the page on which a person agrees, the
//! conversion of the code, and the page on which the App is installed.
//!
//! <https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest>

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::REGISTERED_KEY;
use crate::rest::{app_json, json, refuse};
use crate::server::{Answer, Asked};
use crate::world::{App, World, random};

/// How long a registration may take from the code to its conversion, in seconds.
const LIFETIME: i64 = 3600;
/// The most characters of an App's name.
const LONGEST_NAME: usize = 34;
/// What may stand in a manifest.
const FIELDS: [&str; 12] = [
    "name",
    "url",
    "hook_attributes",
    "redirect_url",
    "callback_urls",
    "setup_url",
    "description",
    "public",
    "default_events",
    "default_permissions",
    "request_oauth_on_install",
    "setup_on_update",
];
/// Permissions that an App may have, as far as the simulator knows them.
const PERMISSIONS: [&str; 8] =
    ["actions", "administration", "contents", "issues", "metadata", "packages", "pull_requests", "workflows"];

/// A manifest that a person has yet to agree to.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    manifest: Value,
    state: Option<String>,
    owner: Owner,
}

/// Who will own the App.
#[derive(Clone, Debug)]
struct Owner {
    login: String,
    is_user: bool,
}

/// An App that was registered from a manifest, and the code for its key.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The App ID.
    pub app: u64,
    /// What its key and secrets are given for, once.
    pub code: String,
    /// When the code expires, in Unix seconds.
    pub expires_at: i64,
    /// Whether that was done.
    pub converted: bool,
    /// The secret of the App as an OAuth client.
    pub client_secret: String,
    /// The secret of its webhook.
    pub webhook_secret: String,
}

/// The path without the code and the state that may stand in it: neither is for a log.
pub(crate) fn without_secrets(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if let Some((before, after)) = path.split_once("/app-manifests/") {
        let rest = after.split_once('/').map_or("", |(_, rest)| rest);
        return format!("{before}/app-manifests/{{code}}/{rest}");
    }
    match query {
        "" => path.to_owned(),
        query if query.starts_with("state=") => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// Answers a request for one of these pages; `None` if it is for another one.
pub(crate) fn page(world: &mut World, asked: &Asked) -> Option<Answer> {
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let user = || Owner { login: world.account.clone(), is_user: true };
    let organization = |name: &&str| Owner { login: (*name).to_owned(), is_user: false };
    let state = fields(query).remove("state");
    Some(match (asked.method.as_str(), parts.as_slice()) {
        ("POST", ["settings", "apps", "new"]) => {
            let owner = user();
            take(world, asked, owner, state)
        }
        ("POST", ["organizations", name, "settings", "apps", "new"]) => {
            take(world, asked, organization(name), state)
        }
        ("POST", ["settings", "apps"] | ["organizations", _, "settings", "apps"]) => create(world, asked),
        ("GET", ["apps" | "github-apps", slug, "installations", "new"]) => installation_page(world, slug),
        ("POST", ["apps" | "github-apps", slug, "installations"]) => install(world, asked, slug),
        ("GET", ["organizations", _, "settings", "installations", _] | ["settings", "installations", _]) => {
            html(200, "<p>Installed.</p>")
        }
        _ => return None,
    })
}

/// Shows what the manifest asks for, with the button that makes the App.
fn take(world: &mut World, asked: &Asked, owner: Owner, state: Option<String>) -> Answer {
    let is_form =
        asked.header("content-type").is_some_and(|it| it.starts_with("application/x-www-form-urlencoded"));
    let manifest = Some(fields(&String::from_utf8_lossy(&asked.body))).filter(|_| is_form);
    let manifest = manifest.and_then(|mut fields| fields.remove("manifest"));
    let manifest: Value = serde_json::from_str(&manifest.unwrap_or_default()).unwrap_or_default();
    if let Err(why) = check(&manifest) {
        return html(
            422,
            &format!(
                "<h1>Invalid GitHub App configuration</h1><p>The configuration does not appear to be a valid \
                 GitHub App manifest.</p><p>Error {}</p>",
                escape(&why)
            ),
        );
    }
    let token = random(40);
    let form = Form { manifest, state, owner };
    let answer = form.show(&token, "");
    world.forms.insert(token, form);
    answer
}

/// Why this is no manifest.
fn check(manifest: &Value) -> Result<(), String> {
    let fields = manifest.as_object().ok_or("the manifest is not a JSON object")?;
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(format!("\"{unknown}\" is not a permitted key."));
    }
    let has_url = |value: &Value| value["url"].as_str().is_some_and(|url| url.starts_with("https://"));
    if !has_url(manifest) || fields.get("hook_attributes").is_some_and(|hook| !has_url(hook)) {
        return Err("\"url\" wasn't supplied.".to_owned());
    }
    for (name, level) in manifest["default_permissions"].as_object().into_iter().flatten() {
        let is_level = matches!(level.as_str(), Some("read" | "write" | "admin"));
        if !PERMISSIONS.contains(&name.as_str()) || !is_level {
            return Err(format!("Default permission records resource {name} is not included in the list"));
        }
    }
    Ok(())
}

impl Form {
    /// The page with the button, and what was wrong with the name.
    fn show(&self, token: &str, trouble: &str) -> Answer {
        let name = escape(self.manifest["name"].as_str().unwrap_or_default());
        let Owner { login, is_user } = &self.owner;
        let action = if *is_user {
            "/settings/apps".to_owned()
        } else {
            format!("/organizations/{login}/settings/apps")
        };
        html(
            200,
            &format!(
                "<h1>Create GitHub App for {login}</h1><p id=\"trouble\">{}</p>\
                 <form method=\"post\" action=\"{action}\">\
                 <input type=\"hidden\" name=\"authenticity_token\" value=\"{token}\">\
                 <input name=\"name\" id=\"name\" value=\"{name}\">\
                 <button id=\"create\">Create GitHub App for {login}</button></form>",
                escape(trouble)
            ),
        )
    }
}

/// Makes the App, and leads the browser to where the manifest says.
fn create(world: &mut World, asked: &Asked) -> Answer {
    let mut fields = fields(&String::from_utf8_lossy(&asked.body));
    let token = fields.remove("authenticity_token").unwrap_or_default();
    let Some(form) = world.forms.get(&token).cloned() else {
        return html(422, "<p>Your browser did something unexpected.</p>");
    };
    let name = fields.remove("name").unwrap_or_default();
    let slug = slug(&name);
    if slug.is_empty() || name.chars().count() > LONGEST_NAME {
        return form.show(&token, "Name is too short or too long");
    }
    if world.apps.iter().any(|app| app.slug == slug) {
        return form.show(&token, "Name is already taken");
    }
    world.forms.remove(&token);
    let id = 5000 + world.registrations.len() as u64;
    let client_id = format!("Iv23liRegistered{id}");
    world.register(id, &client_id, &slug, Some(&form.owner.login));
    world.add_key(id, REGISTERED_KEY);
    let delay = world.registration_delay;
    let app = world.app(id);
    app.name = name;
    app.is_users = form.owner.is_user;
    app.public = form.manifest["public"].as_bool().unwrap_or(true);
    app.unready = delay;
    app.permissions = form.manifest["default_permissions"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, level)| (name.clone(), level.as_str().unwrap_or_default().to_owned()))
        .collect();
    app.permissions.entry("metadata".to_owned()).or_insert_with(|| "read".to_owned());
    let code = random(40).to_lowercase();
    world.registrations.push(Registration {
        app: id,
        code: code.clone(),
        expires_at: world.now() + LIFETIME,
        converted: false,
        client_secret: random(40),
        webhook_secret: random(40),
    });
    let mut location = form.manifest["redirect_url"].as_str().unwrap_or_default().to_owned();
    // Writing to a String cannot fail.
    let _ = write!(location, "{}code={code}", if location.contains('?') { '&' } else { '?' });
    if let Some(state) = &form.state {
        let state: String = form_urlencoded::byte_serialize(state.as_bytes()).collect();
        let _ = write!(location, "&state={state}");
    }
    html(302, "").with("Location", &location)
}

/// `POST /app-manifests/{code}/conversions`: the App with its key and secrets, once.
/// <https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest>
pub(crate) fn convert(world: &mut World, asked: &Asked, code: &str) -> Answer {
    let now = world.now();
    let fits = |it: &&mut Registration| it.code == code && !it.converted && it.expires_at > now;
    let Some(registration) = world.registrations.iter_mut().find(fits) else {
        return refuse(404, "Not Found");
    };
    registration.converted = true;
    let Registration { app, client_secret, webhook_secret, .. } = registration.clone();
    let mut answer = app_json(world.app(app), &asked.host);
    answer["client_secret"] = json!(client_secret);
    answer["webhook_secret"] = json!(webhook_secret);
    answer["pem"] = json!(REGISTERED_KEY);
    json(201, &answer)
}

fn installation_page(world: &World, slug: &str) -> Answer {
    let Some(app) = world.apps.iter().find(|app| app.slug == slug) else {
        return html(404, "<p>Not Found</p>");
    };
    html(
        200,
        &format!(
            "<h1>Install {}</h1><form method=\"post\" action=\"../installations\">\
             <input name=\"account\" value=\"{}\"><button id=\"install\">Install</button></form>",
            escape(&app.name),
            escape(&app.owner)
        ),
    )
}

/// Installs the App on the account of the form, and without one on that which owns it.
fn install(world: &mut World, asked: &Asked, slug: &str) -> Answer {
    let Some(App { id: app, owner, permissions, .. }) =
        world.apps.iter().find(|app| app.slug == slug).cloned()
    else {
        return html(404, "<p>Not Found</p>");
    };
    let account =
        fields(&String::from_utf8_lossy(&asked.body)).remove("account").unwrap_or_else(|| owner.clone());
    if account != owner && !world.repositories.iter().any(|it| it.owner == account) {
        return html(404, "<p>Not Found</p>");
    }
    let id = 6000 + world.installations.len() as u64;
    world.install(id, app, &account);
    world.installation(id).permissions = permissions;
    let location = format!("https://{}/organizations/{account}/settings/installations/{id}", asked.host);
    html(302, "").with("Location", &location)
}

/// The name in addresses that GitHub makes of a name.
fn slug(name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    letters.collect::<String>().split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

fn fields(text: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

fn html(status: u16, body: &str) -> Answer {
    let text = format!("<!DOCTYPE html><title>GitHub</title><body>{body}</body>");
    Answer::new(status, "text/html; charset=utf-8", text.into_bytes())
}
