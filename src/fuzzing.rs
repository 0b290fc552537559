//! Everything that parses bytes from elsewhere, each as one function that checks what must hold whatever the bytes are.
//!
//! The fuzz targets in `fuzz/` call these, and `tests/corpus.rs` replays their corpora.

#![expect(clippy::missing_panics_doc, reason = "to panic is how these report that something does not hold")]

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::app::key::{self, KeyText, PrivateKey};
#[cfg(unix)]
use crate::commands::serve;
use crate::commands::{place, register};
use crate::config::{Config, select};
use crate::github::answers::{AccessToken, AppInfo, Installation, RepositoriesPage};
use crate::github::failures::message;
#[cfg(unix)]
use crate::helper::by_socket;
use crate::helper::protocol::Request;
use crate::names::{ApiUrl, Host, InstallationId, Repository, is_name};
use crate::origin::Origin;
#[cfg(unix)]
use crate::socket::Message;
use crate::terminal::escape;
#[cfg(unix)]
use crate::token::beyond;
use crate::token::{Label, Token, is_token};
use crate::vendor::GITHUB;
use crate::world::Folders;

/// A request of git.
pub fn request(bytes: &[u8]) {
    let Ok(request) = Request::read(bytes) else { return };
    for value in [&request.protocol, &request.host, &request.path, &request.username].into_iter().flatten() {
        assert!(!value.chars().any(char::is_control));
    }
    // What is read, written and read again is the same.
    let mut text = String::new();
    for (key, value) in [
        ("path", &request.path),
        ("host", &request.host),
        ("username", &request.username),
        ("protocol", &request.protocol),
    ] {
        if let Some(value) = value {
            text += &format!("{key}={value}\n");
        }
    }
    let again = Request::read(text.as_bytes());
    assert!(again.is_ok_and(|again| {
        (again.protocol == request.protocol && again.host == request.host)
            && (again.path == request.path && again.username == request.username)
    }));
    // Only https, to exactly this host, is ever answered.
    let file = "[[app]]\nid = \"1\"\nprivate-key = \"k\"\n";
    let Ok(config) = Config::of_file(file, Path::new("f"), &Folders::default()) else {
        panic!("the configuration of this check is not valid")
    };
    if let Some(place) = request.place(&|_, name| name == GITHUB.username)
        && let Ok(Some(_)) = select(place, &config)
    {
        assert_eq!(request.protocol.as_deref(), Some("https"));
        let host = request.host.unwrap_or_default().to_ascii_lowercase();
        assert!(host == "github.com" || host == "github.com:443");
    }
}

/// What comes over the socket of `serve`: a request of whoever is inside, or an answer.
#[cfg(unix)]
pub fn socket(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else { return };
    // What is read, written and read again is the same.
    let written = message.to_bytes();
    assert!(Message::parse(&written).is_ok_and(|again| again.to_bytes() == written));
    assert!(written.iter().all(|byte| *byte == b'\n' || !byte.is_ascii_control()));
    let file = "[[app]]\nid = \"1\"\nprivate-key = \"k\"\n[[app]]\nid = \"2\"\nprivate-key = \"k\"\nhost = \"ghe.example\"\n";
    let Ok(config) = Config::of_file(file, Path::new("f"), &Folders::default()) else {
        panic!("the configuration of this check is not valid")
    };
    let most = ["contents=read".to_owned(), "issues=write".to_owned()];
    let Ok((line, allowed)) = serve::heard(&message, &["acme/widgets".to_owned()], &most, &config) else {
        panic!("the policy of this check is not valid")
    };
    // One line that is not too long says of which operation it is, whatever the request holds, and no token.
    assert!(line.len() <= 1024 && line.strip_suffix('\n').is_some_and(|it| !it.contains(char::is_control)));
    let operation: String = message.word().chars().take(24).collect();
    assert!(line.starts_with(&format!("1970-01-01T00:00:00Z pid=- uid=- operation={operation}")));
    let text = String::from_utf8_lossy(bytes);
    let is_elsewhere = |secret: &&str| text.matches(secret).count() > 1;
    let secret = message.value("password").filter(|it| it.starts_with("ghs_") && !is_elsewhere(it));
    assert!(secret.is_none_or(|secret| !line.contains(secret)));
    // No token is for anything but what is allowed, and none may do more.
    if let Some((place, narrowing)) = allowed {
        assert_eq!((place.host(), place.owner()), (&Host::github(), Some("acme")));
        assert!(narrowing.repositories.iter().map(ToString::to_string).eq(["acme/widgets"]));
        let may =
            [("contents", "read"), ("issues", "write")].map(|(name, level)| (name.into(), level.into()));
        assert!(!narrowing.permissions.is_empty() && beyond(&narrowing.permissions, &may.into()).is_none());
        assert!(line.ends_with(" answered\n"));
    }
    // git reads nothing from an answer that is not one credential.
    if let Ok(answer) = by_socket::credential(&message) {
        let mut lines = Vec::new();
        if answer.write(&mut lines).is_ok() {
            assert!([3, 7].contains(&lines.iter().filter(|byte| **byte == b'\n').count()));
        }
    }
}

/// A path, a host, an address.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(repository) = Repository::from_path(text) {
        assert!(is_name(&repository.owner) && is_name(&repository.name));
        // However a server reads the path, it is in this repository: nothing is encoded, and no step leads up or sideways.
        let lower = text.trim_matches('/').to_ascii_lowercase();
        let segments: Vec<&str> = lower.split('/').collect();
        assert!(segments.iter().all(|segment| is_name(segment)));
        assert_eq!(segments[0], repository.owner);
        let suffix = segments[1].strip_prefix(repository.name.as_str());
        assert!(suffix.is_some_and(|suffix| ["", ".git", ".wiki", ".wiki.git"].contains(&suffix)));
        assert!(segments.len() == 2 || segments[2..].starts_with(&["info", "lfs"]));
        assert_eq!(Repository::parse(&repository.to_string()), Some(repository));
    }
    if let Some(host) = Host::parse(text) {
        assert_eq!(Host::parse(&host.to_string()), Some(host.clone()));
        assert!(!host.to_string().contains(['/', '@', '?', '#', '\\', '%', ' ']));
        let api = host.api();
        assert!(ApiUrl::parse(&api.to_string()).is_ok_and(|parsed| parsed == api));
    }
    if let Ok(api) = ApiUrl::parse(text) {
        assert!(api.origin().starts_with("https://"));
    }
    let api = Host::github().api();
    if let Some(url) = api.same_origin(text) {
        assert!(url.strip_prefix(api.origin()).is_some_and(|rest| rest.starts_with('/')));
    }
    assert!(!escape(text).chars().any(char::is_control));
    if let Ok(place) = place::parse(text, &Host::github(), &|host| *host == Host::github()) {
        let shown = place.to_string();
        assert!(shown.starts_with("https://") && !shown.chars().any(|c| c.is_control() || c == ' '));
    }
}

/// A configuration file.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::of_file(text, Path::new("config.toml"), &Folders::default()) {
        Ok(config) => assert!(config.rules.iter().all(|rule| {
            !rule.app_id.is_empty()
                && rule.api.origin().starts_with("https://")
                && rule.owners.iter().all(|o| is_name(o))
        })),
        Err(error) => assert!(!escape(error.message()).contains('\n')),
    }
}

/// An answer of GitHub's.
pub fn api_answer(bytes: &[u8]) {
    if let Ok(granted) = AccessToken::parse(bytes, &GITHUB) {
        assert!(is_token(granted.token.expose()));
    }
    if let Ok(installation) = serde_json::from_slice::<Installation>(bytes) {
        let _ = installation.is_usable();
    }
    let _ = serde_json::from_slice::<Vec<Installation>>(bytes);
    let _ = serde_json::from_slice::<AppInfo>(bytes);
    let _ = serde_json::from_slice::<RepositoriesPage>(bytes);
    assert!(message(bytes).is_none_or(|message| message.chars().count() <= 200));
}

/// An entry of a token store.
pub fn cache_entry(bytes: &[u8]) {
    if let Some(token) = Token::from_bytes(bytes) {
        assert!(is_token(token.secret.expose()));
        let label = Label::from_bytes(bytes).unwrap_or_else(|| Label {
            host: "github.com".to_owned(),
            api: "https://api.github.com".to_owned(),
            app: "7".to_owned(),
            installation: Some(InstallationId::from(7)),
            owner: None,
            repositories: Vec::new(),
            minted_elsewhere: false,
        });
        let bytes = token.to_bytes(&label);
        assert_eq!(Label::from_bytes(&bytes).as_ref(), Some(&label));
        let again = Token::from_bytes(&bytes);
        assert!(again.is_some_and(|again| {
            again.secret.matches(&token.secret) && again.expires_at() == token.expires_at()
        }));
    }
}

/// A request of a browser, for the page of `register`.
pub fn browser(bytes: &[u8]) {
    let Some((target, code)) = register::heard(bytes, 4711, "state") else { return };
    // It was for this page, and what it brings can stand in an address.
    let head = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    assert!(target.starts_with('/') && (head.contains("127.0.0.1:4711") || head.contains("localhost:4711")));
    if let Some(code) = code {
        assert!(target.contains("state=state") && is_name(code.expose()));
    }
}

/// A private key.
pub fn private_key(bytes: &[u8]) {
    let text = KeyText::new(Zeroizing::new(bytes.to_vec()));
    let file = key::source("k.pem", &|path| PathBuf::from(path), &Origin::Variable("KEY"));
    let Ok(file) = file else { panic!("any text names a file") };
    if let Err(error) = PrivateKey::parse(&text, &*file) {
        // The message names what the text is, and quotes nothing of it.
        assert!(error.message().is_ascii() && error.message().len() < 200);
    }
}
