//! From a request to its answer: as one call of this program, with the policy before it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::asked::{Allowed, Asked, asked, request_of};
use super::audit::{Audit, Note, Peer};
use super::limit::{Limit, Room};
use super::policy::Policy;
use crate::commands::token::Given;
use crate::commands::{bazel, identity, token};
use crate::config::{Config, Flags, Rule};
use crate::error::{Error, Result};
use crate::helper::{feedback, get};
use crate::names::Place;
use crate::socket::{ANSWERED, Message};
use crate::source::{Issued, TokenSource, with_token};
use crate::terminal::Terminal;
use crate::time::{Clock, Timestamp};
use crate::token::{Need, is_token};
use crate::world::{Folders, Streams, Variables, World};

/// The longest time, in seconds, for which a client may want a token to stay valid.
const LONGEST_FRESH: i64 = 1800;
/// How many answers in an hour may take requests to GitHub, which lets an App make 5,000 in that time, wherever it is used. A
/// clone takes one for each submodule.
const MOST_UNCACHED: u32 = 1000;
const HOUR: Duration = Duration::from_secs(3600);

/// What all threads share: what surrounds this process, and what is served.
pub(super) struct Outside {
    variables: HashMap<String, OsString>,
    folders: Folders,
    start_clock: Arc<dyn Fn() -> Clock + Send + Sync>,
    flags: Flags,
    policy: Policy,
    audit: Audit,
    /// The name and the address of each App's bot, which stay: asking for them takes requests of the App's.
    bots: Mutex<HashMap<(String, String), (String, String)>>,
    /// How many answers took requests to GitHub.
    uncached: Limit,
}

impl Outside {
    pub(super) fn new(world: &World<'_>, flags: Flags, policy: Policy, audit: Audit) -> Self {
        let names = (world.variable_names)().into_iter().filter_map(|name| name.into_string().ok());
        let variables = names.filter_map(|name| world.variables.path(&name).map(|value| (name, value)));
        Self {
            variables: variables.collect(),
            folders: world.folders.clone(),
            start_clock: Arc::clone(&world.start_clock),
            flags,
            policy,
            audit,
            bots: Mutex::default(),
            uncached: Limit::new(MOST_UNCACHED, HOUR),
        }
    }

    /// The name and the address of an App's bot.
    fn bot(&self, rule: &Rule, ask: impl FnOnce() -> Result<(String, String)>) -> Result<(String, String)> {
        let key = (rule.api.to_string(), rule.app_id.clone());
        let bots = || self.bots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bot) = bots().get(&key) {
            return Ok(bot.clone());
        }
        self.may_ask_github()?;
        let bot = ask()?;
        bots().insert(key, bot.clone());
        Ok(bot)
    }

    /// An error if the token is not cached, and GitHub may not be asked for it.
    fn check_room(&self, source: &TokenSource<'_>, place: &Place, need: Need<'_>) -> Result<()> {
        if source.has_cached(place, need) { Ok(()) } else { self.may_ask_github() }
    }

    /// Counts one more answer that takes requests to GitHub. An error if there were too many: a client that names ever other
    /// permissions would use up the App's rate limit.
    fn may_ask_github(&self) -> Result<()> {
        match self.uncached.next() {
            Room::Yes => Ok(()),
            Room::NoLonger | Room::No => {
                let what = format!(
                    "there were more than {MOST_UNCACHED} requests within an hour for which GitHub had to be asked"
                );
                Err(Error::new(what).hint("wait until the hour is over, or start serve again"))
            }
        }
    }

    fn now(&self) -> Timestamp {
        (self.start_clock)().now()
    }

    /// Notes what came of a request.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn note(&self, peer: Peer, note: &Note, outcome: &str) -> Result<()> {
        self.audit.note(self.now(), peer, note, outcome)
    }
}

/// Answers a request, and notes it before anybody has the answer.
pub(super) fn answer(request: &Message, peer: Peer, outside: &Outside) -> Message {
    let mut note = Note { operation: request.word().to_owned(), ..Note::default() };
    let start_clock = Arc::clone(&outside.start_clock);
    let world = World {
        variables: Variables(&|name| outside.variables.get(name).cloned()),
        variable_names: &|| outside.variables.keys().map(OsString::from).collect(),
        folders: outside.folders.clone(),
        clock: start_clock(),
        start_clock,
        terminal: Terminal::new(std::io::stderr()),
        streams: &Streams::default,
        before_exec: &|| (),
    };
    let config = Config::load(&outside.flags, &world).map(|mut config| {
        let min_fresh = request.value("min_fresh").and_then(|text| text.parse().ok()).unwrap_or(0);
        // A token for public repositories is of another owner's, and not narrowed to any repository.
        config.rules.iter_mut().for_each(|rule| rule.public_repositories = None);
        config.cache.min_fresh = config.cache.min_fresh.max(LONGEST_FRESH.min(min_fresh));
        config
    });
    let answer = config.and_then(|config| of_operation(request, outside, &config, &world, &mut note));
    let noted = outside.note(peer, &note, &outcome(&answer));
    match noted.and(answer) {
        Ok(answer) => answer,
        Err(why) => Message::refusal(&why),
    }
}

/// What is noted of an answer.
pub(super) fn outcome(answer: &Result<Message>) -> String {
    match answer {
        Ok(answer) => match answer.value("error") {
            None => answer.word().to_owned(),
            Some(why) => format!("{}: {why}", answer.word()),
        },
        Err(why) => format!("refused: {why}"),
    }
}

fn of_operation(
    message: &Message,
    outside: &Outside,
    config: &Config,
    world: &World<'_>,
    note: &mut Note,
) -> Result<Message> {
    let allowed = match asked(message, &outside.policy, config, note)? {
        Asked::Token(allowed) => allowed,
        Asked::NoToken(answer) => return Ok(answer),
    };
    let call = Call { outside, allowed, config, world };
    match message.word() {
        token::OPERATION => call.for_tools(message),
        bazel::OPERATION => call.for_bazel(),
        _ => call.for_git(message),
    }
}

/// A request that is allowed, and what answers it.
struct Call<'c> {
    outside: &'c Outside,
    allowed: Allowed<'c>,
    config: &'c Config,
    world: &'c World<'c>,
}

impl Call<'_> {
    /// What git calls.
    fn for_git(&self, message: &Message) -> Result<Message> {
        let Allowed { selected, .. } = &self.allowed;
        let request = request_of(message)?;
        let source = self.source_for_git();
        let token = request.password.as_ref().filter(|password| is_token(password.expose()));
        match (message.word(), token) {
            ("get", _) => {
                self.outside.check_room(&source, &selected.place, request.need())?;
                let issued = get::issue(&request, selected, &source, self.world)?.issued()?;
                let issued = self.outside.policy.checked(&source, &self.allowed, issued)?;
                let state = request.may_retry().then(|| issued.token.secret.fingerprint());
                return Ok(with_token_of(&issued)
                    .with("username", &selected.rule.vendor().username)
                    .with_some("state", state.as_deref()));
            }
            ("store", Some(token)) => feedback::accept(&source, &selected.place, token),
            ("erase", Some(token)) => source.erase(&selected.place, token),
            _ => {}
        }
        Ok(Message::new(ANSWERED))
    }

    /// What `token`, `exec` and `shim` call.
    fn for_tools(&self, message: &Message) -> Result<Message> {
        let Self { outside, allowed: Allowed { selected, narrowing }, config, world } = self;
        let source = TokenSource::new(selected.rule, config, world).narrowed(narrowing.clone());
        outside.check_room(&source, &selected.place, Need::Fresh)?;
        let obtain =
            |need: Need<'_>| token::issue(selected, narrowing, need, token::OPERATION, config, world);
        let bot = match message.value("identity") {
            None => None,
            Some(_) => Some(outside.bot(selected.rule, || {
                with_token(
                    |need| Ok::<_, Error>(obtain(need)?.0),
                    |issued| identity::of_bot(selected.rule, &source, &issued.token.secret),
                )
            })?),
        };
        let issued = self.outside.policy.checked(&source, &self.allowed, obtain(Need::Fresh)?.0)?;
        let granted = source.granted(&issued);
        let (name, address) = bot.unzip();
        Ok(Given::new(issued, granted, selected.rule)
            .to_message()
            .with_some("identity_name", name.as_deref())
            .with_some("identity_address", address.as_deref()))
    }

    /// What `bazel` calls.
    fn for_bazel(&self) -> Result<Message> {
        let place = &self.allowed.selected.place;
        let source = self.source_for_git();
        self.outside.check_room(&source, place, Need::Fresh)?;
        let issued = source.token(place, Need::Fresh)?.issued()?;
        self.outside.policy.checked(&source, &self.allowed, issued).map(|issued| with_token_of(&issued))
    }

    fn source_for_git(&self) -> TokenSource<'_> {
        let Allowed { selected, narrowing } = &self.allowed;
        TokenSource::for_git(selected.rule, self.config, self.world).narrowed(narrowing.clone())
    }
}

/// An answer with a token in it.
fn with_token_of(issued: &Issued) -> Message {
    Message::new(ANSWERED)
        .with("password", issued.token.secret.expose())
        .with("password_expiry_utc", &issued.token.expires_at().0.to_string())
}
