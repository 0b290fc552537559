//! A connection to the engine. An exchange ends at its deadline, and an answer at its bound, whatever the engine sends.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, Parser, RedisError, Value};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::address::At;
use crate::error::cause;
use crate::files::read;

/// The most that is read of the answers of one exchange, in bytes. An entry has less than 4 KiB.
const MAX_ANSWER: usize = 256 << 10;

/// An open connection.
pub(super) struct Connection {
    stream: Stream,
    /// What was read and not yet parsed.
    parser: Parser,
}

enum Stream {
    Plain(Bounded),
    Tls(Box<StreamOwned<ClientConnection, Bounded>>),
}

impl Connection {
    /// Connects to the engine. Only `ca` is trusted where it is given, and what the platform trusts where it is not.
    ///
    /// # Errors
    /// If the engine is not there at the deadline, or the CA cannot be used.
    pub(super) fn open(at: &At, ca: Option<&Path>, deadline: Instant) -> io::Result<Self> {
        let stream = match at {
            At::Plain(host, port) => Stream::Plain(Bounded::new(tcp(host, *port, deadline)?, deadline)),
            At::Tls(host, port) => {
                let config = Arc::new(tls(ca)?);
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                let session = ClientConnection::new(config, name).map_err(io::Error::other)?;
                let socket = Bounded::new(tcp(host, *port, deadline)?, deadline);
                Stream::Tls(Box::new(StreamOwned::new(session, socket)))
            }
            At::Socket(path) => Stream::Plain(Bounded::new(unix(path)?, deadline)),
        };
        Ok(Self { stream, parser: Parser::new() })
    }

    /// Sends commands at once, and gives the answer to each.
    ///
    /// # Errors
    /// If one of them fails, if the answers are not there at the deadline, or if they are too long.
    pub(super) fn exchange(
        &mut self,
        commands: &[Cmd],
        deadline: Instant,
    ) -> std::result::Result<Vec<Value>, RedisError> {
        let bytes: Vec<u8> = commands.iter().flat_map(Cmd::get_packed_command).collect();
        match &mut self.stream {
            Stream::Plain(socket) => socket.begin(deadline),
            Stream::Tls(tls) => tls.sock.begin(deadline),
        }
        self.stream.write_all(&bytes)?;
        self.stream.flush()?;
        let parsed = commands.iter().map(|_| self.parser.parse_value(&mut self.stream)?.extract_error());
        parsed.collect()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// A socket that is read until the deadline and the bound, and written until the deadline.
struct Bounded {
    socket: Box<dyn Socket>,
    deadline: Instant,
    /// How many bytes may still come.
    left: usize,
}

impl Bounded {
    fn new(socket: impl Socket + 'static, deadline: Instant) -> Self {
        Self { socket: Box::new(socket), deadline, left: MAX_ANSWER }
    }

    /// Begins the next exchange.
    fn begin(&mut self, deadline: Instant) {
        (self.deadline, self.left) = (deadline, MAX_ANSWER);
    }

    fn time_left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(format!("its answer is longer than {} KiB", MAX_ANSWER >> 10)));
        }
        self.socket.may_wait(self.time_left()?)?;
        let space = buffer.len().min(self.left);
        let read = self.socket.read(buffer.get_mut(..space).unwrap_or_default())?;
        self.left -= read;
        Ok(read)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.may_wait(self.time_left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// TCP's sockets and Unix's.
trait Socket: Read + Write + Send {
    /// How long a read or a write may wait.
    fn may_wait(&self, time: Option<Duration>) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn may_wait(&self, time: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(time).and_then(|()| self.set_write_timeout(time))
    }
}

#[cfg(unix)]
impl Socket for UnixStream {
    fn may_wait(&self, time: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(time).and_then(|()| self.set_write_timeout(time))
    }
}

fn tcp(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut failed = io::Error::other(format!("the name {host} has no address"));
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => return socket.set_nodelay(true).map(|()| socket),
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

#[cfg(unix)]
fn unix(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path)
}

#[cfg(not(unix))]
fn unix(_: &Path) -> io::Result<TcpStream> {
    Err(io::Error::other("this system has no Unix sockets"))
}

fn tls(ca: Option<&Path>) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(io::Error::other)?;
    let Some(path) = ca else {
        return Ok(config.with_platform_verifier().map_err(io::Error::other)?.with_no_client_auth());
    };
    let unusable = |why: &str| io::Error::other(format!("{}: {why}", path.display()));
    let pem = read(path).map_err(|e| unusable(&cause(&e)))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate.map_err(|_| ()).and_then(|it| roots.add(it).map_err(|_| ()));
        added.map_err(|()| unusable("a certificate in it is damaged"))?;
    }
    if roots.is_empty() {
        return Err(unusable("there is no certificate in PEM format in it"));
    }
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
