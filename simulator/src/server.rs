//! TLS, HTTP, and a proxy that leads every host here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::git::{Step, backend, decide};
use crate::world::{Effect, Request, World};
use crate::{jwt, lock, manifest, release, rest};

/// A request, read to its end.
pub(crate) struct Asked {
    pub(crate) host: String,
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    headers: hyper::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, kind: &str, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("Content-Type".to_owned(), kind.to_owned())], body }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Where the simulator listens.
pub(crate) struct Addresses {
    pub(crate) https: SocketAddr,
    pub(crate) proxy: SocketAddr,
}

struct Server {
    folder: PathBuf,
    world: Arc<Mutex<World>>,
    tls: TlsAcceptor,
}

/// Begins to listen, and writes the CA's certificate.
pub(crate) async fn start(folder: &Path, world: Arc<Mutex<World>>) -> std::io::Result<Addresses> {
    std::fs::create_dir_all(folder.join("repositories"))?;
    let (ca, client, config) = tls().map_err(std::io::Error::other)?;
    std::fs::write(folder.join("ca.pem"), ca)?;
    std::fs::write(folder.join("client.pem"), client)?;
    let tls = TlsAcceptor::from(Arc::new(config));
    let server = Arc::new(Server { folder: folder.to_owned(), world, tls });
    let https = TcpListener::bind(("127.0.0.1", 0)).await?;
    let proxy = TcpListener::bind(("127.0.0.1", 0)).await?;
    let addresses = Addresses { https: https.local_addr()?, proxy: proxy.local_addr()? };
    let direct = server.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = https.accept().await {
            tokio::spawn(serve(direct.clone(), stream));
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = proxy.accept().await {
            tokio::spawn(connect(server.clone(), stream));
        }
    });
    Ok(addresses)
}

/// The certificate of a CA of this run, a client's certificate of it with its key, and a server whose certificates are of
/// it and that asks clients for theirs.
fn tls() -> Result<(String, String, ServerConfig), Box<dyn std::error::Error + Send + Sync>> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "GitHub simulator");
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let pem = ca.pem();
    let client_key = KeyPair::generate()?;
    let client = CertificateParams::new(vec!["client.example".to_owned()])?.signed_by(&client_key, &ca)?;
    let client = format!("{}{}", client.pem(), client_key.serialize_pem());
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone())?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients.allow_unauthenticated().build()?)
        .with_cert_resolver(Arc::new(Certificates { ca, made: Mutex::default() }));
    Ok((pem, client, config))
}

/// Makes a certificate for each host that a client asks for, once.
struct Certificates {
    ca: CertifiedIssuer<'static, KeyPair>,
    made: Mutex<BTreeMap<String, Arc<CertifiedKey>>>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates")
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Who connects to an address names no host.
        let name = hello.server_name().unwrap_or("127.0.0.1").to_owned();
        let mut made = self.made.lock().ok()?;
        if !made.contains_key(&name) {
            made.insert(name.clone(), Arc::new(self.make(&name).ok()?));
        }
        made.get(&name).cloned()
    }
}

impl Certificates {
    fn make(&self, name: &str) -> Result<CertifiedKey, Box<dyn std::error::Error>> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &self.ca)?;
        let key = any_supported_type(&PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
        Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
    }
}

/// The proxy: `CONNECT` to any host leads here.
async fn connect(server: Arc<Server>, mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) if head.len() < 8192 => head.push(byte),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let host =
        head.strip_prefix("CONNECT ").and_then(|rest| Some(rest.split(' ').next()?.rsplit_once(':')?.0));
    let status = match host {
        Some(host) if lock(&server.world).is_host(host) => "200 OK",
        Some(_) => "502 Bad Gateway",
        None => "405 Method Not Allowed",
    };
    let connects = status == "200 OK";
    let rest = if connects { "" } else { "Content-Length: 0\r\n" };
    let answer = format!("HTTP/1.1 {status}\r\n{rest}\r\n");
    if stream.write_all(answer.as_bytes()).await.is_ok() && connects {
        serve(server, stream).await;
    }
}

async fn serve(server: Arc<Server>, stream: TcpStream) {
    // Without it the end of an answer waits for the acknowledgement of its beginning, which comes 40 ms later.
    let _ = stream.set_nodelay(true);
    let Ok(stream) = server.tls.accept(stream).await else { return };
    {
        let mut world = lock(&server.world);
        world.connections += 1;
        world.client_certificates += usize::from(stream.get_ref().1.peer_certificates().is_some());
    }
    let pace = Arc::new(AtomicU64::new(0));
    let service = service_fn(|request| answer(server.clone(), pace.clone(), request));
    let stream = TokioIo::new(Paced { stream, pace: pace.clone(), pause: None });
    // A connection that ends early is the client's affair.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
}

/// A connection that can be made slow: one byte in so many milliseconds, if that is not 0.
struct Paced<S> {
    stream: S,
    pace: Arc<AtomicU64>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let pace = self.pace.load(Ordering::Relaxed);
        if pace == 0 {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(Duration::from_millis(pace))));
        ready!(pause.as_mut().poll(context));
        self.pause = None;
        Pin::new(&mut self.stream).poll_write(context, bytes.get(..1).unwrap_or(bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The connection ends here.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped")
    }
}

impl std::error::Error for Dropped {}

async fn answer(
    server: Arc<Server>,
    pace: Arc<AtomicU64>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Dropped> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes().to_vec();
    let asked = Asked {
        host: parts
            .headers
            .get("host")
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .to_ascii_lowercase(),
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: parts.headers,
        body,
    };
    let fault = lock(&server.world).fault(&asked.host, &asked.method, &asked.path);
    let given = match fault {
        Some(Effect::Answer(status, headers, body)) => Answer { status, headers, body },
        Some(Effect::With(headers)) => {
            let mut answer = regular(&server, &asked).await;
            answer.headers.retain(|(name, _)| !headers.iter().any(|(new, _)| new.eq_ignore_ascii_case(name)));
            answer.headers.extend(headers);
            answer
        }
        Some(Effect::Echo(status, body)) => {
            let body = body.replace("{authorization}", asked.header("authorization").unwrap_or_default());
            Answer::new(status, "application/json; charset=utf-8", body.into_bytes())
        }
        Some(Effect::Drop) => {
            log(&server, &asked, 0);
            return Err(Dropped);
        }
        Some(Effect::Hang) => {
            log(&server, &asked, 0);
            std::future::pending::<Infallible>().await;
            return Err(Dropped);
        }
        Some(Effect::Delay(milliseconds)) => {
            sleep(Duration::from_millis(milliseconds)).await;
            regular(&server, &asked).await
        }
        Some(Effect::Together(barrier)) => {
            barrier.wait().await;
            regular(&server, &asked).await
        }
        Some(Effect::Trickle(milliseconds)) => {
            pace.store(milliseconds, Ordering::Relaxed);
            regular(&server, &asked).await
        }
        None => regular(&server, &asked).await,
    };
    let now = log(&server, &asked, given.status);
    let mut response = hyper::Response::builder().status(given.status).header("Server", "github.com");
    let is_dated = given.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("date"));
    if let Some(date) = now.filter(|_| !is_dated) {
        response = response.header("Date", date);
    }
    for (name, value) in given.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(given.body))).map_err(|_| Dropped)
}

async fn regular(server: &Server, asked: &Asked) -> Answer {
    let step = {
        let mut world = lock(&server.world);
        match rest::api_path(&asked.host, &asked.path) {
            Some(path) => Step::Answer(rest::answer(&mut world, asked, path)),
            None => match release::answer(&world, asked) {
                Some(answer) => Step::Answer(answer),
                None => decide(&mut world, asked),
            },
        }
    };
    match step {
        Step::Answer(answer) => answer,
        Step::Backend(path) => backend(&server.folder, &path, asked)
            .await
            .unwrap_or_else(|e| Answer::new(500, "text/plain", e.to_string().into_bytes())),
    }
}

/// Notes the request; gives the `Date` of the answer, by this GitHub's clock.
fn log(server: &Server, asked: &Asked, status: u16) -> Option<String> {
    let mut world = lock(&server.world);
    let by = match asked.header("authorization").and_then(|value| value.split_once(' ')) {
        None => "-".to_owned(),
        Some(("Bearer" | "token", bearer)) => {
            match (world.tokens.iter().find(|token| token.text == bearer), jwt::claimed_issuer(bearer)) {
                (Some(token), _) => format!("token of installation {}", token.installation),
                (None, Some(issuer)) => format!("jwt of {issuer}"),
                (None, None) => "another bearer".to_owned(),
            }
        }
        Some((_, basic)) => {
            let token = world.tokens.iter().find(|token| {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{}", token.text))
                    == basic
            });
            token.map_or_else(
                || "not a token".to_owned(),
                |token| format!("token of installation {}", token.installation),
            )
        }
    };
    let request = Request {
        host: asked.host.clone(),
        method: asked.method.clone(),
        path: manifest::without_secrets(&asked.path),
        by,
        status,
    };
    world.requests.push(request);
    let now = jiff::Timestamp::from_second(world.now()).ok()?;
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok()
}
