//! What is sent to Redis or Valkey, and how long that may take. Each exchange is one command, so one round trip.

use std::time::{Duration, Instant};

use redis::{RedisError, Value};

use super::address::{Address, SharedSettings};
use super::connection::Connection;
use crate::error::{Error, Result, cause};
use crate::files::read_secret;
use crate::secret::{Secret, without};
use crate::time::{Unfinished, no_thread, within};
use crate::world::{SHARED_CACHE_PASSWORD, World};

/// How long one exchange may take, connecting included.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);
/// What the names of all keys begin with.
pub(super) const PREFIX: &str = "ghapp:";

/// Gives the engine's time, whether the lease was taken, what comes along with the first value that begins with a key's name,
/// and the values of all keys but the first, which is the lease's. It is taken only where each value that is given is still
/// there.
const LOOK: &str = "\
local out = {redis.call('TIME')[1], 0, false}
local same = ARGV[1] ~= ''
for i = 2, #KEYS do
    local value = redis.call('GET', KEYS[i])
    local seen = ARGV[i + 1]
    if seen and (value or '') ~= seen then same = false end
    if value and not out[3] and string.sub(value, 1, 6) == 'ghapp:' then
        out[3] = redis.call('GET', string.sub(value, 1, 70))
    end
    out[i + 2] = value
end
if same and redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then out[2] = 1 end
return out";
/// Keeps values, each for so many milliseconds, and ends a lease, if it is still the same.
const KEEP: &str = "\
for i = 2, #KEYS do redis.call('SET', KEYS[i], ARGV[2 * i - 2], 'PX', ARGV[2 * i - 1]) end
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1";
/// Drops a value, if it is still the same.
const DROP: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// A connection to the engine, opened when it is first needed.
#[derive(Default)]
pub(super) struct Engine {
    connection: Option<Connection>,
}

/// What one look showed.
pub(super) struct Look {
    /// What the engine's clock shows, in seconds since the Unix epoch.
    pub(super) time: i64,
    /// Whether the lease is held now.
    pub(super) leased: bool,
    /// The value under the key that the first value begins with.
    pub(super) came_along: Option<Vec<u8>>,
    pub(super) values: Vec<Option<Vec<u8>>>,
}

/// A lease that is taken, under its key.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) key: String,
    /// Tells this holder from all others.
    pub(super) holder: String,
    pub(super) lasts: Duration,
}

impl Engine {
    /// Looks at the values of keys, and takes the lease if the values are those that are `seen` before, where none is an empty one.
    pub(super) fn look(
        &mut self,
        settings: &SharedSettings,
        world: &World<'_>,
        lease: Option<&Lease>,
        keys: &[String],
        seen: &[Vec<u8>],
    ) -> Result<Look> {
        let mut command = redis::cmd("EVAL");
        let lease_key = lease.map_or(PREFIX, |lease| lease.key.as_str());
        command.arg(LOOK).arg(keys.len() + 1).arg(lease_key).arg(keys);
        command.arg(lease.map_or("", |lease| lease.holder.as_str()));
        command.arg(lease.map_or(0, |lease| lease.lasts.as_millis() as u64)).arg(seen);
        let Value::Array(answer) = self.exchange(settings, world, command)? else { return Err(garbage()) };
        let mut answer = answer.into_iter();
        let time = bytes(answer.next())?.and_then(|time| std::str::from_utf8(&time).ok()?.parse().ok());
        let leased = match answer.next() {
            Some(Value::Int(leased)) => leased == 1,
            _ => return Err(garbage()),
        };
        let came_along = bytes(answer.next())?;
        let values: Vec<_> = keys.iter().map(|_| bytes(answer.next())).collect::<Result<_>>()?;
        Ok(Look { time: time.ok_or_else(garbage)?, leased, came_along, values })
    }

    /// Keeps values under keys, and ends the lease.
    pub(super) fn keep(
        &mut self,
        settings: &SharedSettings,
        world: &World<'_>,
        lease: Option<&Lease>,
        entries: &[(String, Vec<u8>, Duration)],
    ) -> Result<()> {
        let mut command = redis::cmd("EVAL");
        command.arg(KEEP).arg(entries.len() + 1).arg(lease.map_or(PREFIX, |lease| lease.key.as_str()));
        for (key, ..) in entries {
            command.arg(key);
        }
        command.arg(lease.map_or("", |lease| lease.holder.as_str()));
        for (_, value, lasts) in entries {
            command.arg(value).arg(lasts.as_millis() as u64);
        }
        self.exchange(settings, world, command).map(drop)
    }

    /// Drops the value of a key, if it is still this one.
    pub(super) fn drop_if(
        &mut self,
        settings: &SharedSettings,
        world: &World<'_>,
        key: &str,
        value: &[u8],
    ) -> Result<()> {
        let mut command = redis::cmd("EVAL");
        command.arg(DROP).arg(1).arg(key).arg(value);
        self.exchange(settings, world, command).map(drop)
    }

    /// Sends one command and waits for its answer, in a thread of its own that is abandoned when it takes too long.
    fn exchange(
        &mut self,
        settings: &SharedSettings,
        world: &World<'_>,
        command: redis::Cmd,
    ) -> Result<Value> {
        let password = password(settings, world)?;
        let Some((Address { user, database, at }, _)) = &settings.address else {
            return Err(Error::new("there is no shared cache"));
        };
        let login = login(user.as_deref(), *database, password.as_ref());
        let (at, ca, connected) = (at.clone(), settings.ca.clone(), self.connection.take());
        let exchanged = within(PATIENCE, move || {
            let deadline = Instant::now() + PATIENCE;
            let (mut connection, mut commands) = match connected {
                Some(connection) => (connection, Vec::new()),
                None => (Connection::open(&at, ca.as_deref(), deadline)?, login),
            };
            commands.push(command);
            let answer = connection.exchange(&commands, deadline)?.pop();
            Ok::<_, RedisError>((connection, answer.unwrap_or(Value::Nil)))
        });
        match exchanged {
            Err(Unfinished::NotStarted(e)) => Err(no_thread("ask it", &e)),
            Ok(Err(why)) if !why.is_timeout() => Err(explain(&why, password.as_ref())),
            Err(Unfinished::Late) | Ok(Err(_)) => {
                Err(Error::new(format!("it did not answer within {} ms", PATIENCE.as_millis())))
            }
            Ok(Ok((connection, answer))) => {
                self.connection = Some(connection);
                Ok(answer)
            }
        }
    }
}

/// What a new connection begins with: who calls, and which database is meant.
fn login(user: Option<&str>, database: i64, password: Option<&Secret>) -> Vec<redis::Cmd> {
    let mut commands = Vec::new();
    if let Some(password) = password {
        let mut auth = redis::cmd("AUTH");
        auth.arg(user).arg(password.expose());
        commands.push(auth);
    }
    if database != 0 {
        let mut select = redis::cmd("SELECT");
        select.arg(database);
        commands.push(select);
    }
    commands
}

fn garbage() -> Error {
    Error::new("its answer is none of Redis or Valkey").hint("check that a Redis or Valkey listens there")
}

/// A value, if there is one.
fn bytes(value: Option<Value>) -> Result<Option<Vec<u8>>> {
    match value {
        Some(Value::BulkString(bytes)) => Ok(Some(bytes)),
        Some(Value::Nil) => Ok(None),
        _ => Err(garbage()),
    }
}

/// The password, if one is configured. The variable is stronger than the file.
fn password(settings: &SharedSettings, world: &World<'_>) -> Result<Option<Secret>> {
    /// The most that is read of its file, in bytes.
    const LIMIT: u64 = 4096;
    if let Some(password) = world.variables.text(SHARED_CACHE_PASSWORD)? {
        return Ok(Some(Secret::new(password)));
    }
    let Some(path) = &settings.password_file else { return Ok(None) };
    let unreadable =
        |why: &str| Error::new(format!("its password in {} cannot be read: {why}", path.display()));
    let content = read_secret(path, LIMIT, PATIENCE).map_err(|e| unreadable(&cause(&e)))?;
    let text = std::str::from_utf8(&content).map_err(|_| unreadable("it is no text"))?;
    Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())))
}

/// Why there is no answer, and what to do. Nothing of the password is in it, whatever the engine sends back.
fn explain(why: &RedisError, password: Option<&Secret>) -> Error {
    const WANTS_PASSWORD: &str = "it wants a password";
    const REFUSES: &str = "it refuses the user or the password";
    const LOGIN: &str = "check the user in shared-cache, and the password in shared-cache-password-file";
    const COMMANDS: &str = "let its user run EVAL, TIME, GET, SET and DEL on the keys ghapp:*";
    let mut text = match (why.code(), why.detail()) {
        (Some(code), Some(detail)) => format!("it says {code} {detail}"),
        (Some(code), None) => format!("it says {code}"),
        (None, _) => cause(why),
    };
    if let Some(password) = password {
        text = without(text, password.expose()).replace(password.expose(), "…");
    }
    // Who has not logged in may not even send so long a command.
    if why.code() == Some("NOAUTH") || text.contains("unauthenticated") {
        WANTS_PASSWORD.clone_into(&mut text);
    } else if why.code() == Some("WRONGPASS") || text.contains("invalid password") || text.contains("AUTH") {
        REFUSES.clone_into(&mut text);
    }
    let is_about_tls = text.contains("certificate") || text.contains("UnknownIssuer");
    let error = Error::new(text.chars().take(300).collect::<String>());
    match why.code() {
        _ if error.message() == WANTS_PASSWORD || error.message() == REFUSES => error.hint(LOGIN),
        Some("NOPERM") => error.hint(COMMANDS),
        Some("READONLY") => error.hint("name the primary in shared-cache, not a replica"),
        Some("OOM") => error.hint("raise its maxmemory, or let it evict: maxmemory-policy allkeys-lru"),
        Some("MOVED" | "CROSSSLOT" | "CLUSTERDOWN") => {
            error.hint("name an engine that is no cluster: what is shared fits on the smallest")
        }
        _ if is_about_tls => error.hint("name its CA in shared-cache-ca"),
        _ => error,
    }
}
