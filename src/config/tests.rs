use std::ffi::OsString;
use std::io::sink;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::cache::StoreKind;
use crate::names::Place;
use crate::terminal::Terminal;
use crate::time::Clock;
use crate::world::{Streams, Variables};

fn world<'a>(variables: Variables<'a>, folders: Folders) -> World<'a> {
    World {
        variables,
        variable_names: &Vec::new,
        folders,
        clock: Clock::starting_at(SystemTime::UNIX_EPOCH),
        start_clock: Arc::new(|| Clock::starting_at(SystemTime::UNIX_EPOCH)),
        terminal: Terminal::new(sink()),
        streams: &Streams::default,
        before_exec: &|| (),
    }
}

/// The configuration that `[[app]]`s with an id and a key and these further lines make.
pub(super) fn of_apps(apps: &[&str]) -> Config {
    let app = |(id, more)| format!("[[app]]\nid = \"app{id}\"\nprivate-key = \"k.pem\"\n{more}\n");
    let text: String = apps.iter().enumerate().map(app).collect();
    Config::of_file(&text, Path::new("config.toml"), &Folders::default()).unwrap()
}

/// The App that answers for a repository.
fn answering(config: &Config, repository: &str) -> String {
    let place = Place::Repository(Host::github(), Repository::parse(repository).unwrap());
    select(place, config).unwrap().unwrap().rule.app_id.clone()
}

/// Loads the configuration with a user's file, variables and flags; messages name the file `config.toml`.
fn load(file: Option<&str>, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
    }
    let lookup =
        |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
    let mut given = Flags::default();
    for (name, value) in flags {
        given.set(name, OsString::from(value)).unwrap();
    }
    let folders = Folders {
        system_config: folder.path().join("system/config.toml"),
        user_config: Some(path),
        home: Some(PathBuf::from("/home/u")),
        cache: None,
    };
    Config::load(&given, &world(Variables(&lookup), folders)).map_err(|error| {
        let shown =
            error.message().replace(&format!("{}{}", folder.path().display(), std::path::MAIN_SEPARATOR), "");
        let hint = error.next_step().map(str::to_owned);
        hint.into_iter().fold(Error::new(shown), Error::hint)
    })
}

fn message(file: &str) -> String {
    load(Some(file), &[], &[]).unwrap_err().message().to_owned()
}

fn app(more: &str) -> String {
    format!("[[app]]\nid = \"Iv1\"\nprivate-key = \"k.pem\"\n{more}\n")
}

fn key_path(rule: &Rule) -> &Path {
    rule.identity.only_key().unwrap().file().unwrap()
}

const EVERY_SETTING: &str = r#"
cache = "secret-service"
cache-folder = "/var/cache/ghapp"
min-fresh = 60
deadline = 7
shared-cache = "rediss://fleet@cache.example:6380/2"
shared-cache-password-file = "password"
shared-cache-ca = "ca.pem"
shared-cache-plain = true
[[app]]
id = 12345
private-key = "~/keys/acme.pem"
host = "GHE.example:8443"
api-url = "https://api.ghe.example/"
owners = ["Acme"]
repositories = ["Other/Infra"]
public-repositories = "acme"
installation-id = 42
scope = "repository"
permissions = { contents = "read", metadata = "read" }
on-failure = "continue"
"#;

#[test]
fn a_file_with_every_setting_is_read() {
    let config = load(Some(EVERY_SETTING), &[], &[]).unwrap();
    assert_eq!(
        (config.cache.store, config.cache.min_fresh),
        (StoreKind::parse("secret-service").unwrap(), 60)
    );
    assert_eq!(config.cache.folder.as_deref(), Some(Path::new("/var/cache/ghapp")));
    assert_eq!(config.cache.deadline.as_secs(), 7);
    let shared = &config.cache.shared;
    assert_eq!(shared.address.as_ref().unwrap().0.to_string(), "rediss://cache.example:6380/2");
    let file = |path: &Option<std::path::PathBuf>| path.as_ref().unwrap().ends_with("password");
    assert!(file(&shared.password_file) && shared.ca.is_some() && shared.plain);
    let [rule] = config.rules.as_slice() else { panic!("{config:?}") };
    assert_eq!(rule.app_id, "12345");
    assert_eq!(key_path(rule), Path::new("/home/u/keys/acme.pem"));
    assert_eq!(rule.host.to_string(), "ghe.example:8443");
    assert_eq!(rule.api.to_string(), "https://api.ghe.example");
    assert_eq!(rule.owners, ["acme"]);
    assert_eq!(rule.repositories[0].to_string(), "other/infra");
    assert_eq!(rule.installation, Some(InstallationId::from(42)));
    assert!(rule.per_repository() && !rule.quit_on_failure);
    assert_eq!(rule.permissions.len(), 2);
    assert!(!format!("{config:?}").contains("[[app]]"), "the file is in the debug output");
}

#[test]
fn a_setting_that_is_not_known_is_told_with_all_that_are() {
    let names = |section: &str| -> Vec<String> {
        let lines = section.lines().filter_map(|line| line.split_once(" = "));
        lines.map(|(name, _)| name.to_owned()).collect()
    };
    let listed = |file: &str| -> Vec<String> {
        let error = load(Some(file), &[], &[]).unwrap_err();
        let expected = error.message().split_once(", expected ").unwrap().1.to_owned();
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let (general, of_an_app) = EVERY_SETTING.split_once("[[app]]\n").unwrap();
    assert_eq!(listed("x = 1\n"), [names(general), vec!["[[app]]".to_owned()]].concat());
    // A rule has one of the sources, and perhaps another vendor's API.
    let of_an_app: Vec<String> = names(of_an_app)
        .into_iter()
        .chain(["[app.api]".to_owned()])
        .flat_map(|name| match name.as_str() {
            "private-key" => SOURCES.iter().map(|source| (*source).to_owned()).collect(),
            _ => vec![name],
        })
        .collect();
    assert_eq!(listed(&app("x = 1")), of_an_app);
}

#[test]
fn no_configuration_at_all_is_an_empty_one() {
    let config = load(None, &[], &[]).unwrap();
    assert!(config.rules.is_empty());
    assert_eq!((config.cache.store, config.cache.min_fresh), (StoreKind::default(), 300));
    assert!(load(Some("# nothing\n"), &[], &[]).unwrap().rules.is_empty());
}

#[test]
fn mistakes_are_told_with_file_line_and_cause() {
    for (file, expected) in [
        (
            app("colour = \"red\""),
            "config.toml, line 4, column 1: unknown setting `colour`, expected `id`, `private-key`, `private-key-command`, ",
        ),
        (
            "chache = \"file\"\n".to_owned(),
            "config.toml, line 1, column 1: unknown setting `chache`, expected `cache`, `cache-folder`, `min-fresh`, `deadline`, `shared-cache`",
        ),
        (
            "[[app]]\nid = \"1\"\n".to_owned(),
            "config.toml, line 1, column 1: the setting `private-key`, `private-key-command`, `sign-command` or `token-command` is missing",
        ),
        ("\n[[app]\n".to_owned(), "config.toml, line 2, column"),
        (app("id = \"2\""), "config.toml, line 4, column 1: duplicate key"),
        (
            "[[app]]\nid = 9223372036854775808\nprivate-key = \"k\"\n".to_owned(),
            "config.toml, line 2, column 6: the number is too large",
        ),
        (app("installation-id = -1"), "-1 is not the number of an installation (config.toml, line 4)"),
        (
            "[[app]]\nid = \" \"\nprivate-key = \"k\"\n".to_owned(),
            "the App ID is empty (config.toml, line 2)",
        ),
        (
            "[[app]]\nid = \"a b\"\nprivate-key = \"k\"\n".to_owned(),
            "\"a b\" is not an App ID (config.toml, line 2)",
        ),
        (
            "[[app]]\nid = \"1\"\nprivate-key = \"\"\n".to_owned(),
            "no file is named for the private key (config.toml, line 3)",
        ),
        (
            "[[app]]\nid = \"1\"\nprivate-key = \"-----BEGIN RSA PRIVATE KEY-----\"\n".to_owned(),
            "the private key itself was given where its file should be named (config.toml, line 3)",
        ),
        (app("host = \"https://x\""), "\"https://x\" is not a host (config.toml, line 4)"),
        (
            app("api-url = \"http://x\""),
            "\"http://x\" is not an https address of an API (config.toml, line 4)",
        ),
        (app("owners = [\n\"a\",\n\"b/c\"]"), "\"b/c\" is not the name of an owner (config.toml, line 6)"),
        (app("repositories = [\"a\"]"), "\"a\" is not OWNER/REPOSITORY (config.toml, line 4)"),
        (app("scope = \"all\""), "there is no scope \"all\" (config.toml, line 4)"),
        (
            app("permissions = { contents = \"rw\" }"),
            "\"contents = rw\" is not a permission (config.toml, line 4)",
        ),
        (app("on-failure = \"x\""), "on-failure cannot be \"x\" (config.toml, line 4)"),
        ("cache = \"disk\"\n".to_owned(), "there is no token store \"disk\" (config.toml, line 1)"),
        ("deadline = 0\n".to_owned(), "deadline must be 1 to 300 seconds, not 0 (config.toml, line 1)"),
        (
            "min-fresh = 4000\n".to_owned(),
            "min-fresh must be 0 to 3000 seconds, not 4000 (config.toml, line 1)",
        ),
        (
            app("") + &app(""),
            "two rules match every owner on github.com: config.toml, line 2 and config.toml, line 6",
        ),
        (
            app("owners = [\"A\"]") + &app("owners = [\"b\", \"a\"]"),
            "two rules match owner a on github.com: config.toml, line 2 and config.toml, line 6",
        ),
        (
            app("repositories = [\"a/b\"]") + &app("repositories = [\"A/B\"]"),
            "two rules match repository a/b on github.com: config.toml, line 2 and config.toml, line 6",
        ),
    ] {
        let line = message(&file);
        assert!(line.starts_with(expected), "{line}\n  instead of\n{expected}");
        assert!(!line.contains('\n'), "{line}");
    }
}

#[test]
fn a_password_in_an_address_is_not_repeated() {
    for (variable, value) in [
        ("GHAPP_API_URL", "https://user:hunt@er2@ghe.example/api/v3"),
        ("GHAPP_HOST", "user:hunt@er2@ghe.example"),
    ] {
        let app = [("GHAPP_APP_ID", "1"), ("GHAPP_PRIVATE_KEY_FILE", "/k.pem"), (variable, value)];
        let refused = load(None, &app, &[]).unwrap_err();
        assert!(refused.message().contains("…@ghe.example"), "{refused}");
        assert!(!refused.message().contains("hunt") && !refused.message().contains("er2"), "{refused}");
    }
}

#[test]
fn a_named_file_must_exist_and_replaces_the_users() {
    let missing =
        load(Some("cache = \"file\"\n"), &[("GHAPP_CONFIG", "/nonexistent/x.toml")], &[]).unwrap_err();
    assert!(
        missing.message().starts_with("cannot read the configuration /nonexistent/x.toml: "),
        "{missing}"
    );
    let folder = tempfile::tempdir().unwrap();
    let named = folder.path().join("named.toml");
    std::fs::write(&named, "cache = \"none\"\n").unwrap();
    let config = load(Some("cache = \"file\"\n"), &[], &[("config", named.to_str().unwrap())]).unwrap();
    assert_eq!(config.cache.store, StoreKind::parse("none").unwrap());
}

#[test]
fn the_users_file_is_stronger_than_the_machines() {
    let folder = tempfile::tempdir().unwrap();
    let (system, user) = (folder.path().join("system.toml"), folder.path().join("user.toml"));
    std::fs::write(&system, "min-fresh = 10\ncache = \"file\"\n[[app]]\nid = \"1\"\nprivate-key = \"k\"\n")
        .unwrap();
    std::fs::write(&user, "min-fresh = 20\n[[app]]\nid = \"2\"\nprivate-key = \"k\"\n").unwrap();
    let folders = Folders { system_config: system, user_config: Some(user), ..Folders::default() };
    let config = Config::load(&Flags::default(), &world(Variables(&|_| None), folders)).unwrap();
    assert_eq!((config.cache.min_fresh, config.cache.store), (20, StoreKind::parse("file").unwrap()));
    assert_eq!(answering(&config, "a/b"), "2");
}

#[test]
fn the_environment_alone_is_enough() {
    let config = load(
        None,
        &[
            ("GHAPP_APP_ID", "12345\n"),
            ("GHAPP_PRIVATE_KEY", "pem"),
            ("GHAPP_HOST", "acme.ghe.com"),
            ("GHAPP_OWNERS", "Acme, labs"),
            ("GHAPP_INSTALLATION_ID", " 7 "),
            ("GHAPP_PERMISSIONS", "contents=read"),
            ("GHAPP_CACHE", "none"),
            ("GHAPP_SCOPE", ""),
        ],
        &[],
    )
    .unwrap();
    let [rule] = config.rules.as_slice() else { panic!("{config:?}") };
    assert_eq!((rule.app_id.as_str(), rule.api.to_string().as_str()), ("12345", "https://api.acme.ghe.com"));
    assert_eq!(rule.owners, ["acme", "labs"]);
    assert_eq!(rule.installation, Some(InstallationId::from(7)));
    let key = rule.identity.only_key().unwrap();
    assert!(key.file().is_none() && key.setting().is_none());
    assert_eq!(config.cache.store, StoreKind::parse("none").unwrap());
    assert!(!format!("{config:?}").contains("pem\""), "the key is in the debug output");
}

#[test]
fn flags_are_stronger_than_the_environment_setting_by_setting() {
    let variables = [("GHAPP_APP_ID", "1"), ("GHAPP_PRIVATE_KEY", "pem"), ("GHAPP_OWNERS", "a")];
    let config = load(None, &variables, &[("app-id", "2"), ("private-key", "~/k.pem")]).unwrap();
    let [rule] = config.rules.as_slice() else { panic!("{config:?}") };
    assert_eq!((rule.app_id.as_str(), key_path(rule)), ("2", Path::new("/home/u/k.pem")));
    assert_eq!(rule.owners, ["a"]);
}

#[test]
fn an_app_of_this_call_comes_before_every_rule_of_its_host() {
    let file = app("repositories = [\"acme/infra\"]");
    let config = load(Some(&file), &[], &[("app-id", "2"), ("private-key", "/k")]).unwrap();
    assert_eq!(answering(&config, "acme/infra"), "2");
}

#[test]
fn settings_without_an_app_change_the_only_one() {
    let config = load(Some(&app("")), &[("GHAPP_HOST", "ghe.example")], &[("scope", "repository")]).unwrap();
    assert_eq!(config.rules[0].api.to_string(), "https://ghe.example/api/v3");
    assert!(config.rules[0].per_repository());
}

#[test]
fn an_app_of_this_call_may_take_its_key_from_the_file() {
    let file = app("host = \"ghe.example\"\nowners = [\"a\"]");
    let config = load(Some(&file), &[("GHAPP_APP_ID", "Iv1")], &[]).unwrap();
    assert_eq!(config.rules.len(), 2);
    assert_eq!(key_path(&config.rules[1]), key_path(&config.rules[0]));
    assert_eq!(config.rules[1].host.to_string(), "ghe.example");
    assert!(config.rules[1].owners.is_empty());
}

#[test]
fn mistakes_in_environment_and_flags_name_the_variable_or_flag() {
    let both = app("owners = [\"a\"]") + &app("owners = [\"b\"]");
    for (file, variables, flags, expected) in [
        (
            None,
            &[("GHAPP_APP_ID", "1")][..],
            &[][..],
            "App 1 has no private key (environment variable GHAPP_APP_ID)",
        ),
        (
            None,
            &[("GHAPP_PRIVATE_KEY", "x")],
            &[],
            "the environment variable GHAPP_PRIVATE_KEY is set, but no App ID",
        ),
        (None, &[("GHAPP_HOST", "x")], &[], "the environment variable GHAPP_HOST is set, but no App ID"),
        (
            Some(&both),
            &[],
            &[("host", "x")],
            "the flag --host is set, but it is not clear for which of the 2 configured Apps",
        ),
        (None, &[("GHAPP_APP_ID", "\n")], &[], "the App ID is empty (environment variable GHAPP_APP_ID)"),
        (
            None,
            &[],
            &[("installation-id", "x"), ("app-id", "1"), ("private-key", "k")],
            "\"x\" is not a number (flag --installation-id)",
        ),
        (
            None,
            &[("GHAPP_CACHE", "x")],
            &[],
            "there is no token store \"x\" (environment variable GHAPP_CACHE)",
        ),
        (
            None,
            &[("GHAPP_CACHE_FOLDER", "x")],
            &[],
            "\"x\" is relative to whatever folder git runs in (environment variable GHAPP_CACHE_FOLDER)",
        ),
        (
            None,
            &[("GHAPP_PRIVATE_KEY", "x"), ("GHAPP_PRIVATE_KEY_FILE", "y")],
            &[],
            "both GHAPP_PRIVATE_KEY and GHAPP_PRIVATE_KEY_FILE are set",
        ),
    ] {
        let error = load(file.map(String::as_str), variables, flags).unwrap_err();
        assert_eq!(error.message(), expected);
    }
}

#[test]
fn an_app_that_a_call_names_is_completed_from_the_files_rule_for_its_host() {
    let file = format!("{}[[app]]\nid = 'Iv1'\nprivate-key = 'ghes.pem'\nhost = 'ghe.example'\n", app(""));
    for (flags, host, key) in [
        (&[("app-id", "Iv1")][..], "github.com", "k.pem"),
        (&[("app-id", "Iv1"), ("host", "ghe.example")], "ghe.example", "ghes.pem"),
    ] {
        let config = load(Some(&file), &[], flags).unwrap();
        let rule = config.rules.last().unwrap();
        assert_eq!(rule.host.to_string(), host);
        assert_eq!(rule.api.to_string(), rule.host.api().to_string());
        assert!(key_path(rule).ends_with(key), "{rule:?}");
    }
}
