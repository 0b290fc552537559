//! The primary rate limit: so many requests in an hour for each App and for each installation.
//!
//! <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>

use std::collections::BTreeMap;

/// Length of a window, in seconds.
const WINDOW: i64 = 3600;

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Principal {
    /// The App, by its JWT.
    App(u64),
    /// The installation, by any token of it.
    Installation(u64),
}

/// The windows that are open, each with its end and the requests in it.
#[derive(Debug, Default)]
pub(crate) struct Windows(BTreeMap<Principal, (i64, u32)>);

/// Where a principal stands after a request.
pub(crate) struct Standing {
    pub(crate) limit: u32,
    pub(crate) used: u32,
    /// When the window ends, in Unix seconds.
    pub(crate) reset: i64,
    /// Whether the request may not be answered.
    pub(crate) exceeded: bool,
}

impl Windows {
    /// Counts a request.
    pub(crate) fn count(&mut self, principal: Principal, limit: u32, now: i64) -> Standing {
        let window = self.0.entry(principal).or_insert((now + WINDOW, 0));
        // The clock may have been set, forward or back.
        if window.0 <= now || window.0 > now + WINDOW {
            *window = (now + WINDOW, 0);
        }
        let exceeded = window.1 >= limit;
        if !exceeded {
            window.1 += 1;
        }
        Standing { limit, used: window.1, reset: window.0, exceeded }
    }
}
