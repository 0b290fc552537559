//! Connections, as many at once as there may be, and each no longer than it may take.

use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use std::io::Write as _;
use std::net::Shutdown;

use super::answer::{self, Outside};
use super::audit::{Note, Peer};
use super::limit::{Limit, Room};
use crate::error::{Error, cause};
use crate::socket::{self, Message, NotWhole};
use crate::time::start;

/// How many connections there are at once. Others wait until the system lets them in.
const MOST_CONNECTIONS: usize = 128;
/// How long a request may take to come, and an answer to go: what is written at once takes no time.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many requests are answered in a minute. A fetch of a repository takes two, and each submodule two more.
const MOST_A_MINUTE: u32 = 1200;
/// How many requests that are none are noted in a minute.
const MOST_NOTED: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);
/// How long is paused where the system has no room for one more connection.
const PAUSE: Duration = Duration::from_millis(50);

/// The connections that are open.
#[derive(Default)]
struct Open {
    connections: Mutex<Vec<Connection>>,
    one_ended: Condvar,
}

struct Connection {
    number: u64,
    /// The other end, as long as its request has not come.
    unheard: Option<UnixStream>,
}

impl Open {
    /// Waits until there is room for one more. One whose request has not come has to go: the longest waits first.
    fn make_room(&self) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        while connections.len() >= MOST_CONNECTIONS {
            if let Some(stream) = connections.iter_mut().find_map(|it| it.unheard.take()) {
                // Its thread notices, and ends.
                let _ = stream.shutdown(Shutdown::Both);
            }
            connections = self.one_ended.wait(connections).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn add(&self, number: u64, stream: &UnixStream) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.push(Connection { number, unheard: stream.try_clone().ok() });
    }

    /// Its request has come.
    fn heard(&self, number: u64) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(it) = connections.iter_mut().find(|it| it.number == number) {
            it.unheard = None;
        }
    }

    fn end(&self, number: u64) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|it| it.number != number);
        self.one_ended.notify_all();
    }
}

/// What is limited in a minute.
struct Limits {
    answers: Limit,
    broken: Limit,
}

/// Lets connections in, each into a thread of its own, for as long as this process lives.
pub(super) fn accept(listener: &UnixListener, outside: &Arc<Outside>) {
    let open = Arc::new(Open::default());
    let (answers, broken) = (Limit::new(MOST_A_MINUTE, MINUTE), Limit::new(MOST_NOTED, MINUTE));
    let limits = Arc::new(Limits { answers, broken });
    for number in 0.. {
        open.make_room();
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(_) => {
                thread::sleep(PAUSE);
                continue;
            }
        };
        open.add(number, &stream);
        let (its_open, limits, outside) = (Arc::clone(&open), Arc::clone(&limits), Arc::clone(outside));
        let started = start(move || {
            connection(&stream, &|| its_open.heard(number), &limits, &outside);
            drop(stream);
            its_open.end(number);
        });
        if started.is_err() {
            open.end(number);
            thread::sleep(PAUSE);
        }
    }
}

/// One request, and its answer. One who does not take the answer is not waited for.
fn connection(stream: &UnixStream, heard: &dyn Fn(), limits: &Limits, outside: &Outside) {
    let peer = peer(stream);
    let request = socket::read(stream, PATIENCE, |_| ());
    heard();
    let request = request.map_err(not_whole).and_then(|bytes| Message::parse(&bytes));
    let answer = match request {
        Ok(request) => match limits.answers.next() {
            Room::Yes => answer::answer(&request, peer, outside),
            room => {
                let what = format!("there were more than {MOST_A_MINUTE} requests within a minute");
                refuse(room == Room::NoLonger, peer, &Error::new(what).hint("wait a minute"), outside)
            }
        },
        Err(why) => refuse(limits.broken.next() != Room::No, peer, &why, outside),
    };
    let _ = stream
        .set_write_timeout(Some(PATIENCE))
        .and_then(|()| { stream }.write_all(&answer.to_bytes()))
        .and_then(|()| stream.shutdown(Shutdown::Write));
}

fn refuse(is_noted: bool, peer: Peer, why: &Error, outside: &Outside) -> Message {
    if is_noted {
        // The answer is a refusal whether or not it can be noted.
        let _ = outside.note(peer, &Note::default(), &format!("refused: {why}"));
    }
    Message::refusal(why)
}

fn not_whole(why: NotWhole) -> Error {
    Error::new(match why {
        NotWhole::Late => format!("the request did not come within {} s", PATIENCE.as_secs()),
        NotWhole::TooLarge => format!("the request is larger than {} bytes", socket::MOST),
        NotWhole::Ended => "the request was cut off".to_owned(),
        NotWhole::Failed(e) => format!("the request cannot be read: {}", cause(&e)),
    })
}

#[cfg(target_os = "linux")]
fn peer(stream: &UnixStream) -> Peer {
    match rustix::net::sockopt::socket_peercred(stream) {
        Ok(it) => Peer { pid: Some(it.pid.as_raw_pid()), uid: Some(it.uid.as_raw()) },
        Err(_) => Peer::default(),
    }
}

#[cfg(not(target_os = "linux"))]
fn peer(_: &UnixStream) -> Peer {
    Peer::default()
}
