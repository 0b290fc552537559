//! The lookup of a server's name, which must not take longer than a connection may, nor end the program.

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::unversioned::transport::time::Duration;

use crate::time::{Unfinished, within};

/// Looks names up as ureq does. That does it in a thread where there is a time limit, and panics where none can be started.
#[derive(Debug, Default)]
pub(super) struct NameLookup;

impl Resolver for NameLookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let unlimited = NextTimeout { after: Duration::NotHappening, ..timeout };
        let here = || DefaultResolver::default().resolve(uri, config, unlimited);
        let Duration::Exact(limit) = timeout.after else { return here() };
        let (its_uri, its_config) = (uri.clone(), config.clone());
        let work = move || DefaultResolver::default().resolve(&its_uri, &its_config, unlimited);
        match within(limit, work) {
            Ok(found) => found,
            Err(Unfinished::Late) => Err(Error::Timeout(timeout.reason)),
            // The operating system has a limit of its own.
            Err(Unfinished::NotStarted(_)) => here(),
        }
    }
}
