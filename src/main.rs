//! Collects what surrounds the process, and runs.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
#[cfg(unix)]
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use directories::{BaseDirs, ProjectDirs};
use git_credential_ghapp::run;
use git_credential_ghapp::terminal::Terminal;
use git_credential_ghapp::time::Clock;
use git_credential_ghapp::world::{Folders, Streams, Variables, World};
#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads environment and clock")]
fn main() -> ExitCode {
    keep_streams();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let is_get = arguments.last().is_some_and(|last| last == "get");
    std::panic::set_hook(Box::new(move |panic| end_in_one_line(panic.location(), is_get)));
    survive_full_files();
    let core_limit = keep_memory_private();
    let start_clock = || Clock::starting_at(SystemTime::now());
    let project = ProjectDirs::from("", "", "git-credential-ghapp");
    // The crate does without these for a user without a home, as in a container that is started under any user id.
    // <https://specifications.freedesktop.org/basedir-spec/latest/>
    let named = |variable| {
        let folder = std::env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute())?;
        Some(folder.join("git-credential-ghapp"))
    };
    // A home that is relative is another folder in each repository, which somebody else may have filled.
    let usual =
        |folder: fn(&ProjectDirs) -> &Path| project.as_ref().map(folder).filter(|it| it.is_absolute());
    let world = World {
        variables: Variables(&|name| std::env::var_os(name)),
        variable_names: &|| std::env::vars_os().map(|(name, _)| name).collect(),
        folders: Folders::new(
            &system_folder(),
            BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()).filter(|home| home.is_absolute()),
            usual(ProjectDirs::config_dir).or(named("XDG_CONFIG_HOME").as_deref()),
            usual(ProjectDirs::cache_dir).or(named("XDG_CACHE_HOME").as_deref()),
        ),
        clock: start_clock(),
        start_clock: Arc::new(start_clock),
        terminal: Terminal::new(io::stderr()),
        streams: &|| Streams {
            input: io::stdin().is_terminal(),
            output: io::stdout().is_terminal(),
            errors: io::stderr().is_terminal(),
        },
        before_exec: &|| allow_core_dumps(core_limit),
    };
    run(arguments, world, io::stdin().lock(), io::stdout().lock()).into()
}

/// The folder for the configurations of the whole machine.
#[cfg(not(windows))]
fn system_folder() -> PathBuf {
    "/etc".into()
}

/// The folder for the configurations of the whole machine: `%ProgramData%`, whatever the environment says.
#[cfg(windows)]
fn system_folder() -> PathBuf {
    let folder = dirs_sys::known_folder(windows_sys::Win32::UI::Shell::FOLDERID_ProgramData);
    folder.unwrap_or_else(|| r"C:\ProgramData".into())
}

/// What a fault of this program comes to: a line for a person, and for git that it is to ask nobody else. What the panic says
/// is not shown: anything may be in it. The streams are written to directly, because what panicked may have locked them.
#[expect(clippy::disallowed_methods, reason = "main, or another thread, does not come back from here")]
fn end_in_one_line(place: Option<&Location<'_>>, is_get: bool) {
    if is_get {
        let _ = raw::write(io::stdout(), b"quit=1\n");
    }
    let place = place.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let text = format!(
        "git-credential-ghapp: error: this is a fault of the program, at {place}\n\
         git-credential-ghapp: hint: report that line, with what git-credential-ghapp --version prints\n"
    );
    let _ = raw::write(io::stderr(), text.as_bytes());
    std::process::exit(1);
}

/// Writes without the locks and buffers of the standard streams.
#[cfg(unix)]
mod raw {
    pub(super) fn write(stream: impl std::os::fd::AsFd, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(rustix::io::write(stream, bytes)?)
    }
}

/// Writes without the locks and buffers of the standard streams.
#[cfg(windows)]
mod raw {
    use std::io::Write as _;

    pub(super) fn write(stream: impl std::os::windows::io::AsHandle, bytes: &[u8]) -> std::io::Result<usize> {
        std::fs::File::from(stream.as_handle().try_clone_to_owned()?).write(bytes)
    }
}

/// Keeps git's pipes from the processes that this program starts, but for those that become their streams: git waits until
/// nobody holds the pipe any more from which it reads the answer. Windows hands on every handle that may be inherited
/// (<https://github.com/rust-lang/rust/issues/54760>), so each stream becomes a copy that may not be, and the handle that git
/// gave is closed.
#[cfg(windows)]
fn keep_streams() {
    use std::os::windows::io::{AsRawHandle as _, IntoRawHandle as _};

    use filedescriptor::{FileDescriptor, StdioDescriptor};

    let given = [
        FileDescriptor::redirect_stdio(&io::stdin(), StdioDescriptor::Stdin),
        FileDescriptor::redirect_stdio(&io::stdout(), StdioDescriptor::Stdout),
        FileDescriptor::redirect_stdio(&io::stderr(), StdioDescriptor::Stderr),
    ];
    let mut closed = Vec::new();
    for stream in given.into_iter().flatten() {
        let handle = stream.as_raw_handle();
        if closed.contains(&handle) {
            // Two streams were one handle, which is closed once.
            let _ = stream.into_raw_handle();
        } else {
            closed.push(handle);
            drop(stream);
        }
    }
}

/// Elsewhere a new process gets the streams alone.
#[cfg(not(windows))]
fn keep_streams() {}

/// Where files may not grow, writing is an error and not the end of this program (setrlimit(2), `RLIMIT_FSIZE`). The signal
/// has a handler, and is not ignored: git, and what `exec` runs, meet it as if this program were not there.
#[cfg(unix)]
fn survive_full_files() {
    let signal = rustix::process::Signal::XFSZ.as_raw();
    let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
}

#[cfg(not(unix))]
fn survive_full_files() {}

/// Neither a core dump nor another process of the same user shows what this one holds. A debugger or a system
/// that does not allow this is no reason to fail. Gives the limit on core dumps as it was.
#[cfg(unix)]
fn keep_memory_private() -> Rlimit {
    let before = getrlimit(Resource::Core);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: before.maximum });
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    before
}

#[cfg(not(unix))]
fn keep_memory_private() {}

/// Another program that takes the place of this process dumps its core as its user likes.
#[cfg(unix)]
fn allow_core_dumps(limit: Rlimit) {
    let _ = setrlimit(Resource::Core, limit);
}

#[cfg(not(unix))]
fn allow_core_dumps((): ()) {}
