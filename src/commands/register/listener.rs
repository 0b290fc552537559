//! A listener for a browser on this machine: HTTP/1.1 as far as a page and a redirect need it. (RFC 9112)
//!
//! It is on 127.0.0.1 alone, and answers only who names that: a page of somebody else's whose name was made to lead here
//! (DNS rebinding) gets nothing, nor does a program of another user's. Requests are small and come at once, or are given up.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::peer;
use crate::error::{Error, Result, cause};
use crate::time::start;

/// How long a request may take to come, and its answer to go.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most that is read of a request, in bytes.
const MAX_REQUEST: usize = 8 * 1024;
/// How many connections there are at once. Others wait until the system lets them in. A browser opens some ahead that it
/// never uses.
const MOST_CONNECTIONS: usize = 16;
/// How often is looked whether somebody connects.
const LOOK: Duration = Duration::from_millis(50);

/// Where a browser connects to.
pub(super) struct Listener {
    tcp: TcpListener,
    port: u16,
    sender: SyncSender<(Heard, TcpStream)>,
    receiver: Receiver<(Heard, TcpStream)>,
    /// Each connection whose request has not come yet holds one more of it.
    unheard: Arc<()>,
}

/// Path and query that a browser asks for, or the status of the refusal.
type Heard = Result<String, u16>;

/// A browser that waits for its answer.
pub(super) struct Client(TcpStream);

impl Listener {
    /// Begins to listen on a port, or on one that is free.
    ///
    /// # Errors
    /// If the port is taken, or may not be listened on.
    pub(super) fn bind(port: Option<u16>) -> Result<Self> {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
        let tcp = bound.and_then(|tcp| tcp.set_nonblocking(true).map(|()| tcp));
        let opened = tcp.and_then(|tcp| Ok((tcp.local_addr()?.port(), tcp)));
        let (port, tcp) = opened.map_err(|e| match (port, e.kind()) {
            (Some(port), ErrorKind::AddrInUse) => Error::new(format!("port {port} of this machine is taken"))
                .hint("name another one, or leave out --port: one that is free is found then"),
            (Some(port), _) => Error::new(format!("cannot listen on port {port}: {}", cause(&e)))
                .hint("leave out --port: one that is free is found then"),
            (None, _) => Error::new(format!("cannot listen on 127.0.0.1: {}", cause(&e)))
                .hint("make the App on another machine, and run git-credential-ghapp setup here"),
        })?;
        let (sender, receiver) = sync_channel(MOST_CONNECTIONS);
        Ok(Self { tcp, port, sender, receiver, unheard: Arc::new(()) })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The next request and who waits for its answer; `None` if there is none until then.
    pub(super) fn next(&self, until: Instant) -> Option<(String, Client)> {
        loop {
            self.let_in();
            match self.receiver.recv_timeout(LOOK) {
                Ok((Ok(target), stream)) => return Some((target, Client(stream))),
                Ok((Err(status), stream)) => Client(stream).answer(status, &[], "text/plain", ""),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)
                    if Instant::now() >= until =>
                {
                    return None;
                }
                Err(_) => {}
            }
        }
    }

    /// Lets those in who wait. Each is heard in a thread of its own: one that says nothing keeps nobody waiting.
    fn let_in(&self) {
        while Arc::strong_count(&self.unheard) <= MOST_CONNECTIONS
            && let Ok((stream, _)) = self.tcp.accept()
        {
            let (sender, held, port) = (self.sender.clone(), Arc::clone(&self.unheard), self.port);
            // Where no thread can be started, the connection ends, and the browser tries again.
            let _ = start(move || {
                if let Some(heard) = hear(&stream, port) {
                    let _ = sender.try_send((heard, stream));
                }
                drop(held);
            });
        }
    }
}

impl Client {
    /// Answers, and ends the connection. Who is not there any more gets no answer.
    pub(super) fn answer(self, status: u16, headers: &[(&str, &str)], kind: &str, body: &str) {
        let _ = self.send(status, headers, kind, body);
    }

    fn send(mut self, status: u16, headers: &[(&str, &str)], kind: &str, body: &str) -> io::Result<()> {
        let mut text = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
             Connection: close\r\n",
            reason(status),
            body.len()
        );
        for (name, value) in headers {
            text.extend([*name, ": ", *value, "\r\n"]);
        }
        text.extend(["\r\n", body]);
        self.0.set_write_timeout(Some(PATIENCE))?;
        self.0.write_all(text.as_bytes())?;
        self.0.shutdown(Shutdown::Write)
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        303 => "See Other",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        _ => "Error",
    }
}

/// Reads a request; `None` if none comes in time.
fn hear(mut stream: &TcpStream, port: u16) -> Option<Heard> {
    let until = Instant::now() + PATIENCE;
    // Where the listener does not wait, the connections that it lets in may not wait either.
    stream.set_nonblocking(false).ok()?;
    if peer::is_another_users(stream) {
        return Some(Err(403));
    }
    let mut head = Vec::new();
    let mut room = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let most = room.len().min(MAX_REQUEST - head.len());
        if most == 0 {
            return Some(Err(431));
        }
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(room.get_mut(..most)?) {
            Ok(length @ 1..) => head.extend_from_slice(room.get(..length)?),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return None,
        }
    }
    Some(target(&head, port))
}

/// What a request asks for, if it is one of a browser that asks this listener.
pub(super) fn target(head: &[u8], port: u16) -> Heard {
    let head = std::str::from_utf8(head).map_err(|_| 400_u16)?;
    let mut lines = head.split("\r\n").take_while(|line| !line.is_empty());
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(400);
    };
    let hosts =
        lines.filter_map(|line| line.split_once(':')).filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    let hosts: Vec<&str> = hosts.map(|(_, value)| value.trim()).collect();
    let own = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    match hosts.as_slice() {
        [host] if own.iter().any(|own| own.eq_ignore_ascii_case(host)) => {}
        [_] => return Err(421),
        _ => return Err(400),
    }
    match method {
        "GET" if target.starts_with('/') => Ok(target.to_owned()),
        "GET" => Err(400),
        _ => Err(405),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_browser_that_means_this_listener_is_heard() {
        let heard = |text: &str| target(text.as_bytes(), 4711);
        let get = |target: &str, host: &str| heard(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(get("/x?y", "127.0.0.1:4711"), Ok("/x?y".to_owned()));
        assert_eq!(get("/", "LOCALHOST:4711"), Ok("/".to_owned()));
        for host in [
            "evil.example",
            "evil.example:4711",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1:4711.evil.example",
            "",
        ] {
            assert_eq!(get("/", host), Err(421), "{host}");
        }
        assert_eq!(get("http://127.0.0.1:4711/", "127.0.0.1:4711"), Err(400));
        assert_eq!(heard("GET / HTTP/1.1\r\n\r\n"), Err(400));
        assert_eq!(heard("GET / HTTP/1.1\r\nHost: 127.0.0.1:4711\r\nHost: evil.example\r\n\r\n"), Err(400));
        assert_eq!(heard("POST / HTTP/1.1\r\nHost: 127.0.0.1:4711\r\n\r\n"), Err(405));
        assert_eq!(heard("GET / HTTP/2\r\nHost: 127.0.0.1:4711\r\n\r\n"), Err(400));
    }

    #[test]
    fn who_says_nothing_keeps_nobody_waiting_and_who_says_too_much_is_refused() {
        let listener = Listener::bind(None).unwrap();
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, listener.port())).unwrap();
        let _silent: Vec<TcpStream> = (0..MOST_CONNECTIONS - 2).map(|_| connect()).collect();
        let mut endless = connect();
        let mut asking = connect();
        let host = format!("Host: 127.0.0.1:{}\r\n", listener.port());
        endless
            .write_all(format!("GET / HTTP/1.1\r\n{host}X: {}", "x".repeat(2 * MAX_REQUEST)).as_bytes())
            .unwrap();
        asking.write_all(format!("GET /asked HTTP/1.1\r\n{host}\r\n").as_bytes()).unwrap();
        let (target, client) = listener.next(Instant::now() + Duration::from_secs(30)).unwrap();
        assert_eq!(target, "/asked");
        client.answer(200, &[("X-Test", "1")], "text/plain", "hello");
        let mut answer = String::new();
        asking.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("X-Test: 1\r\n\r\nhello"),
            "{answer}"
        );
        assert!(listener.next(Instant::now()).is_none());
    }

    #[test]
    fn a_request_may_have_8_kib_and_not_a_byte_more() {
        let listener = Listener::bind(None).unwrap();
        let head = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nX: ", listener.port());
        for (length, heard) in [(MAX_REQUEST, Ok("/".to_owned())), (MAX_REQUEST + 1, Err(431))] {
            let mut asking = TcpStream::connect((Ipv4Addr::LOCALHOST, listener.port())).unwrap();
            let request = format!("{head}{}\r\n\r\n", "x".repeat(length - head.len() - 4));
            asking.write_all(request.as_bytes()).unwrap();
            listener.tcp.set_nonblocking(false).unwrap();
            assert_eq!(hear(&listener.tcp.accept().unwrap().0, listener.port()), Some(heard), "{length}");
        }
    }
}
