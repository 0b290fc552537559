//! What exists on this GitHub, and what happened.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use tokio::sync::Barrier;

use crate::endpoint::Endpoint;
use crate::limits::Windows;
use crate::manifest::{Form, Registration};
use crate::vendor::Vendor;

/// How many characters a long token has.
const LONG_TOKEN: usize = 520;

/// A GitHub App.
#[derive(Clone, Debug)]
pub struct App {
    /// The App ID.
    pub id: u64,
    /// The client ID.
    pub client_id: String,
    /// The name in addresses.
    pub slug: String,
    /// The name for people.
    pub name: String,
    /// The login of the account that registered it.
    pub owner: String,
    /// Whether that is a user, and no organisation.
    pub is_users: bool,
    /// Whether every account may install it.
    pub public: bool,
    /// What it asks for where it is installed.
    pub permissions: BTreeMap<String, String>,
    /// The public halves of its private keys, as PKCS#1 DER.
    pub public_keys: Vec<Vec<u8>>,
    /// How many more of its JWTs GitHub refuses because it has not heard of the keys yet, as just after a
    /// registration.
    pub unready: u32,
}

/// What an installation covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All repositories of the account.
    All,
    /// The repositories with these numbers.
    Selected(Vec<u64>),
}

/// An App on an account.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Its number.
    pub id: u64,
    /// The App's number.
    pub app: u64,
    /// The account's login; `None` for an enterprise.
    pub account: Option<String>,
    /// What it covers.
    pub selection: Selection,
    /// What it may do.
    pub permissions: BTreeMap<String, String>,
    /// Whether an owner suspended it.
    pub suspended: bool,
}

/// How a client without a credential is answered for a public repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anonymous {
    /// As everybody.
    #[default]
    Served,
    /// With 401, as for a private repository; git then asks its credential helpers.
    Unauthorized,
    /// With 200 for the list of refs and then with an error within git's protocol; git asks nobody.
    /// <https://github.com/cli/cli/issues/14329>
    Limited,
}

/// A repository.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its number.
    pub id: u64,
    /// The owner's login.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// Whether reading it takes a credential.
    pub private: bool,
}

/// An installation access token.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token's text.
    pub text: String,
    /// The installation.
    pub installation: u64,
    /// The repositories that it is narrowed to.
    pub repositories: Option<Vec<u64>>,
    /// What it may do.
    pub permissions: BTreeMap<String, String>,
    /// When it expires, in Unix seconds.
    pub expires_at: i64,
    /// Whether it was revoked.
    pub revoked: bool,
    /// How often git's servers have yet to refuse it, and how, before they know it.
    pub unknown: Option<(u32, u16)>,
}

/// A request, with nothing secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The host that it was for.
    pub host: String,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Who asked: `-`, `jwt ISSUER`, `token of installation N`, or that a credential was not valid.
    pub by: String,
    /// The answer's status.
    pub status: u16,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} [{}] {}", self.host, self.method, self.path, self.by, self.status)
    }
}

/// Something that goes wrong on purpose.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The requests that it meets.
    pub endpoint: Endpoint,
    /// How many requests it meets, after which it is gone.
    pub times: u32,
    /// What happens.
    pub effect: Effect,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Effect {
    /// This is the answer, whatever was asked: status, headers, body.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// The answer that was due, with these headers in place of its own.
    With(Vec<(String, String)>),
    /// Status and body; `{authorization}` in it stands for the header of that name as it came.
    Echo(u16, String),
    /// The answer comes after so many milliseconds.
    Delay(u64),
    /// The answers come when so many requests wait for them together; see [`Effect::together`].
    Together(Arc<Barrier>),
    /// The answer comes, but from now on this connection carries one byte in so many milliseconds.
    Trickle(u64),
    /// The answer never comes.
    Hang,
    /// The connection ends without an answer.
    Drop,
}

impl Effect {
    /// No answer comes before so many requests wait for one.
    #[must_use]
    pub fn together(requests: usize) -> Self {
        Self::Together(Arc::new(Barrier::new(requests)))
    }
}

/// Everything that exists, and what was asked.
#[derive(Debug)]
pub struct World {
    folder: PathBuf,
    /// The names of this GitHub, with all that end in them. If there are none, every host is this GitHub.
    pub hosts: Vec<String>,
    /// The Apps.
    pub apps: Vec<App>,
    /// Their installations.
    pub installations: Vec<Installation>,
    /// The repositories.
    pub repositories: Vec<Repository>,
    /// Old names (`owner/name` in lower case) of repositories.
    pub old_names: BTreeMap<String, u64>,
    /// All tokens that were minted.
    pub tokens: Vec<Token>,
    /// How long a token lives, in seconds.
    pub token_lifetime: i64,
    /// Whether tokens have the form of 2026, 520 characters, unless the mint's header
    /// `X-GitHub-Stateless-S2S-Token` says otherwise. An Enterprise Server gives short ones only.
    pub long_tokens: bool,
    /// What another vendor's API on the same hosts is like.
    pub vendor: Vendor,
    /// How many requests an App, and an installation, may make in an hour; none on an Enterprise Server.
    pub rate_limit: u32,
    /// How anonymous clients are answered for public repositories.
    pub anonymous: Anonymous,
    /// Whether git's servers refuse tokens without `contents` for public repositories too.
    pub public_needs_contents: bool,
    /// How far this GitHub's clock is ahead of the machine's, in seconds.
    pub clock_offset: i64,
    /// Given to each new token as its `unknown`.
    pub propagation: Option<(u32, u16)>,
    /// Faults that are switched on.
    pub faults: Vec<Fault>,
    /// Every request since the start, in the order of the answers.
    pub requests: Vec<Request>,
    /// How many TLS connections were made.
    pub connections: usize,
    /// In how many of them the client showed a certificate.
    pub client_certificates: usize,
    /// Who is signed in to its pages.
    pub account: String,
    /// The manifests that a person has yet to agree to, by the secret of the page that asks.
    pub(crate) forms: BTreeMap<String, Form>,
    /// The Apps that were registered from a manifest.
    pub registrations: Vec<Registration>,
    /// How many JWTs of such an App are refused at first: given to it as its `unready`.
    pub registration_delay: u32,
    /// The LFS objects by their SHA-256.
    pub lfs_objects: BTreeMap<String, Vec<u8>>,
    /// The files of releases, by `owner/name/tag/file`.
    pub releases: BTreeMap<String, Vec<u8>>,
    /// The tag of the latest release, by `owner/name`.
    pub latest: BTreeMap<String, String>,
    pub(crate) windows: Windows,
}

impl World {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            hosts: Vec::new(),
            apps: Vec::new(),
            installations: Vec::new(),
            repositories: Vec::new(),
            old_names: BTreeMap::new(),
            tokens: Vec::new(),
            token_lifetime: 3600,
            long_tokens: true,
            vendor: Vendor::default(),
            rate_limit: 5000,
            anonymous: Anonymous::Served,
            public_needs_contents: false,
            clock_offset: 0,
            propagation: None,
            faults: Vec::new(),
            requests: Vec::new(),
            connections: 0,
            client_certificates: 0,
            account: "octocat".to_owned(),
            forms: BTreeMap::new(),
            registrations: Vec::new(),
            registration_delay: 2,
            lfs_objects: BTreeMap::new(),
            releases: BTreeMap::new(),
            latest: BTreeMap::new(),
            windows: Windows::default(),
        }
    }

    /// What this GitHub's clock shows, in Unix seconds.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the simulator has a clock of its own")]
    pub fn now(&self) -> i64 {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        i64::try_from(seconds).unwrap_or(i64::MAX).saturating_add(self.clock_offset)
    }

    /// Registers an App by its private key in PEM. It belongs to the account that its slug begins with.
    ///
    /// # Panics
    /// If that is not an RSA key.
    pub fn add_app(&mut self, id: u64, client_id: &str, slug: &str, pem: &str) {
        self.register(id, client_id, slug, None);
        self.add_key(id, pem);
    }

    /// Registers an App that has no key yet.
    pub(crate) fn register(&mut self, id: u64, client_id: &str, slug: &str, owner: Option<&str>) {
        let owner = owner.unwrap_or(slug.split('-').next().unwrap_or(slug)).to_owned();
        let (client_id, slug, name) = (client_id.to_owned(), slug.to_owned(), slug.to_owned());
        let permissions = [("contents", "write"), ("metadata", "read")];
        let permissions = permissions.map(|(name, level)| (name.to_owned(), level.to_owned())).into();
        let (public_keys, is_users, public) = (Vec::new(), false, true);
        self.apps.push(App {
            id,
            client_id,
            slug,
            name,
            owner,
            is_users,
            public,
            permissions,
            public_keys,
            unready: 0,
        });
    }

    /// Gives an App one more private key, in PEM.
    ///
    /// # Panics
    /// If there is no such App, or that is not an RSA key.
    #[expect(clippy::expect_used, reason = "for tests, which name what they made")]
    pub fn add_key(&mut self, app: u64, pem: &str) {
        self.app(app).public_keys.push(crate::jwt::public_key(pem).expect("a private key"));
    }

    /// Deletes a private key of an App.
    ///
    /// # Panics
    /// If there is no such App, or that is not an RSA key.
    #[expect(clippy::expect_used, reason = "for tests, which name what they made")]
    pub fn delete_key(&mut self, app: u64, pem: &str) {
        let deleted = crate::jwt::public_key(pem).expect("a private key");
        self.app(app).public_keys.retain(|key| *key != deleted);
    }

    /// The App with this number.
    ///
    /// # Panics
    /// If there is none.
    #[expect(clippy::expect_used, reason = "for tests, which name what they made")]
    pub fn app(&mut self, id: u64) -> &mut App {
        self.apps.iter_mut().find(|app| app.id == id).expect("no such App")
    }

    /// Installs an App on all repositories of an account, with write access to contents.
    pub fn install(&mut self, id: u64, app: u64, account: &str) {
        let permissions = [("contents", "write"), ("metadata", "read"), ("workflows", "write")];
        self.installations.push(Installation {
            id,
            app,
            account: Some(account.to_owned()),
            selection: Selection::All,
            permissions: permissions.map(|(name, level)| (name.to_owned(), level.to_owned())).into(),
            suspended: false,
        });
    }

    /// The installation with this number.
    ///
    /// # Panics
    /// If there is none.
    #[expect(clippy::expect_used, reason = "for tests, which name what they made")]
    pub fn installation(&mut self, id: u64) -> &mut Installation {
        self.installations
            .iter_mut()
            .find(|installation| installation.id == id)
            .expect("no such installation")
    }

    /// Publishes a release of a repository, `owner/name`, which is its latest from now on.
    pub fn release(
        &mut self,
        repository: &str,
        tag: &str,
        files: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) {
        self.latest.insert(repository.to_owned(), tag.to_owned());
        let files = files.into_iter();
        self.releases.extend(files.map(|(name, content)| (format!("{repository}/{tag}/{name}"), content)));
    }

    /// Makes a private repository with one commit of these files; a value that begins with `commit ` is a
    /// submodule's commit. Returns the commit.
    ///
    /// # Panics
    /// If git cannot do it.
    #[expect(clippy::expect_used, reason = "a world that cannot be made is of no use")]
    pub fn add_repository(&mut self, owner: &str, name: &str, files: &[(&str, &str)]) -> String {
        let id = 1000 + self.repositories.len() as u64;
        let path = self.repository_path(id);
        let git = |arguments: &[&str], input: &str| {
            let mut child = Command::new("git")
                .arg("--git-dir")
                .arg(&path)
                .args(arguments)
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GIT_CONFIG_GLOBAL", self.folder.join("no-such-file"))
                .envs(["AUTHOR", "COMMITTER"].into_iter().flat_map(|who| {
                    [("NAME", "Octocat"), ("EMAIL", "octocat@example.com"), ("DATE", "1700000000 +0000")]
                        .map(|(key, value)| (format!("GIT_{who}_{key}"), value))
                }))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("git cannot be started");
            child.stdin.take().expect("stdin is piped").write_all(input.as_bytes()).expect("git reads");
            let output = child.wait_with_output().expect("git ends");
            assert!(output.status.success(), "git {arguments:?} failed");
            String::from_utf8(output.stdout).expect("git prints UTF-8").trim().to_owned()
        };
        git(&["init", "--quiet", "--bare", "--initial-branch=main"], "");
        git(&["config", "http.receivepack", "true"], "");
        // Symbolic: who clones an empty repository learns nothing; one commit is enough.
        let tree: String = files
            .iter()
            .map(|(file, content)| match content.strip_prefix("commit ") {
                Some(commit) => format!("160000 commit {commit}\t{file}\n"),
                None => format!("100644 blob {}\t{file}\n", git(&["hash-object", "-w", "--stdin"], content)),
            })
            .collect();
        let tree = git(&["mktree", "--missing"], &tree);
        let commit = git(&["commit-tree", &tree, "-m", "Begin"], "");
        git(&["update-ref", "refs/heads/main", &commit], "");
        self.repositories.push(Repository {
            id,
            owner: owner.to_owned(),
            name: name.to_owned(),
            private: true,
        });
        commit
    }

    /// Renames a repository; its old name leads to the new one.
    ///
    /// # Panics
    /// If there is no such repository.
    #[expect(clippy::expect_used, reason = "for tests, which name what they made")]
    pub fn rename(&mut self, from: (&str, &str), to: (&str, &str)) {
        let id = self.find(from.0, from.1).expect("no such repository").id;
        self.old_names.insert(format!("{}/{}", from.0, from.1).to_ascii_lowercase(), id);
        let repository = self.repositories.iter_mut().find(|repository| repository.id == id);
        let repository = repository.expect("it was just there");
        (repository.owner, repository.name) = (to.0.to_owned(), to.1.to_owned());
    }

    /// Makes all tokens so far invalid, as an owner's or an incident's revocation does.
    pub fn revoke_all(&mut self) {
        self.tokens.iter_mut().for_each(|token| token.revoked = true);
    }

    /// How many requests an endpoint met.
    ///
    /// # Panics
    /// If there is no such endpoint.
    #[must_use]
    pub fn count(&self, endpoint: &str) -> usize {
        let endpoint: Endpoint = endpoint.parse().unwrap_or_else(|error| panic!("{error}"));
        self.requests.iter().filter(|it| endpoint.matches(&it.host, &it.method, &it.path)).count()
    }

    /// Whether a host is this GitHub's.
    pub(crate) fn is_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let below =
            |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        self.hosts.is_empty() || self.hosts.iter().any(|name| below(name))
    }

    pub(crate) fn repository_path(&self, id: u64) -> PathBuf {
        self.folder.join("repositories").join(format!("{id}.git"))
    }

    /// The repository of this name, in any case.
    pub(crate) fn find(&self, owner: &str, name: &str) -> Option<&Repository> {
        self.repositories.iter().find(|repository| {
            repository.owner.eq_ignore_ascii_case(owner) && repository.name.eq_ignore_ascii_case(name)
        })
    }

    pub(crate) fn find_by_old_name(&self, owner: &str, name: &str) -> Option<&Repository> {
        let id = self.old_names.get(&format!("{owner}/{name}").to_ascii_lowercase())?;
        self.repositories.iter().find(|repository| repository.id == *id)
    }

    /// The App's installation that covers the repository.
    pub(crate) fn covering(&self, app: u64, repository: &Repository) -> Option<&Installation> {
        self.installations.iter().find(|it| it.app == app && it.covers(repository))
    }

    /// A token of an installation with all that this may do, as somebody else had it minted: a broker.
    ///
    /// # Panics
    /// If there is no such installation.
    pub fn issue(&mut self, installation: u64) -> String {
        let found = self.installations.iter().find(|it| it.id == installation).cloned();
        let Some(found) = found else { panic!("there is no installation {installation}") };
        let permissions = found.permissions.clone();
        self.mint(&found, None, permissions, self.long_tokens).text
    }

    pub(crate) fn mint(
        &mut self,
        installation: &Installation,
        repositories: Option<Vec<u64>>,
        permissions: BTreeMap<String, String>,
        long: bool,
    ) -> Token {
        let text = if long {
            // A JWT with the header of ES256, and as long as reported.
            let start = format!("ghs_{}_eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJ", installation.app);
            format!("{start}{}.{}", random(LONG_TOKEN - start.len() - 87), random(86))
        } else {
            format!("ghs_{}", random(36))
        };
        let token = Token {
            text,
            installation: installation.id,
            repositories,
            permissions,
            expires_at: self.now() + self.token_lifetime,
            revoked: false,
            unknown: self.propagation,
        };
        self.tokens.push(token.clone());
        token
    }

    /// The fault that meets this request, which counts as met.
    pub(crate) fn fault(&mut self, host: &str, method: &str, path: &str) -> Option<Effect> {
        let index = self.faults.iter().position(|fault| fault.endpoint.matches(host, method, path))?;
        let fault = &mut self.faults[index];
        let effect = fault.effect.clone();
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            self.faults.remove(index);
        }
        Some(effect)
    }
}

impl Installation {
    pub(crate) fn covers(&self, repository: &Repository) -> bool {
        let on_owner =
            self.account.as_ref().is_some_and(|account| account.eq_ignore_ascii_case(&repository.owner));
        on_owner
            && match &self.selection {
                Selection::All => true,
                Selection::Selected(ids) => ids.contains(&repository.id),
            }
    }
}

/// So many random letters and digits.
#[expect(clippy::expect_used, reason = "a machine without random numbers has other problems")]
pub(crate) fn random(length: usize) -> String {
    let mut bytes = vec![0; length];
    SystemRandom::new().fill(&mut bytes).expect("random numbers");
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    bytes.iter().map(|byte| char::from(letters[usize::from(*byte) % letters.len()])).collect()
}
