//! Collects what surrounds the process, and runs.

#![cfg_attr(target_os = "linux", no_main)]

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::time::SystemTime;

use directories::{BaseDirs, ProjectDirs};
use git_credential_ghapp::clock::Clock;
use git_credential_ghapp::config::{Folders, Variables};
use git_credential_ghapp::world::Screen;
use git_credential_ghapp::{Ambient, run};
#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// musl's own asks the kernel for each size of memory separately, which is a twelfth of a warm `get`.
#[cfg(all(target_os = "linux", target_env = "musl"))]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Where C begins: what Rust does before its own `main` costs a tenth of a warm `get`. It looks at the process' memory
/// map and puts up a guard against a stack that overflows, which the kernel has as well. The rest is done here.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the one place where C hands something over")]
mod from_c {
    use std::ffi::{CStr, OsStr, c_char, c_int};
    use std::os::unix::ffi::OsStrExt as _;

    /// C's `main`, and not Rust's.
    #[unsafe(no_mangle)]
    extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
        super::open_standard_streams();
        // A closed pipe is an error that is told, and not the end before git has its answer. Rust's `Command` gives what it
        // starts the default back.
        // SAFETY: no other thread runs yet, and to ignore a signal calls nothing. (POSIX, signal())
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        let argument = |position| {
            // SAFETY: the position is below the count that C's main is called with, so there is a pointer to a string
            // that ends with a zero byte and lives as long as the process. (C11, 5.1.2.2.1)
            let argument = unsafe { CStr::from_ptr(*arguments.add(position)) };
            OsStr::from_bytes(argument.to_bytes()).to_owned()
        };
        // Rust's own list of them is empty here where the C library is musl.
        super::begin((1..usize::try_from(count).unwrap_or_default()).map(argument).collect()).into()
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    begin(std::env::args_os().skip(1).collect()).into()
}

/// A standard stream that is closed would let the next file that is opened take its place: the answer would go there.
#[cfg(target_os = "linux")]
fn open_standard_streams() {
    use rustix::stdio::{stderr, stdin, stdout};
    for stream in [stdin(), stdout(), stderr()] {
        if rustix::io::fcntl_getfd(stream).is_err()
            && let Ok(nothing) = std::fs::File::options().read(true).write(true).open("/dev/null")
        {
            std::mem::forget(nothing);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads environment and clock")]
fn begin(arguments: Vec<OsString>) -> u8 {
    let core_limit = keep_memory_private();
    let project = ProjectDirs::from("", "", "git-credential-ghapp");
    let folders = Folders::new(
        BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()),
        project.as_ref().map(ProjectDirs::config_dir),
        project.as_ref().map(ProjectDirs::cache_dir),
    );
    let ambient = Ambient {
        arguments,
        variables: Variables(&|name| std::env::var_os(name)),
        folders,
        clock: Clock::starting_at(SystemTime::now()),
        screen: &|| Screen {
            input: io::stdin().is_terminal(),
            output: io::stdout().is_terminal(),
            errors: io::stderr().is_terminal(),
        },
        hand_over: &|| allow_core_dumps(core_limit),
    };
    run(ambient, input(), io::stdout().lock(), io::stderr())
}

/// Standard input. Rust's own keeps 8 KiB for what is a request of a hundred bytes.
#[cfg(target_os = "linux")]
fn input() -> impl io::BufRead {
    struct Input;

    impl io::Read for Input {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            Ok(rustix::io::read(rustix::stdio::stdin(), buffer)?)
        }
    }

    io::BufReader::with_capacity(1024, Input)
}

#[cfg(not(target_os = "linux"))]
fn input() -> impl io::BufRead {
    io::stdin().lock()
}

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

/// Another program that takes this process over dumps its core as its user likes.
#[cfg(unix)]
fn allow_core_dumps(limit: Rlimit) {
    let _ = setrlimit(Resource::Core, limit);
}

#[cfg(not(unix))]
fn allow_core_dumps((): ()) {}
