//! Where the shared cache is, as it is configured.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::world::SHARED_CACHE_PASSWORD;

/// How the shared cache is reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedSettings {
    /// Where it is, and where that is said. `None`: there is none.
    pub(crate) address: Option<(Address, Origin)>,
    /// The file with its password.
    pub(crate) password_file: Option<PathBuf>,
    /// The file with the CA that its certificate is checked with; `None`: the system's CAs.
    pub(crate) ca: Option<PathBuf>,
    /// Whether it may be reached over a network without TLS.
    pub(crate) plain: bool,
}

impl SharedSettings {
    /// # Errors
    /// If what is sent to the engine could be read on the way, and the configuration does not allow that.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.address {
            Some((Address { at: At::Plain(host, _), .. }, origin)) if !self.plain && !is_loopback(host) => {
                Err(Error::new(format!("shared-cache leads to {host} without TLS ({origin})")).hint(
                    "write rediss:// for TLS, or set shared-cache-plain = true if nobody else is on that network",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// The address of an engine: `rediss://USER@HOST:PORT/DATABASE`, the same with `redis://`, or `redis+unix:///PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(super) user: Option<String>,
    pub(super) database: i64,
    pub(super) at: At,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    Tls(String, u16),
    Plain(String, u16),
    Socket(PathBuf),
}

/// Where engines listen.
const PORT: u16 = 6379;

impl Address {
    /// # Errors
    /// If it is none, or holds a password. What is wrong is not repeated: it may be a secret.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new("shared-cache is not the address of a Redis or Valkey")
                .hint("write it like rediss://USER@cache.example:6379/0, or redis+unix:///run/redis.sock")
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let (user, place) =
            authority.rsplit_once('@').map_or((None, authority), |(user, at)| (Some(user), at));
        if user.is_some_and(|user| user.contains(':')) {
            return Err(Error::new("shared-cache has a password in it").hint(format!(
                "name the password's file in shared-cache-password-file, or set {SHARED_CACHE_PASSWORD}"
            )));
        }
        let user = user.filter(|user| !user.is_empty()).map(str::to_owned);
        if scheme == "redis+unix" && place.is_empty() && path.len() > 1 {
            return Ok(Self { user, database: 0, at: At::Socket(path.into()) });
        }
        let database = match path.trim_start_matches('/') {
            "" => 0,
            number => number.parse().ok().filter(|number| *number >= 0).ok_or_else(wrong)?,
        };
        let (host, port) = host_and_port(place).ok_or_else(wrong)?;
        let at = match scheme {
            "rediss" => At::Tls(host, port),
            "redis" => At::Plain(host, port),
            _ => return Err(wrong()),
        };
        Ok(Self { user, database, at })
    }
}

fn host_and_port(place: &str) -> Option<(String, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => place.find(':').map_or((place, ""), |colon| place.split_at(colon)),
    };
    let port = if port.is_empty() { PORT } else { port.strip_prefix(':')?.parse().ok()? };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    (!host.is_empty() && host.bytes().all(is_name)).then(|| (host.to_owned(), port))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Without the user.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            At::Tls(host, port) => write!(f, "rediss://{host}:{port}/{}", self.database),
            At::Plain(host, port) => write!(f, "redis://{host}:{port}/{}", self.database),
            At::Socket(path) => write!(f, "redis+unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_place_and_no_password() {
        for (text, shown) in [
            ("rediss://fleet@cache.example:6380/2", "rediss://cache.example:6380/2"),
            ("rediss://cache.example", "rediss://cache.example:6379/0"),
            ("redis://[::1]:1", "redis://::1:1/0"),
            ("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock"),
            ("redis+unix://fleet@/run/redis.sock", "redis+unix:///run/redis.sock"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown);
        }
        for wrong in [
            "",
            "cache.example",
            "http://cache.example",
            "rediss://",
            "rediss://a:b",
            "rediss://a:99999",
            "rediss://a/x",
            "rediss://a/-1",
            "rediss://a b",
            "redis+unix://",
            "redis+unix:///",
            "rediss://u:canary@a",
        ] {
            let why = Address::parse(wrong).unwrap_err();
            assert!(!why.to_string().contains("canary"), "{why}");
        }
    }

    #[test]
    fn without_tls_only_this_machine_is_near_enough() {
        let settings = |text: &str, plain| SharedSettings {
            address: Some((Address::parse(text).unwrap(), Origin::Variable("X"))),
            plain,
            ..SharedSettings::default()
        };
        for near in
            ["redis://localhost", "redis://127.8.0.1:1", "redis://[::1]", "redis+unix:///s", "rediss://a"]
        {
            settings(near, false).check().unwrap();
        }
        settings("redis://10.0.0.1", true).check().unwrap();
        for far in ["redis://10.0.0.1", "redis://localhost.evil.example", "redis://127.0.0.1.evil.example"] {
            settings(far, false).check().unwrap_err();
        }
    }
}
