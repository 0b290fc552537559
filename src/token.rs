//! An installation access token, and what it is for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::names::InstallationId;
use crate::secret::Secret;
use crate::time::{Clock, Timestamp};
use crate::vendor::LONGEST_LIFETIME;

/// An installation access token. All its times are by the local clock.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    /// When it was minted, since the Unix epoch.
    minted_at: Duration,
    /// For how many seconds it was given: from 0 to [`LONGEST_LIFETIME`].
    lifetime: i64,
}

/// How far a token may come from the future: clocks are corrected all the time, and those of two machines that share a
/// folder differ a little.
const TOLERATED_STEP: Duration = Duration::from_secs(10);

/// A token's bytes in a store, apart from the token so that a [`Secret`] needs no way to be serialised. What it says of time
/// cannot contradict itself: there is no expiry beside the lifetime.
#[derive(Serialize, Deserialize)]
struct Stored<T, L> {
    token: T,
    minted_at: Duration,
    lifetime: i64,
    #[serde(skip_deserializing)]
    label: L,
}

/// Whose a token is. It is kept with the token, so that a token that is found is known, and can be revoked where it comes
/// from, whatever became of everything else that was remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    /// The host whose git takes it.
    pub(crate) host: String,
    /// The API that gave it.
    pub(crate) api: String,
    /// The App's client ID or App ID.
    pub(crate) app: String,
    /// The installation, unless a command gave the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) installation: Option<InstallationId>,
    /// The account that the App is installed on, as far as the request told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<String>,
    /// The full names of the repositories that it is narrowed to; empty: all that the installation covers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) repositories: Vec<String>,
    /// Whether another machine minted it, and this one has it from the shared cache.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) minted_elsewhere: bool,
}

impl Label {
    /// Reads the label of what a store kept; `None` if it has none.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct OnlyLabel {
            label: Label,
        }
        serde_json::from_slice::<OnlyLabel>(bytes).ok().map(|only| only.label)
    }
}

impl Token {
    /// A token that was minted just now, for how many seconds it is valid, and how much of that is believed.
    pub(crate) fn minted(secret: Secret, lifetime: i64, longest: i64, clock: Clock) -> Self {
        let minted_at = clock.began() + clock.elapsed();
        Self { secret, minted_at, lifetime: lifetime.clamp(0, longest) }
    }

    /// When it expires.
    pub(crate) fn expires_at(&self) -> Timestamp {
        Timestamp(i64::try_from(self.minted_at.as_secs()).unwrap_or(i64::MAX)).plus(self.lifetime)
    }

    /// For how many seconds it was given.
    pub(crate) fn lifetime(&self) -> i64 {
        self.lifetime
    }

    /// How many seconds the token stays valid. Nothing is known about a token from the future: it was minted under another
    /// clock.
    pub(crate) fn remaining(&self, clock: Clock) -> i64 {
        let now = clock.began() + clock.elapsed();
        if self.minted_at > now + TOLERATED_STEP { 0 } else { self.expires_at().since(clock.now()) }
    }

    /// Whether it was minted since this process began.
    pub(crate) fn is_new(&self, clock: Clock) -> bool {
        let since_began = clock.began()..=clock.began() + clock.elapsed();
        since_began.contains(&self.minted_at) && self.remaining(clock) > 0
    }

    /// The same token by a clock that is so many seconds ahead of the one that its times are by.
    pub(crate) fn by_clock_ahead(self, seconds: i64) -> Self {
        Self { minted_at: moved(self.minted_at, seconds), ..self }
    }

    /// The token as a store keeps it, with its label.
    pub(crate) fn to_bytes(&self, label: &Label) -> Zeroizing<Vec<u8>> {
        self.to_bytes_by_clock_ahead(label, 0)
    }

    /// The same, with times by a clock that is so many seconds ahead.
    pub(crate) fn to_bytes_by_clock_ahead(&self, label: &Label, seconds: i64) -> Zeroizing<Vec<u8>> {
        let Self { secret, minted_at, lifetime } = self;
        let minted_at = moved(*minted_at, seconds);
        let stored = Stored { token: secret.expose(), minted_at, lifetime: *lifetime, label };
        // As large as a token of the long form needs, so that no copy stays behind unwiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2048));
        // Text and numbers can always be written to memory.
        let _ = serde_json::to_writer(&mut *bytes, &stored);
        bytes
    }

    /// Reads what a store kept; `None` if that is damaged, or of another version.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let Stored::<Secret, ()> { token, minted_at, lifetime, .. } = serde_json::from_slice(bytes).ok()?;
        let is_usable = is_token(token.expose()) && (0..=LONGEST_LIFETIME).contains(&lifetime);
        is_usable.then_some(Self { secret: token, minted_at, lifetime })
    }
}

/// A time by a clock that is so many seconds ahead.
fn moved(time: Duration, seconds: i64) -> Duration {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time.saturating_sub(by) } else { time.saturating_add(by) }
}

/// Whether a text can be a token: visible ASCII only, which git's lines can carry.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Which token will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need<'n> {
    /// Any that is fresh.
    Fresh,
    /// Any that is fresh but the one with this fingerprint, which was refused.
    OtherThan(&'n str),
    /// One that is minted now, whatever is cached.
    New,
}

impl Need<'_> {
    /// Whether this is the token that was refused.
    pub(crate) fn excludes(self, token: &Token) -> bool {
        matches!(self, Self::OtherThan(refused) if token.secret.fingerprint() == refused)
    }
}

/// What a token is narrowed to. The default is everything that the installation may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The repositories that the token is for; empty: all that the installation covers.
    pub(crate) repositories: Vec<RepositoryRef>,
    /// Permission names and their levels; empty: all that the installation has.
    pub(crate) permissions: Permissions,
}

/// How a repository is named when a token is minted for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RepositoryRef {
    /// By its name, without the owner.
    Name(String),
    /// By its number, which stays the same after a rename.
    Id(u64),
}

/// Permission names (`contents`, …) and their levels (`read`, `write`, `admin`).
pub(crate) type Permissions = BTreeMap<String, String>;

/// Whether a level of a permission is no more than another one. `None`: there is none.
pub(crate) fn is_within(level: &str, most: Option<&str>) -> bool {
    const LEVELS: [&str; 3] = ["read", "write", "admin"];
    let rank = |level: &str| LEVELS.iter().position(|it| *it == level);
    match (rank(level), most.map(rank)) {
        (Some(level), Some(Some(most))) => level <= most,
        _ => false,
    }
}

/// The first of some permissions that is more than a rule allows. Everybody may read metadata, and a rule that names no
/// permissions allows all.
pub(crate) fn beyond<'p>(
    permissions: &'p Permissions,
    most: &Permissions,
) -> Option<(&'p String, &'p String)> {
    let most = |name: &str| match (most.is_empty(), name) {
        (true, _) => Some("admin"),
        (false, "metadata") => Some("read"),
        (false, name) => most.get(name).map(String::as_str),
    };
    permissions.iter().find(|(name, level)| !is_within(level, most(name)))
}

/// What GitHub says that a token may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Granted {
    /// Its permissions, if GitHub says so.
    pub(crate) permissions: Option<Permissions>,
    /// `all` or `selected`: the repositories of the installation, or some of them.
    pub(crate) repository_selection: Option<String>,
    /// The full names of the repositories, if the token was narrowed to some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repositories: Option<Vec<String>>,
}

/// Whether git can use a token with these permissions: it needs `contents`.
pub(crate) fn may_use_contents(permissions: Option<&Permissions>) -> bool {
    permissions.is_none_or(|permissions| permissions.contains_key("contents"))
}
