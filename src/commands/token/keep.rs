//! `token --keep-fresh`: a file whose token is renewed long before it expires.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Options, issue_as};
use crate::commands::beside::{End, Signals};
use crate::commands::exec;
use crate::config::{Config, Flags};
use crate::error::{Error, Result, cause};
use crate::files::{is_absent, open_own};
use crate::time::{Timestamp, describe};
use crate::token::{Need, Token};
use crate::world::World;

/// How long a token in a file is good for at least, in seconds, while GitHub can be reached: whoever reads it goes to work
/// with it, and GitHub may be out of reach for a while.
const MARGIN: i64 = 900;
/// How often is looked at the clock and at the file. The clock may have been set, or the machine was asleep.
const LOOK: Duration = Duration::from_secs(1);
/// How many seconds are paused after a failure, at first and later.
const FIRST_PAUSE: i64 = 30;
const LONGEST_PAUSE: i64 = 300;
/// How long GitHub may take for one answer: there is time to try again.
const DEADLINE: Duration = Duration::from_secs(10);

/// The token in the file.
struct Kept {
    token: Token,
    /// What the file holds with it.
    written: Zeroizing<Vec<u8>>,
    /// When renewing it failed, and how many seconds are paused then.
    failed: Option<(Timestamp, i64)>,
}

/// Keeps the file fresh until the command ends, or without one this process; gives the exit code. The file is removed then,
/// because nobody renews it any more, unless somebody put something else there.
pub(super) fn keep_fresh(
    options: &Options,
    repositories: &[String],
    path: &Path,
    flags: &Flags,
    world: &mut World<'_>,
) -> Result<u8> {
    let need = if options.fresh { Need::New } else { Need::Fresh };
    let (token, text) = issue_as(options, repositories, need, &config(flags, world)?, world)?;
    let signals = Signals::catch(world)?;
    let written = text.write(path, &token, b"")?;
    let mut kept = Kept { token, written, failed: None };
    let command = match exec::start_beside(&options.command, &[], world) {
        Ok(command) => command,
        Err(code) => {
            kept.remove(path, world);
            return Ok(code);
        }
    };
    let watch = signals.watch(command);
    loop {
        match watch.end_within(LOOK) {
            Some(End::Command(code)) => {
                kept.remove(path, world);
                return Ok(code);
            }
            Some(End::Signal) => {
                kept.remove(path, world);
                return Ok(0);
            }
            None => {}
        }
        world.clock = (world.start_clock)();
        if kept.is_due(path, world) {
            kept.renew(options, repositories, path, flags, world);
        }
    }
}

/// The configuration, with tokens that are fresh for long enough.
fn config(flags: &Flags, world: &World<'_>) -> Result<Config> {
    let mut config = super::config(flags, world)?;
    config.cache.min_fresh = config.cache.min_fresh.max(MARGIN + 1);
    Ok(config)
}

impl Kept {
    /// Whether the token expires soon. Of one that does not live for long, half of its life is left.
    fn is_old(&self, world: &World<'_>) -> bool {
        self.token.remaining(world.clock) <= MARGIN.min(self.token.lifetime() / 2)
    }

    /// Whether it is time to renew it, or the file is gone.
    fn is_due(&self, path: &Path, world: &World<'_>) -> bool {
        let now = world.clock.now();
        if let Some((at, pause)) = self.failed
            && (0..pause).contains(&now.since(at))
        {
            return false;
        }
        self.is_old(world) || std::fs::symlink_metadata(path).is_err()
    }

    /// Puts a token into the file that is valid for longer. If there is none to be had, the file stays as it is.
    fn renew(
        &mut self,
        options: &Options,
        repositories: &[String],
        path: &Path,
        flags: &Flags,
        world: &World<'_>,
    ) {
        let renewed = config(flags, world).and_then(|mut config| {
            config.cache.deadline = config.cache.deadline.min(DEADLINE);
            let (token, text) = issue_as(options, repositories, Need::Fresh, &config, world)?;
            let written = text.write(path, &token, &self.written)?;
            Ok(Self { token, written, failed: None })
        });
        let pause = self.failed.map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
        match renewed {
            // A cached one bridges an outage, and is no newer.
            Ok(new) if new.is_old(world) => {
                self.failed = Some((world.clock.now(), pause));
            }
            Ok(new) => *self = new,
            Err(why) => {
                self.failed = Some((world.clock.now(), pause));
                let remaining = self.token.remaining(world.clock);
                let state = match remaining {
                    1.. => format!("keeps a token that expires in {}", describe(remaining)),
                    _ => "holds a token that has expired".to_owned(),
                };
                let what = Error::new(format!("{} {state}: {why}", path.display())).hint_of(&why);
                world.terminal.warning(&what);
            }
        }
    }

    /// Removes the file, if it still holds what was written.
    fn remove(&self, path: &Path, world: &World<'_>) {
        let stays = |why: &str| {
            let what = format!("{} stays: {why}", path.display());
            world.terminal.warning(&Error::new(what).hint("git-credential-ghapp logout revokes the token"));
        };
        let removed = match self.is_in(path) {
            Ok(true) => std::fs::remove_file(path),
            Ok(false) => return stays("somebody else wrote to it"),
            Err(e) => Err(e),
        };
        if let Err(e) = removed
            && !is_absent(&e)
        {
            stays(&cause(&e));
        }
    }

    fn is_in(&self, path: &Path) -> std::io::Result<bool> {
        let mut held = Zeroizing::new(Vec::with_capacity(self.written.len() + 1));
        let file = open_own(std::fs::OpenOptions::new().read(true), path)?;
        file.take(self.written.len() as u64 + 1).read_to_end(&mut held)?;
        Ok(held == self.written)
    }
}
