//! A connection that is opened while something else is waited for: TCP, the proxy and TLS take three or four round trips,
//! and the first request then takes one. The server sees a connection without a request until there is one.

use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::Resolver as _;
use ureq::unversioned::transport::time::Duration;
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Agent, Error, Timeout};

use super::connector::{Bounded, Opening};
use super::resolver::NameLookup;
use crate::time::start;

/// A connection, or why there is none.
type Opened = Result<Box<dyn Transport>, Error>;

/// Gives the connection that is being opened to the first request. All others get one of their own.
#[derive(Debug)]
struct Ahead {
    connector: Bounded,
    opening: Mutex<Option<Receiver<Opened>>>,
}

impl Connector for Ahead {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let opening = self.opening.lock().ok().and_then(|mut opening| opening.take());
        let longest = match details.timeout.after {
            Duration::Exact(longest) => longest,
            Duration::NotHappening => std::time::Duration::MAX,
        };
        match opening.map(|opening| opening.recv_timeout(longest)) {
            Some(Ok(opened)) => opened.map(Some),
            // One that is not there yet is not begun anew: that would be waited for as long again.
            Some(Err(RecvTimeoutError::Timeout)) => Err(Error::Timeout(details.timeout.reason)),
            Some(Err(RecvTimeoutError::Disconnected)) | None => self.connector.connect(details, chained),
        }
    }
}

/// An agent for one server, which begins to connect to it now, for at most `longest`. A connection that no request takes ends
/// with the process.
pub(super) fn agent(config: Config, server: Uri, longest: std::time::Duration) -> Agent {
    let connector = Bounded::default();
    let (sender, opening) = mpsc::sync_channel(1);
    let (its_connector, its_config) = (connector.clone(), config.clone());
    // Without a thread the channel is closed at once, and the first request connects.
    let _ = start(move || {
        // If nobody waits any more, it is closed.
        let _ = sender.send(open(&its_connector, its_config, server, longest));
    });
    Agent::with_parts(config, Ahead { connector, opening: Mutex::new(Some(opening)) }, NameLookup)
}

/// Connects as ureq does for a request.
fn open(connector: &Bounded, config: Config, server: Uri, longest: std::time::Duration) -> Opened {
    let timeout =
        NextTimeout { after: Duration::Exact(longest), reason: Timeout::Connect, ..NextTimeout::default() };
    // A proxy resolves the name itself, unless it speaks SOCKS 4.
    let addrs = match config.proxy() {
        Some(proxy) if !proxy.resolve_target() => NameLookup.empty(),
        _ => NameLookup.resolve(&server, &config, timeout)?,
    };
    connector.open(Opening { server, addrs, config, request_level: false, timeout })
}
