//! The pages that the browser is shown on this machine, in plain HTML: no script, and nothing from elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use super::listener::Client;
use super::manifest::Manifest;
use crate::error::Error;
use crate::secret::Secret;

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:40em;margin:3em auto;padding:0 1em}\
    dt{font-weight:bold}button{font:inherit;padding:.4em 1em}";

/// The page with the button that sends the manifest to GitHub.
pub(super) fn ask(client: Client, manifest: &Manifest<'_>, redirect: &str, state: &Secret) {
    let host = manifest.host;
    let whose = manifest.organization.map_or_else(|| "your account".to_owned(), escape);
    let permissions: Vec<String> = manifest
        .permissions
        .iter()
        .map(|(name, level)| format!("{}: {}", escape(name), escape(level)))
        .collect();
    let body = format!(
        "<h1>Make a GitHub App for git</h1>\
         <dl><dt>Owner</dt><dd>{whose} on {host}</dd>\
         <dt>Name</dt><dd>{name}</dd>\
         <dt>Repository permissions</dt><dd>{permissions}</dd>\
         <dt>Can be installed by</dt><dd>{installed_by}</dd></dl>\
         <ol><li><a href=\"https://{host}/login\" target=\"_blank\" rel=\"noopener\">Sign in to {host}</a> first, as \
         somebody who may make Apps for {whose}.</li>\
         <li>Send the request to {host} with the button below. If you are asked to sign in then, do so, come back to \
         this page, and send it again.</li>\
         <li>Look at what {host} shows, choose the name, and agree: <b>Create GitHub App</b>.</li>\
         <li>{host} then asks where to install the App: choose the repositories, and agree: <b>Install</b>. The terminal \
         goes on by itself.</li></ol>\
         <form method=\"post\" action=\"{action}\">\
         <input type=\"hidden\" name=\"manifest\" value=\"{json}\">\
         <button>Continue to {host}</button></form>",
        name = manifest.name.map_or_else(|| "you choose it on the next page".to_owned(), escape),
        permissions = permissions.join(", "),
        installed_by = if manifest.public { "every account" } else { "its owner only" },
        action = escape(&manifest.action(state)),
        json = escape(&manifest.json(redirect)),
    );
    show(client, 200, &body);
}

/// That something went wrong, and the next step.
pub(super) fn trouble(client: Client, status: u16, why: &Error) {
    let hint = why.next_step().map_or_else(String::new, |hint| format!("<p>{}</p>", escape(hint)));
    show(client, status, &format!("<h1>That did not work</h1><p>{}</p>{hint}", escape(why.message())));
}

/// Leads the browser to another page.
pub(super) fn lead(client: Client, address: &str) {
    client.answer(303, &[("Location", address)], "text/plain", "");
}

fn show(client: Client, status: u16, body: &str) {
    let text = format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>git-credential-ghapp</title>\
         <style>{STYLE}</style><body>{body}</body></html>"
    );
    // A server may lead whoever sends the form on to where its users sign in, on any host.
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action https:; base-uri 'none'; frame-ancestors 'none'",
        STANDARD.encode(digest(&SHA256, STYLE.as_bytes()))
    );
    client.answer(status, &[("Content-Security-Policy", policy.as_str())], "text/html", &text);
}

/// Text as HTML has it, in quotes too.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
