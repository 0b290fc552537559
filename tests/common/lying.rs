//! A Secret Service that lies, on a session bus of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use dbus::Path;
use dbus::arg::Variant;
use dbus::blocking::Connection;
use dbus::channel::{Channel, MatchingReceiver as _};
use dbus::message::{MatchRule, Message};

/// What is not true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// It keeps nothing of what it says that it keeps.
    KeepsNothing,
    /// It finds whatever is searched for, and that says something else.
    HasEverything,
}

/// It, until it is dropped.
pub(crate) struct LyingService {
    pub(crate) address: String,
    bus: Child,
    ends: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl LyingService {
    /// Starts it; `dbus-daemon` must be there.
    pub(crate) fn start(lie: Lie) -> Self {
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        let mut channel = Channel::open_private(&address).unwrap();
        channel.register().unwrap();
        let connection = Connection::from(channel);
        connection.request_name("org.freedesktop.secrets", false, true, false).unwrap();
        let answers = move |call: Message, connection: &Connection| {
            // Whoever asked may be gone.
            let _ = connection.channel().send(answer(lie, &call));
            true
        };
        connection.start_receive(MatchRule::new_method_call(), Box::new(answers));
        let ends = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ends);
        let serving = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                connection.process(Duration::from_millis(50)).unwrap();
            }
        });
        Self { address, bus, ends, serving: Some(serving) }
    }
}

impl Drop for LyingService {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.serving.take().map(JoinHandle::join);
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}

/// <https://specifications.freedesktop.org/secret-service-spec/latest/>
fn answer(lie: Lie, call: &Message) -> Message {
    let path = |name: &str| Path::new(format!("/org/freedesktop/secrets/{name}")).unwrap();
    let none = Path::new("/").unwrap();
    let items = |lie| if lie == Lie::HasEverything { vec![path("collection/login/1")] } else { Vec::new() };
    let answer = call.method_return();
    match call.member().as_deref().unwrap_or_default() {
        "OpenSession" => answer.append2(Variant(String::new()), path("session/1")),
        "SearchItems" => answer.append2(items(lie), Vec::<Path<'_>>::new()),
        "ReadAlias" => answer.append1(path("collection/login")),
        "CreateItem" => answer.append2(path("collection/login/2"), none),
        "GetSecret" => {
            let text = b"something else".to_vec();
            answer.append1((path("session/1"), Vec::<u8>::new(), text, "text/plain".to_owned()))
        }
        "Delete" => answer.append1(none),
        // Whether something is locked.
        "Get" => answer.append1(Variant(false)),
        other => panic!("{other} is not answered"),
    }
}
