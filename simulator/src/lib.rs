//! A GitHub on loopback, as strict as the real one: the REST API that Apps use, git over HTTPS through
//! `git http-backend`, and Git LFS, behind TLS with a CA of its own, with a log of every request and faults
//! that can be switched on.
//!
//! One server plays every host. A client reaches it as the host at [`Simulator::host`], which behaves like a
//! GitHub Enterprise Server (its API is below `/api/v3`), or through the proxy at [`Simulator::proxy`] under any
//! name (`api.NAME` is the API of `NAME`). A certificate is made for whatever name is asked for. The keys of its
//! Apps are public: they are good for nothing else.

mod endpoint;
mod file;
mod git;
mod jwt;
mod limits;
mod manifest;
mod release;
mod rest;
mod server;
mod vendor;
mod world;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

pub use endpoint::{Endpoint, NoSuchEndpoint};
pub use file::Invalid;
pub use manifest::Registration;
pub use rest::api_path;
pub use vendor::{Expiry, Vendor};
pub use world::{Anonymous, App, Effect, Fault, Installation, Repository, Request, Selection, Token, World};

/// The key of the App `acme-ci`, in PKCS#1.
pub const ACME_KEY: &str = include_str!("../keys/acme.pem");
/// The same key in PKCS#8.
pub const ACME_KEY_PKCS8: &str = include_str!("../keys/acme.pkcs8.pem");
/// The key of the App `globex-deploy`.
pub const GLOBEX_KEY: &str = include_str!("../keys/globex.pem");
/// A key that belongs to no App.
pub const ROGUE_KEY: &str = include_str!("../keys/rogue.pem");
/// The key of every App that is registered from a manifest.
pub const REGISTERED_KEY: &str = include_str!("../keys/registered.pem");

/// A running simulator. It ends when it is dropped.
pub struct Simulator {
    folder: PathBuf,
    world: Arc<Mutex<World>>,
    host: String,
    proxy: String,
    _runtime: tokio::runtime::Runtime,
}

impl Simulator {
    /// Starts a simulator that keeps repositories and its CA certificate in `folder`.
    ///
    /// # Errors
    /// If no port, certificate or file can be had.
    pub fn start(folder: &Path) -> std::io::Result<Self> {
        let world = Arc::new(Mutex::new(World::new(folder)));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let addresses = runtime.block_on(server::start(folder, world.clone()))?;
        Ok(Self {
            folder: folder.to_owned(),
            world,
            host: format!("localhost:{}", addresses.https.port()),
            proxy: format!("http://{}", addresses.proxy),
            _runtime: runtime,
        })
    }

    /// Host and port of the server, as they stand in URLs.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address of a proxy that leads every host to this simulator.
    #[must_use]
    pub fn proxy(&self) -> &str {
        &self.proxy
    }

    /// The certificate of the CA, in PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A client's certificate that the CA signed, and its key, in PEM.
    #[must_use]
    pub fn client_certificate(&self) -> PathBuf {
        self.folder.join("client.pem")
    }

    /// The state, to look at and to change.
    ///
    /// # Panics
    /// If another thread panicked while it changed the state.
    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// What was asked so far, one line a request: host, method, path, who asked, status.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.world().requests.iter().map(ToString::to_string).collect()
    }
}

#[expect(clippy::expect_used, reason = "a simulator whose state is broken has nothing to say")]
fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().expect("a request panicked")
}
