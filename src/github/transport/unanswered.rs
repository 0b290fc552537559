//! Why a request has no answer, and what helps.

use std::io;

use super::{ApiRequest, Transport};
use crate::error::{Error, cause};
use crate::github::failures::CHECK_ADDRESS;
use crate::secret::without;

/// Why a request has no answer.
pub(super) enum Unanswered {
    /// It may have one later.
    Passing(Error),
    /// It will not.
    Lasting(Error),
}

impl Transport<'_> {
    /// Why there is no answer. Nothing of the request is in the message.
    pub(super) fn explain(&self, error: ureq::Error, request: ApiRequest<'_>) -> Unanswered {
        const CHECK_NETWORK: &str = "check the network, and http.proxy or HTTPS_PROXY if there is a proxy";
        let host = self.api.host();
        let passing = |what: String| Unanswered::Passing(Error::new(what).hint(CHECK_NETWORK));
        // Whoever does not let the name be looked up here is connected to directly.
        let proxy = self.way.proxy.as_ref().filter(|proxy| !proxy.resolve_target());
        let cannot_be_resolved = || match proxy {
            Some(proxy) => passing(format!("the name {} of the proxy cannot be resolved", proxy.host())),
            None => passing(format!("the name {host} cannot be resolved")),
        };
        match error {
            ureq::Error::Timeout(_) => passing(format!("{host} did not answer in time")),
            ureq::Error::HostNotFound => cannot_be_resolved(),
            ureq::Error::Rustls(e) => self.distrusted(&e),
            ureq::Error::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(e) => self.distrusted(e),
                None if is_about_a_name(&e) => cannot_be_resolved(),
                None => match proxy {
                    Some(proxy) if is_about_connecting(&e) => passing(format!(
                        "cannot talk to the proxy {}:{}: {}",
                        proxy.host(),
                        proxy.port(),
                        cause(&e)
                    )),
                    _ => passing(format!("cannot talk to {host}: {}", cause(&e))),
                },
            },
            ureq::Error::ConnectProxyFailed(why) => self.not_let_through(&why),
            ureq::Error::BodyExceedsLimit(limit) => Unanswered::Lasting(
                Error::new(format!("{host} sent an answer of more than {limit} bytes")).hint(CHECK_ADDRESS),
            ),
            ureq::Error::Protocol(_) => Unanswered::Lasting(
                Error::new(format!("{host}, or a proxy before it, does not answer with HTTP"))
                    .hint(CHECK_ADDRESS),
            ),
            other => {
                let what = format!("cannot talk to {host}: {other}");
                Unanswered::Lasting(Error::new(without(what, request.secret())))
            }
        }
    }

    /// That a proxy does not connect to the API. `why` has the proxy's status in it, if it gave one.
    fn not_let_through(&self, why: &str) -> Unanswered {
        let host = self.api.host();
        let name = self.way.proxy.as_ref().map(|proxy| format!("{}:{}", proxy.host(), proxy.port()));
        let name = name.unwrap_or_default();
        let status = why.rsplit(|c: char| !c.is_ascii_digit()).find_map(|digits| digits.parse::<u16>().ok());
        match status {
            Some(407) => Unanswered::Lasting(
                Error::new(format!("the proxy {name} asks for a user name and password, or refuses those that it got"))
                    .hint("write them into its address: http.proxy http://USER:PASSWORD@HOST:PORT; other ways to log in are not supported"),
            ),
            Some(status @ 400..500) => Unanswered::Lasting(
                Error::new(format!("the proxy {name} does not connect to {host}: it returned {status}"))
                    .hint(format!("ask who runs it to let {host} through, or check http.proxy and HTTPS_PROXY")),
            ),
            _ => {
                let why = status.map_or_else(|| why.to_owned(), |status| format!("it returned {status}"));
                Unanswered::Passing(
                    Error::new(format!("the proxy {name} does not connect to {host}: {why}"))
                        .hint("check http.proxy or HTTPS_PROXY"),
                )
            }
        }
    }

    /// That there is no TLS connection, with the cause and what helps.
    fn distrusted(&self, error: &rustls::Error) -> Unanswered {
        use rustls::CertificateError::{
            Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
            NotValidYetContext, Revoked, UnknownIssuer,
        };
        let host = self.api.host();
        let now = jiff::Timestamp::from_second(self.world.clock.now().0).unwrap_or_default();
        Unanswered::Lasting(match error {
            rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => Error::new(
                format!("the certificate of {host} is not valid yet by this clock, which shows {now}"),
            )
            .hint("set the clock"),
            rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => Error::new(format!(
                "the certificate of {host} has expired by this clock, which shows {now}"
            ))
            .hint(
                "set the clock; if it is right, ask who runs the server or the proxy for a new certificate",
            ),
            rustls::Error::InvalidCertificate(UnknownIssuer) => {
                Error::new(format!("the certificate of {host} is not signed by a known authority"))
                    .hint("name its CA: git config --global http.sslCAInfo FILE, or set SSL_CERT_FILE")
            }
            rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
                Error::new(format!("the certificate of {host} is for another name")).hint(CHECK_ADDRESS)
            }
            rustls::Error::InvalidCertificate(Revoked) => {
                Error::new(format!("the certificate of {host} is revoked"))
                    .hint("ask who runs the server or the proxy for a new certificate")
            }
            rustls::Error::InvalidCertificate(why) => {
                Error::new(format!("the certificate of {host} is not valid: {why}"))
                    .hint("ask who runs the server or the proxy for a new certificate")
            }
            rustls::Error::InvalidMessage(_) => {
                Error::new(format!("{host} does not answer with TLS")).hint(CHECK_ADDRESS)
            }
            other => Error::new(format!("no secure connection to {host}: {other}")),
        })
    }
}

/// Whether an error is that of a name that cannot be looked up. It has no kind of its own.
fn is_about_a_name(error: &io::Error) -> bool {
    let text = error.to_string();
    text.contains("lookup address information") || text.contains("No such host is known")
}

/// Whether an error is that of a connection that never was.
fn is_about_connecting(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}
