use std::cell::Cell;
use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use super::key::Name as _;
use super::*;
use crate::config::{KeySource, Origin};
use crate::names::{ApiUrl, Found, Host, InstallationId, Permissions, RepositoryRef, Scope};

const NOW: i64 = 1_800_000_000;

/// A cache folder, an App with a key, and a terminal that nobody looks at.
struct Fixture {
    folder: tempfile::TempDir,
    key: KeySource,
    terminal: Terminal,
}

impl Fixture {
    fn new() -> Self {
        let pem = Secret::new(include_str!("../../simulator/keys/acme.pem").to_owned());
        Self {
            folder: tempfile::tempdir().unwrap(),
            key: KeySource::Text { pem, origin: Origin::Variable("KEY") },
            terminal: Terminal::new(std::io::sink()),
        }
    }

    fn app(&self) -> App<'_> {
        App::new("Iv1", &self.key, false)
    }

    /// The cache as a process sees it that starts so many seconds later.
    fn later<'a>(&'a self, seconds: i64, app: &'a App<'a>, path: &'a Path) -> Cache<'a> {
        let wall = UNIX_EPOCH + Duration::from_secs((NOW + seconds).unsigned_abs());
        let settings = Settings {
            store: StoreKind::File,
            min_fresh: 300,
            deadline: Duration::from_secs(30),
            folder: Some(path),
            session_bus: false,
        };
        Cache::open(settings, app, Clock::starting_at(wall), &self.terminal)
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("cache")
    }
}

fn key() -> CacheKey {
    CacheKey::new(&Host::github().api(), "Iv1", InstallationId(1), &Scope::default())
}

fn entry(token: &str, expires_in: i64) -> Entry {
    Entry {
        token: Secret::new(token.to_owned()),
        expires_at: Timestamp(NOW + expires_in),
        minted_at: Duration::from_secs(NOW.unsigned_abs()),
        clock_offset: 0,
    }
}

fn unreachable() -> Failure {
    Failure::Unreachable(Error::new("down"))
}

#[test]
fn a_token_is_used_while_it_is_fresh_and_no_longer() {
    let fixture = Fixture::new();
    let (app, path) = (fixture.app(), fixture.path());
    let mints = Cell::new(0);
    let mint = |_| {
        mints.set(mints.get() + 1);
        Ok(entry("ghs_x", 3600))
    };
    for (at, expected) in [(0, 1), (1, 1), (3299, 1), (3300, 1), (3301, 2)] {
        fixture.later(at, &app, &path).get_or_mint(&key(), Wanted::Any, mint).unwrap();
        assert_eq!(mints.get(), expected, "after {at} s");
    }
}

#[test]
fn what_counts_is_the_time_at_github() {
    let fixture = Fixture::new();
    let (app, path) = (fixture.app(), fixture.path());
    // This clock is an hour behind: the token of GitHub's hour looks as if it lived for two.
    let ahead = Entry { clock_offset: 3600, ..entry("ghs_x", 7200) };
    fixture.later(0, &app, &path).get_or_mint(&key(), Wanted::Any, |_| Ok(ahead)).unwrap();
    assert!(
        fixture.later(3299, &app, &path).get_or_mint(&key(), Wanted::Any, |_| Err(unreachable())).is_ok()
    );
    assert!(
        fixture.later(3601, &app, &path).get_or_mint(&key(), Wanted::Any, |_| Err(unreachable())).is_err()
    );
}

#[test]
fn a_token_that_is_not_fresh_helps_while_github_is_down_but_not_when_it_refuses() {
    let fixture = Fixture::new();
    let (app, path) = (fixture.app(), fixture.path());
    fixture.later(0, &app, &path).get_or_mint(&key(), Wanted::Any, |_| Ok(entry("ghs_x", 3600))).unwrap();
    let cache = fixture.later(3500, &app, &path);
    assert_eq!(
        cache.get_or_mint(&key(), Wanted::Any, |_| Err(unreachable())).unwrap().token.expose(),
        "ghs_x"
    );
    assert!(cache.get_or_mint(&key(), Wanted::Any, |_| Err(Failure::Refused(Error::new("no")))).is_err());
    assert!(
        fixture.later(3601, &app, &path).get_or_mint(&key(), Wanted::Any, |_| Err(unreachable())).is_err()
    );
}

#[test]
fn who_waited_for_a_mint_takes_its_token_even_if_it_is_not_fresh() {
    let fixture = Fixture::new();
    let (app, path) = (fixture.app(), fixture.path());
    // Both began before the token was minted; its lifetime is less than what counts as fresh.
    let (first, second) = (fixture.later(0, &app, &path), fixture.later(1, &app, &path));
    let short = Entry { minted_at: Duration::from_secs(NOW.unsigned_abs() + 2), ..entry("ghs_x", 100) };
    first.get_or_mint(&key(), Wanted::Any, |_| Ok(short)).unwrap();
    let taken = second.get_or_mint(&key(), Wanted::Any, |_| panic!("it was minted meanwhile")).unwrap();
    assert_eq!(taken.token.expose(), "ghs_x");
    // Whoever begins later wants a token of its own.
    let later =
        fixture.later(3, &app, &path).get_or_mint(&key(), Wanted::Any, |_| Ok(entry("ghs_y", 100))).unwrap();
    assert_eq!(later.token.expose(), "ghs_y");
}

#[test]
fn only_the_refused_token_is_erased() {
    let fixture = Fixture::new();
    let (app, path) = (fixture.app(), fixture.path());
    let cache = fixture.later(0, &app, &path);
    cache.get_or_mint(&key(), Wanted::Any, |_| Ok(entry("ghs_x", 3600))).unwrap();
    cache.erase(&key(), &Secret::new("ghs_other".to_owned()));
    assert!(cache.get_or_mint(&key(), Wanted::Any, |_| Err(unreachable())).is_ok());
    cache.erase(&key(), &Secret::new("ghs_x".to_owned()));
    assert!(cache.get_or_mint(&key(), Wanted::Any, |_| Err(unreachable())).is_err());
}

#[test]
fn a_sealed_file_shows_nothing_and_opens_only_with_its_key_and_name() {
    let fixture = Fixture::new();
    let (app, path) = (fixture.app(), fixture.path());
    let cache = fixture.later(0, &app, &path);
    cache.get_or_mint(&key(), Wanted::Any, |_| Ok(entry("ghs_canary", 3600))).unwrap();
    let file = path.join("tokens").join(key().name());
    let sealed = std::fs::read(&file).unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"canary"));
    let misses = |cache: &Cache<'_>, key: &CacheKey| {
        cache.get_or_mint(key, Wanted::Any, |_| Err(unreachable())).is_err()
    };
    assert!(!misses(&cache, &key()));
    // Under the name of another token.
    let other = CacheKey::new(&Host::github().api(), "Iv1", InstallationId(2), &Scope::default());
    std::fs::copy(&file, path.join("tokens").join(other.name())).unwrap();
    assert!(misses(&cache, &other));
    // With the key of another App.
    let pem = Secret::new(include_str!("../../simulator/keys/globex.pem").to_owned());
    let source = KeySource::Text { pem, origin: Origin::Variable("KEY") };
    let globex = App::new("Iv1", &source, false);
    assert!(misses(&fixture.later(0, &globex, &path), &key()));
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
    let (app, path) = (fixture.app(), fixture.path());
    let route = |name: &str| RouteKey::new(&Host::github().api(), "Iv1", "repository", name);
    let found = Found { installation: InstallationId(7), repository_id: Some(9) };
    let never = || -> Result<Option<Found>, Failure> { panic!("it is remembered") };
    let cache = fixture.later(0, &app, &path);
    assert_eq!(cache.find_or_look_up(&route("a/b"), || Ok(Some(found))).unwrap(), Some(found));
    let day = 24 * 3600;
    assert_eq!(
        fixture.later(day - 1, &app, &path).find_or_look_up(&route("a/b"), never).unwrap(),
        Some(found)
    );
    let moved = Found { installation: InstallationId(8), repository_id: None };
    let next_day = fixture.later(day, &app, &path);
    // An old answer is better than none.
    assert_eq!(next_day.find_or_look_up(&route("a/b"), || Err(unreachable())).unwrap(), Some(found));
    assert!(next_day.find_or_look_up(&route("a/b"), || Err(Failure::Refused(Error::new("no")))).is_err());
    assert_eq!(next_day.find_or_look_up(&route("a/b"), || Ok(Some(moved))).unwrap(), Some(moved));
    assert_eq!(cache.find_or_look_up(&route("a/c"), || Ok(None)).unwrap(), None);
    assert_eq!(fixture.later(29, &app, &path).find_or_look_up(&route("a/c"), never).unwrap(), None);
    // After 30 seconds, and for a clock that was set back, it is looked up again.
    for at in [30, -1] {
        let looked_up = Cell::new(false);
        let look_up = || {
            looked_up.set(true);
            Err(unreachable())
        };
        assert!(fixture.later(at, &app, &path).find_or_look_up(&route("a/c"), look_up).is_err());
        assert!(looked_up.get(), "after {at} s");
    }
    cache.forget_route(&route("a/b"));
    assert_eq!(cache.remembered(&route("a/b")), None);
    std::fs::write(path.join("routes").join(route("a/b").name()), "{").unwrap();
    assert_eq!(cache.remembered(&route("a/b")), None);
}

#[test]
fn every_field_that_changes_a_token_changes_its_key() {
    let (github, tenant) = (Host::github().api(), Host::parse("acme.ghe.com").unwrap().api());
    let path = ApiUrl::parse("https://api.github.com/api/v3").unwrap();
    let permissions = |pairs: &[(&str, &str)]| -> Permissions {
        pairs.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned())).collect()
    };
    let scope = |repository: Option<RepositoryRef>, pairs: &[(&str, &str)]| Scope {
        repository,
        permissions: permissions(pairs),
    };
    let name = |name: &str| Some(RepositoryRef::Name(name.to_owned()));
    let mut keys = HashSet::new();
    let mut count = 0;
    for api in [&github, &tenant, &path] {
        for issuer in ["1", "12"] {
            for installation in [1, 2, 21] {
                for scope in [
                    scope(None, &[]),
                    scope(name("a"), &[]),
                    scope(name("7"), &[]),
                    scope(Some(RepositoryRef::Id(7)), &[]),
                    scope(None, &[("contents", "read")]),
                    scope(None, &[("contents", "write")]),
                    scope(None, &[("contents", "read"), ("workflows", "write")]),
                    scope(name("a"), &[("contents", "read")]),
                ] {
                    let key = CacheKey::new(api, issuer, InstallationId(installation), &scope);
                    assert!(keys.insert(key.name().to_owned()));
                    count += 1;
                }
            }
        }
    }
    assert_eq!(keys.len(), count);
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_may_enter_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    let path = fixture.path();
    drop(Folder::open(&path).unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
    assert!(Folder::open(&path).unwrap_err().message().ends_with("is not used: others may enter it"));
    let app = fixture.app();
    let cache = fixture.later(0, &app, &path);
    // The request is still answered.
    assert!(cache.get_or_mint(&key(), Wanted::Any, |_| Ok(entry("ghs_x", 3600))).is_ok());
    assert!(!path.join("tokens").exists());
}

#[test]
fn what_a_killed_process_left_is_swept_and_blocks_nothing() {
    let fixture = Fixture::new();
    let (app, path) = (fixture.app(), fixture.path());
    let cache = fixture.later(0, &app, &path);
    cache.get_or_mint(&key(), Wanted::Any, |_| Ok(entry("ghs_x", 3600))).unwrap();
    let left = path.join("unfinished").join("1-left");
    std::fs::write(&left, "half").unwrap();
    #[expect(clippy::disallowed_methods, reason = "the file must look old to the file system")]
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    std::fs::File::options().write(true).open(&left).unwrap().set_modified(long_ago).unwrap();
    fixture
        .later(9999, &app, &path)
        .get_or_mint(&key(), Wanted::Any, |_| Ok(entry("ghs_y", 99_999)))
        .unwrap();
    assert_eq!(std::fs::read_dir(path.join("unfinished")).unwrap().count(), 0);
}
