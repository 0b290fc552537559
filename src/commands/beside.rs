//! A command that runs beside this process, and the signals that end this process or are passed on to the command.

use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::error::Result;
#[cfg(unix)]
use crate::error::{Error, cause};
use crate::time::{no_thread, start};
use crate::world::World;

/// What ends this process.
pub(super) enum End {
    /// The command has ended, with this exit code.
    Command(u8),
    /// A signal, where there is no command.
    Signal,
}

/// Signals, caught from the moment that this is made. The thread that waits for them is there from then on: if none can be
/// started, no command has been started either.
pub(super) struct Signals {
    command: Sender<Option<Child>>,
    end: Receiver<End>,
}

impl Signals {
    /// Starts the thread, which waits for the command first.
    fn start(wait: impl FnOnce(Option<Child>) -> End + Send + 'static) -> Result<Self> {
        let (command, commands) = channel();
        let (ends, end) = channel();
        start(move || {
            if let Ok(command) = commands.recv() {
                let _ = ends.send(wait(command));
            }
        })
        .map_err(|e| no_thread("wait for signals", &e))?;
        Ok(Self { command, end })
    }

    /// Waits for the end of a command, to which signals are passed on at once; without one, for a signal.
    pub(super) fn watch(self, command: Option<Child>) -> Watch {
        let _ = self.command.send(command);
        Watch(self.end)
    }
}

/// Waits for the end in a thread of its own.
pub(super) struct Watch(Receiver<End>);

impl Watch {
    /// The end, if it comes within this time.
    pub(super) fn end_within(&self, time: Duration) -> Option<End> {
        match self.0.recv_timeout(time) {
            Ok(end) => Some(end),
            Err(RecvTimeoutError::Timeout) => None,
            // The thread ends after it has told the end, and not before.
            Err(RecvTimeoutError::Disconnected) => Some(End::Signal),
        }
    }
}

/// What a shell gives for an end: the exit code, or 128 and the number of the signal.
fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(1);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(unix)]
impl Signals {
    /// Catches what asks a process to end: SIGTERM, SIGHUP, SIGINT.
    ///
    /// # Errors
    /// If the system does not allow it, or no thread can be started.
    pub(super) fn catch(world: &World<'_>) -> Result<Self> {
        use rustix::process::{Pid, Signal, kill_process};
        use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
        let mut caught = signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGINT, SIGCHLD])
            .map_err(|e| Error::new(format!("cannot catch signals: {}", cause(&e))))?;
        // A terminal sends the signals that are typed to the command too.
        let has_terminal = (world.streams)().input;
        Self::start(move |mut command| {
            loop {
                // Nobody but this thread takes notice of its end, so its number is that of no other process.
                if let Some(command) = &mut command
                    && let Ok(Some(status)) = command.try_wait()
                {
                    return End::Command(code(status));
                }
                for number in caught.wait() {
                    let pid = command.as_ref().and_then(|it| Pid::from_raw(it.id().cast_signed()));
                    match (number, pid) {
                        (SIGCHLD, _) => {}
                        (SIGINT, Some(_)) if has_terminal => {}
                        (number, Some(pid)) => {
                            if let Some(signal) = Signal::from_named_raw(number) {
                                let _ = kill_process(pid, signal);
                            }
                        }
                        (_, None) => return End::Signal,
                    }
                }
            }
        })
    }
}

/// Where there are no signals, Ctrl-C reaches everything on the console.
#[cfg(not(unix))]
impl Signals {
    pub(super) fn catch(_: &World<'_>) -> Result<Self> {
        Self::start(|command| match command {
            Some(mut command) => End::Command(command.wait().map_or(1, code)),
            None => loop {
                std::thread::park();
            },
        })
    }
}
