//! A command that runs beside this process, and the signals that end this process or are passed on to the command.

use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::error::{Error, Result, cause};
use crate::world::World;

/// What ends this process.
pub(super) enum End {
    /// The command has ended, with this exit code.
    Command(u8),
    /// A signal, where there is no command.
    Signal,
}

/// Signals, caught from the moment that this is made.
pub(super) struct Signals {
    #[cfg(unix)]
    caught: signal_hook::iterator::Signals,
    /// Whether a terminal sends the signals that are typed to the command too.
    has_terminal: bool,
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
    /// If the system does not allow it.
    pub(super) fn catch(world: &World<'_>) -> Result<Self> {
        use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
        let caught = signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGINT, SIGCHLD])
            .map_err(|e| Error::new(format!("cannot catch signals: {}", cause(&e))))?;
        Ok(Self { caught, has_terminal: (world.streams)().input })
    }

    /// Waits for the end of a command, to which signals are passed on at once; without one, for a signal.
    pub(super) fn watch(mut self, mut command: Option<Child>) -> Watch {
        use rustix::process::{Pid, Signal, kill_process};
        use signal_hook::consts::{SIGCHLD, SIGINT};
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            loop {
                // Nobody but this thread takes notice of its end, so its number is that of no other process.
                if let Some(command) = &mut command
                    && let Ok(Some(status)) = command.try_wait()
                {
                    return sender.send(End::Command(code(status)));
                }
                for number in self.caught.wait() {
                    let pid = command.as_ref().and_then(|it| Pid::from_raw(it.id().cast_signed()));
                    match (number, pid) {
                        (SIGCHLD, _) => {}
                        (SIGINT, Some(_)) if self.has_terminal => {}
                        (number, Some(pid)) => {
                            if let Some(signal) = Signal::from_named_raw(number) {
                                let _ = kill_process(pid, signal);
                            }
                        }
                        (_, None) => return sender.send(End::Signal),
                    }
                }
            }
        });
        Watch(receiver)
    }
}

/// Where there are no signals, Ctrl-C reaches everything on the console.
#[cfg(not(unix))]
impl Signals {
    pub(super) fn catch(world: &World<'_>) -> Result<Self> {
        Ok(Self { has_terminal: (world.streams)().input })
    }

    pub(super) fn watch(self, command: Option<Child>) -> Watch {
        let (sender, receiver) = channel();
        let _ = self.has_terminal;
        std::thread::spawn(move || match command {
            Some(mut command) => {
                let status = command.wait();
                let _ = sender.send(End::Command(status.map_or(1, code)));
            }
            None => loop {
                std::thread::park();
            },
        });
        Watch(receiver)
    }
}
