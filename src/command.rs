//! A program that the configuration names: run without a shell, for what it prints.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::error::{Error, Result, cause};
use crate::origin::Origin;
use crate::secret::redacted;
use crate::time::{no_thread, start};
use crate::world::{World, remove_secrets};

/// How long a command may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// How long is waited for the output of a command that has ended, while something that it started still has it open.
const GRACE: Duration = Duration::from_millis(200);
/// How often is looked whether a command that still prints has ended.
const LOOK: Duration = Duration::from_millis(20);
/// The most that is read of what a command prints, in bytes. A private key of 16,384 bits has 13 KB.
const MAX_OUTPUT: usize = 64 * 1024;
/// How many parts of what it prints wait to be looked at. While there are so many, no more is read.
const MAX_WAITING: usize = 8;
/// The most that is shown of its messages, in characters.
const MAX_MESSAGE: usize = 200;
/// Set for what a command runs: should that come back to this program, no command is run a second time.
const INSIDE: &str = "GHAPP_INSIDE_COMMAND";

/// A command as it is configured.
#[derive(Clone)]
pub(crate) struct ConfiguredCommand {
    /// The setting that names it.
    setting: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    origin: Origin,
}

impl ConfiguredCommand {
    /// A command from its words, of which the first is the program: a name that is found in `PATH`, or a path, which
    /// `resolve` makes whole.
    ///
    /// # Errors
    /// If there is no program, or its path means another file in each folder.
    pub(crate) fn new(
        setting: &'static str,
        words: &[String],
        resolve: &dyn Fn(&str) -> PathBuf,
        origin: &Origin,
    ) -> Result<Self> {
        let (program, arguments) = match words.split_first() {
            Some((program, arguments)) if !program.is_empty() => (program, arguments),
            _ => return Err(Error::new(format!("{setting} names no program ({origin})"))),
        };
        let is_path = program.contains(['/', std::path::MAIN_SEPARATOR]);
        let path = if is_path { resolve(program) } else { PathBuf::from(program) };
        if is_path && !path.is_absolute() {
            // That folder is a repository, which somebody else may have filled.
            let what = format!("{program:?} is relative to whatever folder git runs in ({origin})");
            return Err(
                Error::new(what).hint(format!("write the whole path in {setting}, or a name in PATH"))
            );
        }
        Ok(Self { setting, program: path, arguments: arguments.to_vec(), origin: origin.clone() })
    }

    /// Program and arguments.
    pub(crate) fn words(&self) -> Vec<String> {
        std::iter::once(self.program.display().to_string()).chain(self.arguments.iter().cloned()).collect()
    }

    /// The program's name, without its folder and its arguments.
    pub(crate) fn name(&self) -> String {
        self.program.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What goes wrong with it, for a person.
    pub(crate) fn failure(&self, what: impl fmt::Display) -> Error {
        Error::new(format!("{self}: {what}"))
    }

    /// Runs the command with an input and with these variables, and gives what it prints. It gets none of this program's
    /// secrets and none of its files, and runs in the user's home: not in a repository, where a file could change what it
    /// does.
    ///
    /// # Errors
    /// If it cannot be run, fails, prints nothing or too much, or does not end in time.
    pub(crate) fn run(
        &self,
        input: &[u8],
        variables: &[(&str, &str)],
        world: &World<'_>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        if world.variables.path(INSIDE).is_some() {
            return Err(self
                .failure("not run, because a command of this program called this program")
                .hint("let that command use another App, or none"));
        }
        let began = Instant::now();
        let output = self.start(input, variables, world).and_then(|child| self.finish(child, began));
        world.terminal.trace(|| {
            let result = output.as_ref().map_or_else(ToString::to_string, |_| "done".to_owned());
            format!("{}: {} ran for {} ms: {result}", self.setting, self.name(), began.elapsed().as_millis())
        });
        let output = output?;
        if output.trim_ascii().is_empty() {
            return Err(self.failure(format!("{} printed nothing", self.name())).hint(self.advice()));
        }
        Ok(output)
    }

    fn start(&self, input: &[u8], variables: &[(&str, &str)], world: &World<'_>) -> Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env(INSIDE, self.setting).envs(variables.iter().copied());
        remove_secrets(&mut command);
        if let Some(home) = world.folders.home.as_deref().filter(|home| home.is_dir()) {
            command.current_dir(home);
        }
        // A group of its own, so that all of it can be ended.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| {
            let what = self.failure(format!("cannot run {}: {}", self.name(), cause(&e)));
            match e.kind() {
                ErrorKind::NotFound => {
                    what.hint(format!("install it, or write its whole path in {}", self.setting))
                }
                _ => what.hint(self.advice()),
            }
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            // All inputs fit into a pipe, so this does not wait. A command that does not want its input is no failure.
            let _ = stdin.write_all(input);
        }
        Ok(child)
    }

    /// Waits until the command has ended and all that it printed is read.
    fn finish(&self, mut child: Child, began: Instant) -> Result<Zeroizing<Vec<u8>>> {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let forwarded = stdout
            .map_or(Ok(()), |stdout| forward(stdout, sender.clone(), Event::Stdout))
            .and_then(|()| stderr.map_or(Ok(()), |stderr| forward(stderr, sender, Event::Stderr)));
        if let Err(e) = forwarded {
            end_group(&mut child);
            let error = no_thread(&format!("read what {} prints", self.name()), &e);
            return Err(self.failure(&error).hint_of(&error));
        }
        let mut captured = Captured::default();
        let ended = listen(&mut child, &receiver, &mut captured, began);
        if ended.is_none() {
            end_group(&mut child);
        }
        if captured.stdout.len() > MAX_OUTPUT {
            let what = format!("{} printed more than {} KiB", self.name(), MAX_OUTPUT / 1024);
            return Err(self.failure(what).hint(self.advice()));
        }
        let why = match ended {
            Some(status) if status.success() => return Ok(captured.stdout),
            Some(status) => how_it_ended(status),
            None => format!("did not end within {} s", DEADLINE.as_secs()),
        };
        let error = self.failure(format!("{} {why}", self.name())).hint(self.advice());
        Err(error.quoting(&message(&captured.stderr)))
    }

    fn advice(&self) -> String {
        format!("try it by hand, as this user: it is what {} says", self.setting)
    }
}

/// What a command prints, as it comes.
enum Event {
    /// On its standard output.
    Stdout(Zeroizing<Vec<u8>>),
    /// On its standard error stream.
    Stderr(Zeroizing<Vec<u8>>),
}

/// What a command has printed so far.
#[derive(Default)]
struct Captured {
    stdout: Zeroizing<Vec<u8>>,
    stderr: Zeroizing<Vec<u8>>,
}

/// Reads a stream to its end, in a thread of its own.
fn forward(
    mut stream: impl Read + Send + 'static,
    to: SyncSender<Event>,
    event: fn(Zeroizing<Vec<u8>>) -> Event,
) -> io::Result<()> {
    start(move || {
        let mut room = Zeroizing::new(vec![0; 8 * 1024]);
        while let Ok(length @ 1..) = stream.read(&mut room) {
            let part = Zeroizing::new(room.get(..length).unwrap_or_default().to_vec());
            if to.send(event(part)).is_err() {
                // Nobody listens any more after the deadline.
                break;
            }
        }
    })
}

/// Listens until the command has ended; `None` if it does not end in time, or prints too much.
fn listen(
    child: &mut Child,
    events: &Receiver<Event>,
    captured: &mut Captured,
    began: Instant,
) -> Option<ExitStatus> {
    let mut ended: Option<(ExitStatus, Instant)> = None;
    let mut pause = LOOK;
    loop {
        match events.recv_timeout(pause) {
            Ok(Event::Stdout(part)) => captured.stdout.extend_from_slice(&part),
            Ok(Event::Stderr(part)) => {
                let room = (MAX_OUTPUT - captured.stderr.len()).min(part.len());
                captured.stderr.extend_from_slice(&part[..room]);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => match ended {
                Some((status, _)) => return Some(status),
                // It closed its output, and ends in a moment.
                None => {
                    thread::sleep(pause.min(Duration::from_millis(1)));
                    pause = Duration::from_micros(200);
                }
            },
        }
        if captured.stdout.len() > MAX_OUTPUT {
            return None;
        }
        if ended.is_none() {
            ended = child.try_wait().ok().flatten().map(|status| (status, Instant::now()));
        }
        match ended {
            Some((status, at)) if at.elapsed() > GRACE => return Some(status),
            None if began.elapsed() > DEADLINE => return None,
            _ => {}
        }
    }
}

/// Ends a command, and all that it started.
fn end_group(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    // One that has ended meanwhile cannot be killed, which is as well.
    let _ = child.kill();
    let _ = child.wait();
}

fn how_it_ended(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("was ended by signal {signal}");
    }
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => "ended without an exit code".to_owned(),
    }
}

/// A command's own words on one line, shortened, and without anything in them that looks like a secret.
fn message(stderr: &[u8]) -> String {
    let text = redacted(&String::from_utf8_lossy(stderr));
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text: String = lines.join(", ").chars().filter(|c| !c.is_control()).collect();
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Splits a command line into its words, without a shell: blanks are between words, and quotes of either kind keep
/// those within them. `None`: a quote is not closed.
pub(crate) fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Writes words as one line that [`words`] splits again.
pub(crate) fn line(words: &[String]) -> String {
    let quoted = |word: &String| {
        let is_plain =
            !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c == '"' || c == '\'');
        if is_plain { word.clone() } else { format!("'{}'", word.replace('\'', "'\"'\"'")) }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for ConfiguredCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.setting, self.origin)
    }
}

impl fmt::Debug for ConfiguredCommand {
    /// Without the arguments, in which somebody may have written a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.program.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_split_at_blanks_outside_of_quotes() {
        for (line, expected) in [
            ("op read op://x/y", Some(vec!["op", "read", "op://x/y"])),
            ("  pass   show 'my key' ", Some(vec!["pass", "show", "my key"])),
            ("a \"b 'c' d\"e ''", Some(vec!["a", "b 'c' de", ""])),
            ("'it'\"'\"'s'", Some(vec!["it's"])),
            (r"C:\bin\sign.exe $HOME * ; | >x", Some(vec![r"C:\bin\sign.exe", "$HOME", "*", ";", "|", ">x"])),
            ("", Some(vec![])),
            ("a 'b", None),
        ] {
            if let Some(words) = self::words(line) {
                assert_eq!(self::words(&self::line(&words)), Some(words));
            }
            let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(words(line), expected, "{line}");
        }
    }
}
