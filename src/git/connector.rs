//! Connections that are there in time, or are given up. ureq gives each read of a proxy's answer to CONNECT the time that the
//! whole connection may take, so a proxy that sends one byte now and then would be listened to for hours.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::ResolvedSocketAddrs;
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, DefaultConnector, NextTimeout, ShutdownHandle, Transport,
};

use super::resolver::NameLookup;
use crate::time::{Unfinished, within};

/// Connects as ureq does. Through a proxy that takes no longer than the request's timeout.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounded(Arc<DefaultConnector>);

/// What is connected to, and how.
pub(super) struct Opening {
    pub(super) server: Uri,
    pub(super) addrs: ResolvedSocketAddrs,
    pub(super) config: Config,
    pub(super) request_level: bool,
    pub(super) timeout: NextTimeout,
}

impl Connector for Bounded {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        if details.config.proxy().is_none() {
            return self.0.connect(details, chained);
        }
        let ConnectionDetails { uri, ref addrs, config, request_level, timeout, .. } = *details;
        let (server, addrs, config) = (uri.clone(), addrs.clone(), config.clone());
        self.open(Opening { server, addrs, config, request_level, timeout }).map(Some)
    }
}

impl Bounded {
    /// Opens a connection. Through a proxy it is there within the timeout, or fails.
    ///
    /// # Errors
    /// If it cannot be opened, or not in time.
    pub(super) fn open(&self, opening: Opening) -> Result<Box<dyn Transport>, Error> {
        let NextTimeout { after, reason, .. } = opening.timeout;
        let sockets = Sockets::default();
        let limit = match after {
            Duration::Exact(limit) if opening.config.proxy().is_some() => limit,
            _ => return opening.open(&self.0, &sockets),
        };
        let opening = Arc::new(opening);
        let (connector, its_opening, its_sockets) =
            (Arc::clone(&self.0), Arc::clone(&opening), Arc::clone(&sockets));
        match within(limit, move || its_opening.open(&connector, &its_sockets)) {
            Ok(opened) => opened,
            Err(Unfinished::Late) => {
                // This ends the thread, too.
                let sockets = sockets.lock().unwrap_or_else(PoisonError::into_inner);
                sockets.iter().filter_map(Weak::upgrade).for_each(|socket| socket.shutdown());
                Err(Error::Timeout(reason))
            }
            // What is read takes no longer than the timeout each.
            Err(Unfinished::NotStarted(_)) => opening.open(&self.0, &sockets),
        }
    }
}

/// The sockets that were opened.
type Sockets = Arc<Mutex<Vec<Weak<dyn ShutdownHandle>>>>;

impl Opening {
    fn open(
        &self,
        connector: &Arc<DefaultConnector>,
        sockets: &Sockets,
    ) -> Result<Box<dyn Transport>, Error> {
        let (to_proxy, sockets) = (Arc::clone(connector), Arc::clone(sockets));
        let details = ConnectionDetails {
            uri: &self.server,
            addrs: self.addrs.clone(),
            config: &self.config,
            request_level: self.request_level,
            resolver: &NameLookup,
            now: Instant::now(),
            timeout: self.timeout,
            current_time: Arc::new(Instant::now),
            run_connector: Arc::new(move |details| {
                to_proxy.connect(details, None)?.ok_or(Error::ConnectionFailed)
            }),
            register_shutdown: Arc::new(move |socket| {
                sockets.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
                Ok(())
            }),
        };
        connector.connect(&details, None)?.ok_or(Error::ConnectionFailed)
    }
}
