//! A command line that is measured, and what other programs tell about it.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Pins this thread, and so the processes that it starts, to one core. The simulator's threads were there before:
/// they run on the others, as GitHub does.
pub(crate) fn pin() {
    let core = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    let mut taskset = Command::new("taskset");
    taskset.args(["-pc", &core.to_string(), &std::process::id().to_string()]).stdout(Stdio::null());
    if !has("taskset") || !taskset.status().is_ok_and(|status| status.success()) {
        println!("not pinned to one core: taskset is not there\n");
    }
}

pub(crate) fn has(program: &str) -> bool {
    find(program).is_some()
}

pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A command line to measure.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) input: PathBuf,
}

impl Subject {
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut changed = self.clone();
        changed.variables.push((name.to_owned(), value.to_owned()));
        changed
    }

    pub(crate) fn command(&self, before: &[&str]) -> Command {
        let mut command = match before {
            [] => Command::new(&self.program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
        };
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(File::open(&self.input).unwrap())
            .stdout(Stdio::null());
        command
    }

    pub(crate) fn time(&self) -> Duration {
        let mut command = self.command(&[]);
        command.stderr(Stdio::null());
        let began = Instant::now();
        command.status().unwrap();
        began.elapsed()
    }

    pub(crate) fn answers(&self) -> bool {
        let output = self.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("password=")
    }

    /// How many instructions it runs, those of the dynamic loader included, as callgrind counts them.
    pub(crate) fn instructions(&self) -> Option<u64> {
        if !has("valgrind") {
            return None;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let to = format!("--callgrind-out-file={}", file.path().display());
        let mut command = self.command(&["valgrind", "--tool=callgrind", &to]);
        command.stderr(Stdio::null()).status().unwrap();
        // https://valgrind.org/docs/manual/cl-format.html
        let text = std::fs::read_to_string(file.path()).unwrap();
        text.lines().find_map(|line| line.strip_prefix("totals: ")?.parse().ok())
    }

    /// How many system calls it makes, as strace counts them.
    pub(crate) fn calls(&self) -> Option<u64> {
        let output = has("strace").then(|| self.command(&["strace", "-f", "-c"]).output().unwrap())?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let total = text.lines().find(|line| line.ends_with("total"))?;
        total.split_whitespace().rev().find_map(|word| word.parse::<u64>().ok().filter(|n| *n > 20))
    }

    /// Its peak memory in KiB, as time(1) reports it.
    pub(crate) fn memory(&self) -> Option<u64> {
        let time = find("time")?;
        let output = self.command(&[time.to_str()?, "-f", "%M"]).output().unwrap();
        String::from_utf8_lossy(&output.stderr).lines().last()?.parse().ok()
    }
}
