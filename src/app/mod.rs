//! Who we are: the App, how it proves that, and the JWTs that do; or the command that gives tokens where there is no App.

pub(crate) mod jwt;
pub(crate) mod key;
pub(crate) mod public_key;
pub(crate) mod sign_command;
pub(crate) mod token_command;

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::cache::{Effort, Sealer};
use crate::command::ConfiguredCommand;
use crate::error::{Error, Result};
use crate::time::Timestamp;
use crate::world::World;

use jwt::AppJwt;
use key::{KeySource, KeyText, Signer};
use sign_command::SignCommand;
use token_command::TokenCommand;

/// What proves that we are the App, or gives tokens without one.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// Its private keys, in the order in which they are tried.
    Keys(Vec<Rc<dyn KeySource>>),
    /// A command that signs.
    SignCommand(SignCommand),
    /// A command that gives tokens: there is no App.
    TokenCommand(TokenCommand),
}

impl Identity {
    /// The private keys; none where a command signs, or gives tokens.
    pub(crate) fn keys(&self) -> &[Rc<dyn KeySource>] {
        match self {
            Self::Keys(keys) => keys,
            Self::SignCommand(_) | Self::TokenCommand(_) => &[],
        }
    }

    /// The private key, if there is just one.
    pub(crate) fn only_key(&self) -> Option<&dyn KeySource> {
        match self.keys() {
            [key] => Some(&**key),
            _ => None,
        }
    }

    /// A command that is run for it, if there is one.
    pub(crate) fn command(&self) -> Option<&ConfiguredCommand> {
        match self {
            Self::Keys(keys) => keys.iter().find_map(|key| key.command()),
            Self::SignCommand(command) => Some(&command.command),
            Self::TokenCommand(command) => Some(&command.command),
        }
    }

    /// The command that signs, if one does.
    pub(crate) fn sign_command(&self) -> Option<&SignCommand> {
        match self {
            Self::SignCommand(command) => Some(command),
            Self::Keys(_) | Self::TokenCommand(_) => None,
        }
    }

    /// The command that gives tokens, if one does.
    pub(crate) fn token_command(&self) -> Option<&TokenCommand> {
        match self {
            Self::TokenCommand(command) => Some(command),
            Self::Keys(_) | Self::SignCommand(_) => None,
        }
    }
}

/// An App as it is configured. A key is read when it is first needed, and once.
pub(crate) struct App<'a> {
    id: &'a str,
    identity: &'a Identity,
    world: &'a World<'a>,
    keys: Vec<LazyKey<'a>>,
    /// Which of the keys signs. Those before it are of no use.
    current: Cell<usize>,
    /// What files are sealed under, or why that cannot be had. A command that failed is not run for each of many files.
    sealing_secret: OnceCell<Result<Zeroizing<Vec<u8>>>>,
}

struct LazyKey<'a> {
    source: &'a dyn KeySource,
    text: OnceCell<KeyText>,
    key: OnceCell<Box<dyn Signer>>,
}

impl LazyKey<'_> {
    fn text(&self, world: &World<'_>) -> Result<&KeyText> {
        if let Some(text) = self.text.get() {
            return Ok(text);
        }
        let text = self.source.read(world)?;
        Ok(self.text.get_or_init(|| text))
    }

    fn key(&self, world: &World<'_>) -> Result<&dyn Signer> {
        if let Some(key) = self.key.get() {
            return Ok(&**key);
        }
        let key = self.source.signer(self.text(world)?)?;
        Ok(&**self.key.get_or_init(|| key))
    }
}

impl<'a> App<'a> {
    /// An App by its client ID or App ID, and what proves that we are it.
    pub(crate) fn new(id: &'a str, identity: &'a Identity, world: &'a World<'a>) -> Self {
        let lazy = |source: &'a Rc<dyn KeySource>| LazyKey {
            source: &**source,
            text: OnceCell::new(),
            key: OnceCell::new(),
        };
        let keys = identity.keys().iter().map(lazy).collect();
        Self { id, identity, world, keys, current: Cell::new(0), sealing_secret: OnceCell::new() }
    }

    /// The client ID or App ID.
    pub(crate) fn id(&self) -> &'a str {
        self.id
    }

    /// A JWT that is valid at `now`, by GitHub's clock, and for `lifetime` seconds.
    pub(crate) fn jwt(&self, now: Timestamp, lifetime: i64) -> Result<AppJwt> {
        AppJwt::sign(self.id, now, lifetime, |message| self.sign(message))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match self.identity {
            Identity::Keys(_) => self.key()?.sign(message),
            Identity::SignCommand(command) => command.sign(message, self.world),
            Identity::TokenCommand(command) => Err(command
                .command
                .failure("it gives tokens, and is no App")
                .hint("this needs an App: configure one with id and private-key")),
        }
    }

    /// The private key that signs: the first that can be read, of those that GitHub did not refuse.
    fn key(&self) -> Result<&dyn Signer> {
        loop {
            let index = self.current.get();
            let key = self.keys.get(index).ok_or_else(|| Error::new("the App has no private key"))?;
            match key.key(self.world) {
                Ok(key) => return Ok(key),
                Err(why) if index + 1 < self.keys.len() => {
                    self.current.set(index + 1);
                    self.world.terminal.warning(&Error::new(format!("{why}; the next one is tried")));
                }
                Err(why) => return Err(why),
            }
        }
    }

    /// Reads the private key, so that one that cannot be used is known before anything else happens. What a command signs
    /// with cannot be read.
    pub(crate) fn check_key(&self) -> Result<()> {
        if self.keys.is_empty() { Ok(()) } else { self.key().map(drop) }
    }

    /// Lets the next private key sign from now on, because GitHub refused the signature of this one. `false`: there is no
    /// other.
    pub(crate) fn use_next_key(&self) -> bool {
        let index = self.current.get();
        let (Some(refused), Some(_)) = (self.keys.get(index), self.keys.get(index + 1)) else { return false };
        let what = format!(
            "the private key {} does not belong to App {} any more; the next one is tried",
            refused.source.describe(),
            self.id
        );
        let hint = "take it out of private-key, or put it after the one that works";
        self.world.terminal.warning(&Error::new(what).hint(hint));
        self.current.set(index + 1);
        true
    }
}

impl App<'_> {
    /// Whether a command has to run before there is a JWT: that may fail today and work tomorrow.
    pub(crate) fn needs_a_command(&self) -> bool {
        match self.identity {
            Identity::Keys(keys) => keys.iter().any(|key| key.command().is_some()),
            Identity::SignCommand(_) => true,
            Identity::TokenCommand(_) => false,
        }
    }

    fn make_sealing_secret(&self) -> Result<Zeroizing<Vec<u8>>> {
        let hashed = |secret: &[u8]| Zeroizing::new(digest(&SHA256, secret).as_ref().to_vec());
        match self.identity {
            Identity::Keys(_) => {}
            Identity::SignCommand(_) => {
                return self.sign(SEALING_LABEL).map(|signature| hashed(&Zeroizing::new(signature)));
            }
            Identity::TokenCommand(_) => {
                let mut secret = Zeroizing::new(vec![0; 32]);
                return match SystemRandom::new().fill(&mut secret) {
                    Ok(()) => Ok(secret),
                    Err(_) => Err(Error::new("there are no random numbers")),
                };
            }
        }
        let mut texts = self.keys.iter().map(|key| key.text(self.world));
        let first = texts.next().ok_or_else(|| Error::new("the App has no private key"))?;
        let readable = first.or_else(|why| texts.find_map(Result::ok).ok_or(why))?;
        Ok(hashed(readable.bytes()))
    }

    /// What to do if GitHub refuses the signature.
    pub(crate) fn hint_if_refused(&self) -> &'static str {
        match self.identity {
            Identity::SignCommand(SignCommand { public_key: None, .. }) => {
                "it is of another key, or by RSASSA-PSS; with public-key the signature is checked before it is sent"
            }
            _ => {
                "compare id and key with the App's settings page; keys that were deleted there no longer work"
            }
        }
    }
}

/// What is signed for a secret that only whoever can sign as the App can have. It is no JWT, and cannot be taken for one.
const SEALING_LABEL: &[u8] = b"git-credential-ghapp: the secret that cached tokens are sealed under";

/// Files are sealed under the key as it is written: to parse it first would take half the time of a warm `get`. A key that
/// is written in another way opens nothing, which is a miss. Where a command signs, it is one signature, which is the same
/// each time. Where a command gives tokens, it is a random one: the keyring is the only place that has it.
impl Sealer for App<'_> {
    fn effort(&self) -> Effort {
        match self.identity {
            Identity::SignCommand(_) | Identity::TokenCommand(_) => Effort::Once,
            Identity::Keys(_) if self.needs_a_command() => Effort::Command,
            Identity::Keys(_) => Effort::Little,
        }
    }

    fn secret(&self) -> Result<Zeroizing<Vec<u8>>> {
        self.sealing_secret.get_or_init(|| self.make_sealing_secret()).clone()
    }

    fn name(&self) -> String {
        let words = match self.identity {
            Identity::Keys(keys) => keys
                .iter()
                .flat_map(|key| key.command().map_or_else(|| vec![key.short()], |it| it.words()))
                .collect(),
            Identity::SignCommand(sign) => sign.command.words(),
            Identity::TokenCommand(token) => token.command.words(),
        };
        std::iter::once(self.id.to_owned()).chain(words).collect::<Vec<_>>().join("\0")
    }
}
