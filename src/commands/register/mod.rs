//! `register`: makes a GitHub App from a manifest, and ends as `setup` does.
//!
//! A page on this machine sends the manifest to GitHub, where a person agrees. GitHub leads the browser back to this machine
//! with a code, which is exchanged for the App and its key. How far it came is noted, so that a second run goes on where one
//! was killed.

mod browser;
mod dialogue;
mod exchange;
mod listener;
mod manifest;
mod page;
mod peer;
mod record;
mod unfinished;

use std::io::BufRead;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::narrow;
use super::number;
use super::output::Output;
use super::setup;
use crate::app::key::keyring;
use crate::cache::{Cache, Turn};
use crate::config::{Config, Flags};
use crate::error::{Error, Result};
use crate::github::manifest::Standing;
use crate::names::{ApiUrl, Host};
use crate::secret::Secret;
use crate::source::TokenSource;
use crate::terminal::{in_shell, path_in_shell};
use crate::world::World;

use dialogue::Dialogue;
use manifest::Manifest;
use record::{App, Left, Record};

pub(super) use unfinished::{Remains, reminder};

/// How often GitHub is asked whether it knows a new App, and how long: its key, and the App itself.
const PAUSE: Duration = Duration::from_secs(1);
const UNTIL_KEY: Duration = Duration::from_secs(120);
const UNTIL_APP: Duration = Duration::from_secs(15);

/// The settings that name an App, its key, or its installation: GitHub says what they are.
const NAME_AN_APP: &[&str] = &[
    "app-id",
    "private-key",
    "private-key-command",
    "sign-command",
    "public-key",
    "token-command",
    "installation-id",
];

/// What is to be made.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(
    after_help = "With --host HOST the App is made on a GitHub Enterprise Server, or on TENANT.ghe.com."
)]
pub(crate) struct Options {
    /// The organisation that is to own the App; default: who is signed in in the browser
    #[arg(long, value_name = "ORG", value_parser = manifest::organization)]
    organization: Option<String>,
    /// The App's name, which no other App on the host may have; default: GitHub asks for it
    #[arg(long, value_parser = manifest::name)]
    name: Option<String>,
    /// A permission of the App, like contents=read; may be repeated. It has contents=write and metadata=read otherwise
    #[arg(long = "permission", value_name = "NAME=LEVEL", value_parser = narrow::permission)]
    permission: Vec<(String, String)>,
    /// Let every account install the App, not only its owner
    #[arg(long)]
    public: bool,
    /// Keep the private key in the operating system's keyring, not in a file that only you can read
    #[arg(long)]
    keyring: bool,
    /// Start no browser, and say how one on another machine reaches the page
    #[arg(long)]
    no_browser: bool,
    /// The page's port on this machine; default: one that is free
    #[arg(long, allow_negative_numbers = true, value_parser = number::within::<u16>(1..=65535))]
    port: Option<u16>,
    /// Make another App, instead of going on with what an earlier run left
    #[arg(long)]
    new: bool,
    /// Ask no questions: do what the default answers say
    #[arg(long, short)]
    yes: bool,
}

/// Where the App is made, for whom, and where its key will be.
struct Target<'t> {
    host: &'t Host,
    api: &'t ApiUrl,
    organization: Option<&'t str>,
    /// The configuration file, beside which the key is kept.
    configuration: &'t Path,
    keyring: bool,
    /// How long GitHub may take to answer.
    deadline: Duration,
    /// What a person types to go on with an App for this account.
    command: String,
}

impl Target<'_> {
    /// The page that lists the owner's Apps.
    fn settings_page(&self) -> String {
        settings_page(&self.host.to_string(), self.organization)
    }
}

fn settings_page(host: &str, organization: Option<&str>) -> String {
    let folder = organization.map_or_else(String::new, |name| format!("organizations/{name}/"));
    format!("https://{host}/{folder}settings/apps")
}

pub(super) fn register(
    options: &Options,
    flags: &Flags,
    world: &World<'_>,
    stdin: &mut dyn BufRead,
    output: &mut Output<'_>,
) -> Result<()> {
    if let Some(named) = NAME_AN_APP.iter().find(|name| flags.has(name)) {
        return Err(Error::new(format!("register makes an App, so --{named} cannot name one"))
            .hint("leave it out; for an App that you have: git-credential-ghapp setup"));
    }
    // All settings are checked before anything is made, as if the App were there.
    let config = Config::load_without_files(&with_app(flags, "1", "/not-made-yet"), world)?;
    let Some(rule) = config.rules.last() else {
        return Err(Error::new("there is no host to make an App on"));
    };
    let configuration = setup::user_configuration(flags, world)?;
    let target = Target {
        host: &rule.host,
        api: &rule.api,
        organization: options.organization.as_deref(),
        configuration: &configuration,
        keyring: options.keyring,
        deadline: config.cache.deadline,
        command: command(&rule.host.to_string(), options.organization.as_deref(), flags, world),
    };
    if options.keyring && !keyring::is_there(world) {
        return Err(Error::new("there is no keyring that answers")
            .hint("leave out --keyring: the key is kept in a file then"));
    }
    let record = Record::beside(&configuration, world);
    let _turn = Cache::open(world, &config.cache, None).turn(Turn::Register(&configuration))?;
    if options.new {
        unfinished::give_up(&record, &target, world, output)?;
    }
    let app = match unfinished::of_target(&record, &target, flags, world)? {
        Some(Left::App(app)) => {
            output.line(&format!(
                "an earlier run made App {}; this one goes on with it (--new makes another App)",
                app.slug
            ))?;
            app
        }
        Some(Left::Key(app, key)) => {
            output.line(&format!(
                "an earlier run made App {}; this one goes on with it (--new makes another App)",
                app.slug
            ))?;
            exchange::keep(&target, app, &key, &record, world)?
        }
        Some(Left::Code(code)) => {
            output.line("an earlier run did not get the App's key; this one goes on with it")?;
            exchange::exchange(&target, &code, &record, world)?.0
        }
        None => make(options, &target, &record, world, output)?,
    };
    output.line(&format!("the private key of App {} is kept: {}", app.slug, app.private_key))?;
    output.line(&format!("should this end before it is done, go on from here with: {}", target.command))?;
    let flags = with_app(flags, &app.id, &app.private_key);
    wait_until_known(&app, &target, &flags, world)?;
    setup::setup(setup::Options::of_new_app(options.yes), &flags, world, stdin, output)?;
    record.forget()
}

/// What a person types to go on.
fn command(host: &str, organization: Option<&str>, flags: &Flags, world: &World<'_>) -> String {
    let host = Some(host).filter(|host| **host != *Host::github().to_string());
    let host = host.map(|host| format!(" --host {}", in_shell(host)));
    let organization = organization.map(|name| format!(" --organization {}", in_shell(name)));
    let file = flags.config_file(&world.variables);
    let file = file.map(|file| format!(" --config {}", path_in_shell(&file)));
    let all = [host, organization, file].into_iter().flatten().collect::<String>();
    format!("{} register{all}", setup::typed_program(world))
}

/// What a browser asks for, and the code in that, for who knows the state: whatever the bytes are.
pub(crate) fn heard(request: &[u8], port: u16, state: &str) -> Option<(String, Option<Secret>)> {
    let target = listener::target(request, port).ok()?;
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let code = dialogue::code(query, &Secret::new(state.to_owned())).ok();
    Some((target, code))
}

/// The flags for an App and its key.
fn with_app(flags: &Flags, id: &str, key: &str) -> Flags {
    let mut flags = flags.clone();
    flags.replace("app-id", vec![id.to_owned()]);
    flags.replace("private-key", vec![key.to_owned()]);
    flags
}

/// Lets a person make the App on GitHub's pages.
fn make(
    options: &Options,
    target: &Target<'_>,
    record: &Record,
    world: &World<'_>,
    output: &mut Output<'_>,
) -> Result<App> {
    // What can be known to fail fails before there is an App.
    setup::check_configuration(target.configuration, world)?;
    record.check(target)?;
    exchange::registry(target, world)?.check()?;
    let (code, client) =
        Dialogue::new(Manifest::new(options, target.host), options.port)?.hold(options, world, output)?;
    match exchange::exchange(target, &code, record, world) {
        Ok((app, info)) => {
            let page = Some(info.install_page())
                .filter(|page| page.starts_with(&format!("https://{}/", target.host)));
            page::lead(client, &page.unwrap_or_else(|| target.settings_page()));
            output.line(&format!("App {}{} was made", app.slug, info.of_owner()))?;
            Ok(app)
        }
        Err(why) => {
            page::trouble(client, 502, &why);
            Err(why)
        }
    }
}

/// Waits until GitHub takes the App's JWT: its servers do not know a new App and its key at once.
fn wait_until_known(app: &App, target: &Target<'_>, flags: &Flags, world: &World<'_>) -> Result<()> {
    let config = Config::load_without_files(flags, world)?;
    let Some(rule) = config.rules.last() else { return Err(super::nothing_configured()) };
    let began = Instant::now();
    loop {
        let (why, patience) = match TokenSource::new(rule, &config, world).github()?.standing()? {
            Standing::Ready => return Ok(()),
            Standing::NoKey => {
                let what = format!("{} does not know the key of App {} yet", rule.host, app.slug);
                (Error::new(what).hint(format!("go on in a minute: {}", target.command)), UNTIL_KEY)
            }
            Standing::Unknown => {
                let what = format!("there is no App {} on {}", app.slug, rule.host);
                (Error::new(what).hint(format!("make another one: {} --new", target.command)), UNTIL_APP)
            }
        };
        let left = patience.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(why);
        }
        world.tell_waiting(began.elapsed(), || format!("{why}, waiting for {} s more", left.as_secs()));
        thread::sleep(PAUSE);
    }
}
