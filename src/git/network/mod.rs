//! How GitHub is reached: by git's own network settings, so that whoever can clone can mint.
//!
//! They come from git's protected configuration only: system, global, command line and environment. (git-config(1), section
//! SCOPES) A repository's is anybody's, even that of a folder with files that look like a bare repository.
//!
//! git's rules are in git-config(1), section http.*, and in its source, http.c; those of the proxy variables
//! in curl(1), section ENVIRONMENT.

mod certificates;
mod proxy;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use ureq::config::Config;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

use crate::error::{Error, Result};
use crate::world::World;

use certificates::{ClientCertificate, NamedRoots};
pub(crate) use settings::HttpSettings;
use settings::Settings;

/// How long a connection may take to be there, name lookup and proxy included.
const CONNECT: Duration = Duration::from_secs(10);

/// A way to a server, by git's settings.
pub(crate) struct Way {
    pub(crate) agent: Agent,
    /// Whether the server's certificate is checked. Where it is not, what the server says proves nothing.
    pub(crate) verified: bool,
    /// The proxy in between, if there is one.
    pub(crate) proxy: Option<Proxy>,
}

/// Prepares the way to one address, which ends with a slash, and begins to connect, so that the first request need not wait for
/// that. `gits_address` is where git itself goes: the proxy, the CAs and the client certificate for that are the ones for this
/// address too, unless there are others for exactly this one.
///
/// # Errors
/// If git cannot read its configuration, if a named certificate cannot be read, if a proxy's address is not usable, or if git
/// is told to check something that this program cannot check.
pub(crate) fn way(address: &str, gits_address: &str, http: &HttpSettings, world: &World<'_>) -> Result<Way> {
    let (config, verified) = config(address, gits_address, http, world)?;
    let proxy = config.proxy().cloned();
    let server = address.parse().map_err(|_| Error::new(format!("{address} is not a usable address")))?;
    Ok(Way { agent: super::ahead::agent(config, server, CONNECT), verified, proxy })
}

/// What a process must be allowed to talk to a server, in MiB. It takes about half. With less an allocation fails somewhere
/// on the way, and that ends a program before it can tell git anything.
#[cfg(unix)]
const LEAST_MEMORY: u64 = 48;

/// An error if this process may not have the memory that talking to a server takes. (setrlimit(2), `RLIMIT_AS`)
#[cfg(unix)]
fn check_memory() -> Result<()> {
    use rustix::process::{Resource, getrlimit};
    match getrlimit(Resource::As).current.map(|bytes| bytes >> 20) {
        Some(allowed) if allowed < LEAST_MEMORY => {
            let what = format!(
                "this process may have {allowed} MiB of memory, and needs {LEAST_MEMORY} MiB to talk to a server"
            );
            Err(Error::new(what).hint("raise the limit: ulimit -v"))
        }
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn check_memory() -> Result<()> {
    Ok(())
}

/// How a server is reached, and whether its certificate is checked.
fn config(
    address: &str,
    gits_address: &str,
    http: &HttpSettings,
    world: &World<'_>,
) -> Result<(Config, bool)> {
    check_memory()?;
    let settings = Settings::read(address, gits_address, http, world)?;
    settings.warn_of_unheeded(&world.terminal);
    settings.refuse_what_cannot_be_done()?;
    let unverified = settings.is_unverified();
    if unverified {
        let host = settings.host;
        world.terminal.warning(
            &Error::new(format!("the certificate of {host} is not checked, as git's configuration says"))
                .hint("name the CA instead: git config --global http.sslCAInfo FILE"),
        );
    }
    let roots = match settings.named_roots()? {
        Some(named) => RootCerts::Specific(Arc::new(named.certificates)),
        None => RootCerts::PlatformVerifier,
    };
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(settings.crypto_provider()))
        .root_certs(roots)
        .client_cert(settings.client_certificate()?.map(|found| found.certificate))
        .disable_verification(unverified)
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(settings.proxy()?)
        .timeout_connect(Some(CONNECT))
        .user_agent(concat!("git-credential-ghapp/", env!("CARGO_PKG_VERSION")))
        .build();
    Ok((config, !unverified))
}

/// How an address is reached, in words for a person.
#[derive(Debug)]
pub(crate) struct Description {
    /// The proxy and where it is named, if there is one.
    pub(crate) proxy: Option<String>,
    /// Whose CAs are trusted, and with which certificate the client shows who it is.
    pub(crate) certificates: String,
    /// Whether certificates are not checked at all.
    pub(crate) unverified: bool,
}

/// Tells how an address is reached, without the password that a proxy's address may hold.
///
/// # Errors
/// As [`way`].
pub(crate) fn describe(address: &str, gits_address: &str, world: &World<'_>) -> Result<Description> {
    let settings = Settings::read(address, gits_address, &HttpSettings::default(), world)?;
    settings.refuse_what_cannot_be_done()?;
    let mut certificates = match settings.named_roots()? {
        Some(NamedRoots { places, .. }) => {
            let places: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
            format!("the CAs in {}", places.join(" and "))
        }
        None => "the system's CAs".to_owned(),
    };
    if let Some(ClientCertificate { path, .. }) = settings.client_certificate()? {
        certificates = format!("{certificates}, with the client certificate {}", path.display());
    }
    let proxy = settings.proxy()?;
    Ok(Description {
        proxy: proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port())),
        certificates,
        unverified: settings.is_unverified(),
    })
}
