//! Time as a value: points in Unix seconds, and the clock that one run reads.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, cause};

/// A point in time: seconds since the Unix epoch, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Timestamp(pub(crate) i64);

impl Timestamp {
    /// A time as APIs write it in JSON: RFC 3339 with or without fractions, or a number of seconds or milliseconds since the
    /// Unix epoch, which may be text.
    pub(crate) fn parse(value: &Value) -> Option<Self> {
        /// In seconds this is the year 5138, and in milliseconds 1973.
        const FIRST_MILLISECONDS: i64 = 100_000_000_000;
        let of_number = |number: i64| match number {
            FIRST_MILLISECONDS.. => Some(Self(number / 1000)),
            1.. => Some(Self(number)),
            _ => None,
        };
        match value {
            Value::String(text) => match text.parse::<jiff::Timestamp>() {
                Ok(time) => Some(Self(time.as_second())),
                Err(_) => of_number(text.parse().ok()?),
            },
            Value::Number(number) => of_number(number.as_i64()?),
            _ => None,
        }
    }

    /// The point that lies `seconds` later (or earlier, if negative).
    pub(crate) fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// How many seconds this point lies after `earlier`; negative if it lies before.
    pub(crate) fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Why work in a thread of its own has no result.
#[derive(Debug)]
pub(crate) enum Unfinished {
    /// It took too long, and is abandoned.
    Late,
    /// No thread can be started: there are as many as there may be, or no room for another one.
    NotStarted(io::Error),
}

/// Starts a thread that nobody waits for. std's own function panics where none can be started.
///
/// # Errors
/// If none can be started.
pub(crate) fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // Boxed, so that all work is of one type, and the program holds std's code to start a thread once.
    let work: Box<dyn FnOnce() + Send> = Box::new(work);
    thread::Builder::new().spawn(work).map(drop)
}

/// The next step where a thread or a process cannot be started.
pub(crate) const LIMITS_HINT: &str = "look at the limits of processes and memory: ulimit -a";

/// That something cannot be done because no thread can be started for it.
pub(crate) fn no_thread(to_do: &str, why: &io::Error) -> Error {
    Error::new(format!("cannot {to_do}: no thread can be started: {}", cause(why))).hint(LIMITS_HINT)
}

/// Runs `work` in a thread of its own.
///
/// # Errors
/// If it takes longer than `limit`, or cannot begin.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    // The result stands beside the channel, so that all channels are of one type, and the program holds std's code for them once.
    let result = Arc::new(Mutex::new(None));
    let (its_result, (sender, receiver)) = (Arc::clone(&result), mpsc::channel());
    start(move || {
        let done = work();
        *its_result.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        // Nobody listens any more after the deadline.
        let _ = sender.send(());
    })
    .map_err(Unfinished::NotStarted)?;
    receiver.recv_timeout(limit).map_err(|_| Unfinished::Late)?;
    let done = result.lock().unwrap_or_else(PoisonError::into_inner).take();
    done.ok_or(Unfinished::Late)
}

/// The clock of one run: the wall clock is read once, what passes after that is measured steadily, so that
/// a clock that is set meanwhile does no harm.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Since the Unix epoch.
    began: Duration,
    steady: Instant,
}

impl Clock {
    /// A clock that shows `wall` now.
    #[must_use]
    pub fn starting_at(wall: SystemTime) -> Self {
        Self { began: wall.duration_since(UNIX_EPOCH).unwrap_or_default(), steady: Instant::now() }
    }

    /// When this run began, by the local clock, since the Unix epoch.
    pub(crate) fn began(&self) -> Duration {
        self.began
    }

    /// What the local clock shows now, to the second.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(i64::try_from((self.began + self.steady.elapsed()).as_secs()).unwrap_or(i64::MAX))
    }

    /// The same, as the system has it.
    pub(crate) fn wall(&self) -> SystemTime {
        UNIX_EPOCH + self.began + self.steady.elapsed()
    }

    /// How long this run has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.steady.elapsed()
    }
}

/// A pause, between a half and one and a half times as long: who failed or waits together does not come back together.
pub(crate) fn jittered(pause: Duration) -> Duration {
    let mut byte = [128];
    // Without random numbers the pause is simply not varied.
    let _ = SystemRandom::new().fill(&mut byte);
    pause.mul_f64(0.5 + f64::from(byte[0]) / 256.0)
}

/// So many seconds for a person, who needs no more than the order: `50 s`, `7 min`, `3 h`, `4 days`.
pub(crate) fn describe(seconds: i64) -> String {
    match seconds.unsigned_abs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// A clock that is off by less, in seconds, needs no correction: JWTs are backdated by more.
const TOLERATED_OFFSET: i64 = 30;

/// Whether a clock is off by so much that it needs a correction.
pub(crate) fn offset_matters(offset: i64) -> bool {
    offset.saturating_abs() > TOLERATED_OFFSET
}

/// How far this clock is off, given how many seconds another one is ahead of it: `7 min ahead of`, `2 s behind`.
pub(crate) fn describe_offset(offset: i64) -> String {
    format!("{} {}", describe(offset), if offset < 0 { "ahead of" } else { "behind" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_told_from_this_clocks_side() {
        assert_eq!(describe_offset(-432), "7 min ahead of");
        assert_eq!(describe_offset(59), "59 s behind");
        assert_eq!(describe_offset(3600), "60 min behind");
        assert_eq!(describe_offset(-36_000), "10 h ahead of");
        assert_eq!(describe_offset(259_200), "3 days behind");
    }
}
