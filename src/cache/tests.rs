use std::cell::Cell;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use super::key::Name as _;
use super::*;
use crate::files::UNFINISHED_PREFIX;
use crate::names::{ApiUrl, Host, InstallationId, InstallationRef, Repository};
use crate::secret::Secret;
use crate::terminal::Terminal;
use crate::time::Clock;
use crate::token::{Granted, Label, Permissions, RepositoryRef, Scope};
use crate::world::{Folders, Streams, Variables};

const NOW: i64 = 1_800_000_000;

/// A secret to seal under.
struct Secretive(&'static str);

impl Sealer for Secretive {
    fn effort(&self) -> Effort {
        Effort::Little
    }

    fn secret(&self) -> Result<Zeroizing<Vec<u8>>> {
        Ok(Zeroizing::new(self.0.as_bytes().to_vec()))
    }

    fn name(&self) -> String {
        self.0.to_owned()
    }
}

/// A cache folder.
struct Fixture {
    folder: tempfile::TempDir,
}

/// Why no token can be minted.
#[derive(Debug, PartialEq, Eq)]
enum Failed {
    Unreachable,
    Refused,
}

impl Fixture {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// The cache as a process sees it that starts so many seconds later.
    fn later(&self, seconds: i64) -> Cache<'static> {
        self.sealed(seconds, "a private key")
    }

    /// The same, with files that are sealed under a secret.
    fn sealed(&self, seconds: i64, secret: &'static str) -> Cache<'static> {
        // It lives as long as the test.
        let world: &'static World<'static> = Box::leak(Box::new(World {
            variables: Variables(&|_| None),
            variable_names: &Vec::new,
            folders: Folders { cache: Some(self.path()), ..Folders::default() },
            clock: clock(seconds),
            start_clock: Arc::new(|| clock(0)),
            terminal: Terminal::new(std::io::sink()),
            streams: &Streams::default,
            before_exec: &|| (),
        }));
        let store = StoreKind::parse("file").unwrap();
        let settings = Settings { store, ..Settings::default() };
        Cache::open(world, &settings, Some(Rc::new(Secretive(secret))))
    }
}

/// What [`crate::source`] does with the cache.
fn get_or_mint(
    cache: &Cache<'_>,
    key: &TokenKey,
    mint: impl FnOnce() -> Result<Token, Failed>,
) -> Result<Token, Failed> {
    if let Some(token) = cache.fresh(key, Need::Fresh) {
        return Ok(token);
    }
    match cache.turn_to_mint(key, &ApiStateKey::new(&Host::github().api(), "Iv1"), Need::Fresh).unwrap() {
        MintTurn::Minted(token) => Ok(token),
        MintTurn::Mint { _lease, _lock, fallback } => match (mint(), fallback) {
            (Ok(token), _) => {
                cache.keep(key, &token, &grant(&token));
                Ok(token)
            }
            (Err(Failed::Unreachable), Some(token)) => Ok(token),
            (Err(failed), _) => Err(failed),
        },
    }
}

fn grant(token: &Token) -> Grant {
    Grant {
        label: Label {
            host: "github.com".to_owned(),
            api: "https://api.github.com".to_owned(),
            app: "Iv1".to_owned(),
            installation: Some(InstallationId::from(1)),
            owner: None,
            repositories: Vec::new(),
            minted_elsewhere: false,
        },
        granted: Granted::default(),
        expires_at: token.expires_at(),
    }
}

fn key() -> TokenKey {
    TokenKey::new(&Host::github().api(), "Iv1", &InstallationId::from(1), &Scope::default())
}

/// A token that was minted so many seconds later, and lives for so many.
fn token(text: &str, at: i64, lifetime: i64) -> Token {
    Token::minted(Secret::new(text.to_owned()), lifetime, 3600, clock(at))
}

/// A clock that starts so many seconds later.
fn clock(seconds: i64) -> Clock {
    Clock::starting_at(UNIX_EPOCH + Duration::from_secs((NOW + seconds).unsigned_abs()))
}

fn unreachable() -> Result<Token, Failed> {
    Err(Failed::Unreachable)
}

#[test]
fn a_token_is_used_while_it_is_fresh_and_no_longer() {
    let fixture = Fixture::new();
    let mints = Cell::new(0);
    let mint = || {
        mints.set(mints.get() + 1);
        Ok(token("ghs_x", 0, 3600))
    };
    for (at, expected) in [(0, 1), (1, 1), (3299, 1), (3300, 1), (3301, 2)] {
        get_or_mint(&fixture.later(at), &key(), mint).unwrap();
        assert_eq!(mints.get(), expected, "after {at} s");
    }
}

#[test]
fn a_token_that_is_not_fresh_helps_while_github_is_down_but_not_when_it_refuses() {
    let fixture = Fixture::new();
    get_or_mint(&fixture.later(0), &key(), || Ok(token("ghs_x", 0, 3600))).unwrap();
    let cache = fixture.later(3500);
    assert_eq!(get_or_mint(&cache, &key(), unreachable).unwrap().secret.expose(), "ghs_x");
    assert!(get_or_mint(&cache, &key(), || Err(Failed::Refused)).is_err());
    assert!(get_or_mint(&fixture.later(3601), &key(), unreachable).is_err());
}

#[test]
fn who_waited_for_a_mint_takes_its_token_even_if_it_is_not_fresh() {
    let fixture = Fixture::new();
    // The second began before the first one minted; the token's lifetime is less than what counts as fresh.
    let (first, second) = (fixture.later(2), fixture.later(1));
    let minted = Token::minted(Secret::new("ghs_x".to_owned()), 100, 3600, second.world.clock);
    get_or_mint(&first, &key(), || Ok(minted)).unwrap();
    let taken = get_or_mint(&second, &key(), || panic!("it was minted meanwhile")).unwrap();
    assert_eq!(taken.secret.expose(), "ghs_x");
    // Whoever begins later wants a token of its own.
    let later = get_or_mint(&fixture.later(3), &key(), || Ok(token("ghs_y", 3, 100))).unwrap();
    assert_eq!(later.secret.expose(), "ghs_y");
}

#[test]
fn a_token_from_the_future_is_a_miss() {
    let fixture = Fixture::new();
    // Minted while the clock was a day ahead.
    get_or_mint(&fixture.later(86_400), &key(), || Ok(token("ghs_x", 86_400, 3600))).unwrap();
    assert!(get_or_mint(&fixture.later(86_401), &key(), unreachable).is_ok());
    assert!(get_or_mint(&fixture.later(0), &key(), unreachable).is_err());
}

#[test]
fn a_token_is_not_believed_to_live_longer_than_an_hour() {
    let fixture = Fixture::new();
    // An answer whose date is of 1970.
    get_or_mint(&fixture.later(0), &key(), || Ok(token("ghs_x", 0, NOW + 3600))).unwrap();
    assert!(get_or_mint(&fixture.later(3000), &key(), unreachable).is_ok());
    assert!(get_or_mint(&fixture.later(3601), &key(), unreachable).is_err());
}

#[test]
fn only_the_refused_token_is_erased() {
    let fixture = Fixture::new();
    let cache = fixture.later(0);
    get_or_mint(&cache, &key(), || Ok(token("ghs_x", 0, 3600))).unwrap();
    cache.erase(&key(), &Secret::new("ghs_other".to_owned()));
    assert!(get_or_mint(&cache, &key(), unreachable).is_ok());
    cache.erase(&key(), &Secret::new("ghs_x".to_owned()));
    assert!(get_or_mint(&cache, &key(), unreachable).is_err());
}

#[test]
fn a_sealed_file_shows_nothing_and_opens_only_with_its_key_and_name() {
    let fixture = Fixture::new();
    let cache = fixture.later(0);
    get_or_mint(&cache, &key(), || Ok(token("ghs_canary", 0, 3600))).unwrap();
    let file = fixture.path().join("tokens").join(key().name());
    let sealed = std::fs::read(&file).unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"canary"));
    let misses = |cache: &Cache<'_>, key: &TokenKey| get_or_mint(cache, key, unreachable).is_err();
    assert!(!misses(&cache, &key()));
    // Under the name of another token.
    let other = TokenKey::new(&Host::github().api(), "Iv1", &InstallationId::from(2), &Scope::default());
    std::fs::copy(&file, fixture.path().join("tokens").join(other.name())).unwrap();
    assert!(misses(&cache, &other));
    // With the key of another App.
    assert!(misses(&fixture.sealed(0, "another private key"), &key()));
    // Damaged anywhere, cut off anywhere, empty, or of another format.
    for position in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[position] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        assert!(misses(&cache, &key()), "byte {position} changed");
        std::fs::write(&file, &sealed[..position]).unwrap();
        assert!(misses(&cache, &key()), "cut off at {position}");
    }
    std::fs::write(&file, &sealed).unwrap();
    assert!(!misses(&cache, &key()));
}

#[test]
fn routes_are_looked_up_once_and_what_is_missing_soon_again() {
    let fixture = Fixture::new();
    let route = |name: &str| RouteKey::new(&Host::github().api(), "Iv1", "repository", name);
    let found = InstallationRef { id: InstallationId::from(7), repository_id: Some(9) };
    let turn = |cache: &Cache<'_>, name: &str| {
        let key = route(name);
        match cache.turn_to_look_up(&key, || cache.route(&key)) {
            LookupTurn::Known(found) => Some(found),
            LookupTurn::LookUp { .. } => None,
        }
    };
    let cache = fixture.later(0);
    assert_eq!((cache.route(&route("a/b")), turn(&cache, "a/b")), (None, None));
    cache.remember_route(&route("a/b"), Some(found.clone()), Learnt::Lookup, None);
    assert_eq!(
        (cache.route(&route("a/b")), turn(&cache, "a/b")),
        (Some(Some(found.clone())), Some(Some(found.clone())))
    );
    let day = 24 * 3600;
    assert_eq!(fixture.later(day - 1).route(&route("a/b")), Some(Some(found.clone())));
    let next_day = fixture.later(day);
    assert_eq!((next_day.route(&route("a/b")), turn(&next_day, "a/b")), (None, None));
    assert_eq!(next_day.old_route(&route("a/b")), Some(found.clone()));
    cache.remember_route(&route("a/c"), None, Learnt::Lookup, None);
    assert_eq!(fixture.later(29).route(&route("a/c")), Some(None));
    // After 30 seconds, and for a clock that was set back, it is looked up again.
    for at in [30, -1] {
        assert_eq!(fixture.later(at).route(&route("a/c")), None, "after {at} s");
        assert_eq!(turn(&fixture.later(at), "a/c"), None);
    }
    cache.forget_route(&route("a/b"), &found);
    assert_eq!(cache.old_route(&route("a/b")), None);
    std::fs::write(fixture.path().join("routes").join(route("a/b").name()), "{").unwrap();
    assert_eq!(cache.old_route(&route("a/b")), None);
}

#[test]
fn an_owners_installation_is_remembered_but_that_it_covers_everything_only_for_an_hour() {
    let fixture = Fixture::new();
    let key = RouteKey::new(&Host::github().api(), "Iv1", "owner", "a");
    assert!(fixture.later(0).owner_route(&key).is_none());
    let covers = Repository::parse("a/b").unwrap();
    let owner =
        OwnerRoute { installation: InstallationId::from(7).into(), covers, covers_all: true, page: None };
    fixture.later(0).remember_owner(&key, &owner, &self::key());
    for (at, covers_all) in [(0, true), (3599, true), (3600, false), (-1, false), (9 * 24 * 3600, false)] {
        let owner = fixture.later(at).owner_route(&key).unwrap();
        assert_eq!(
            (owner.installation.id, owner.covers_all),
            (InstallationId::from(7), covers_all),
            "after {at} s"
        );
    }
}

#[test]
fn every_field_that_changes_a_token_changes_its_key() {
    let (github, tenant) = (Host::github().api(), Host::parse("acme.ghe.com").unwrap().api());
    let path = ApiUrl::parse("https://api.github.com/api/v3").unwrap();
    let permissions = |pairs: &[(&str, &str)]| -> Permissions {
        pairs.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned())).collect()
    };
    let scope = |repositories: Vec<RepositoryRef>, pairs: &[(&str, &str)]| Scope {
        repositories,
        permissions: permissions(pairs),
    };
    let name = |name: &str| vec![RepositoryRef::Name(name.to_owned())];
    let mut keys = HashSet::new();
    let mut count = 0;
    for api in [&github, &tenant, &path] {
        for app_id in ["1", "12"] {
            for installation in [1, 2, 21] {
                for scope in [
                    scope(vec![], &[]),
                    scope([name("a"), name("b")].concat(), &[]),
                    scope(name("a"), &[]),
                    scope(name("7"), &[]),
                    scope(vec![RepositoryRef::Id(7)], &[]),
                    scope(vec![], &[("contents", "read")]),
                    scope(vec![], &[("contents", "write")]),
                    scope(vec![], &[("contents", "read"), ("workflows", "write")]),
                    scope(name("a"), &[("contents", "read")]),
                ] {
                    let key = TokenKey::new(api, app_id, &InstallationId::from(installation), &scope);
                    assert!(keys.insert(key.name().to_owned()));
                    count += 1;
                }
            }
        }
    }
    assert_eq!(keys.len(), count);
}

#[test]
fn one_sets_up_at_a_time_and_who_waits_in_vain_is_told() {
    let fixture = Fixture::new();
    let turn = || fixture.later(0).turn_within(Duration::ZERO, "setup", "", "another setup");
    let first = turn().unwrap();
    assert!(turn().unwrap_err().message().starts_with("another setup of this user is running"));
    drop(first);
    assert!(turn().unwrap().is_some());
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_may_enter_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    let path = fixture.path();
    let terminal = Terminal::new(std::io::sink());
    drop(Folder::open(&path, &terminal).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
    assert!(
        Folder::open(&path, &terminal)
            .err()
            .unwrap()
            .message()
            .ends_with("is not used: other users may enter it")
    );
    // The request is still answered.
    assert!(get_or_mint(&fixture.later(0), &key(), || Ok(token("ghs_x", 0, 3600))).is_ok());
    assert!(!path.join("tokens").exists());
}

#[test]
fn what_a_killed_process_left_is_swept_and_blocks_nothing() {
    let fixture = Fixture::new();
    get_or_mint(&fixture.later(0), &key(), || Ok(token("ghs_x", 0, 3600))).unwrap();
    let left = fixture.path().join("unfinished").join(format!("{}{}", UNFINISHED_PREFIX, "0a".repeat(32)));
    std::fs::write(&left, "half").unwrap();
    #[expect(clippy::disallowed_methods, reason = "the file must look old to the file system")]
    let long_ago = SystemTime::now() - Duration::from_secs(2 * 86_400);
    std::fs::File::options().write(true).open(&left).unwrap().set_modified(long_ago).unwrap();
    get_or_mint(&fixture.later(86_400), &key(), || Ok(token("ghs_y", 86_400, 3600))).unwrap();
    assert_eq!(std::fs::read_dir(fixture.path().join("unfinished")).unwrap().count(), 0);
}
