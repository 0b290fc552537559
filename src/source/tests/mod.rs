//! Histories: two machines share a cache folder, clocks are set, processes die, GitHub fails and lies, and after each step
//! the promises hold.
//!
//! The program's own code runs from [`TokenSource`] down to the bytes of HTTP. A process that dies is unwound at a line of
//! its trace or at a request; what it would have tidied up is put back.

mod checks;
mod history;
mod servers;
mod steps;

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::app::Identity;
use crate::app::key::{KeySource, KeyText, Signer};
use crate::cache;
use crate::config::Config;
use crate::error::Result;
use crate::world::{Folders, World};
use history::History;
use steps::{Asking, Random, Step};

const BEGIN: i64 = 2_000_000_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// Whose Apps answer for what: one for every owner, and one whose tokens are for single repositories.
const OF_EVERYBODY: &str = "one";
const OF_GAMMA: &str = "two";
const PLACES: [&str; 7] = ["acme/w1", "acme/w2", "beta/b1", "beta/b2", "gamma/g1", "gamma/g2", "acme"];
const INSTALLATIONS: [(&str, &str); 3] =
    [(OF_EVERYBODY, "acme"), (OF_EVERYBODY, "beta"), (OF_GAMMA, "gamma")];

fn owner_of(place: &str) -> &str {
    place.split('/').next().unwrap()
}

fn installation_at(place: &str) -> (&'static str, &'static str) {
    *INSTALLATIONS.iter().find(|(_, owner)| *owner == owner_of(place)).unwrap()
}

/// Signs at once, where RSA would take nearly all of the time. The servers here do not look at the signature.
#[derive(Debug)]
struct CheapKey(String);

impl KeySource for CheapKey {
    fn read(&self, _: &World<'_>) -> Result<KeyText> {
        Ok(KeyText::new(Zeroizing::new(self.0.as_bytes().to_vec())))
    }

    fn signer(&self, _: &KeyText) -> Result<Box<dyn Signer>> {
        Ok(Box::new(Self(self.0.clone())))
    }

    fn describe(&self) -> String {
        self.0.clone()
    }

    fn short(&self) -> String {
        self.0.clone()
    }

    fn setting(&self) -> Option<String> {
        None
    }
}

impl Signer for CheapKey {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>> {
        Ok(self.0.as_bytes().to_vec())
    }
}

fn config() -> &'static Config {
    thread_local! {
        static CONFIG: &'static Config = {
            let text = format!(
                "[[app]]\nid = '{OF_EVERYBODY}'\nprivate-key = 'one.pem'\n[[app]]\nid = '{OF_GAMMA}'\nprivate-key = 'two.pem'\n\
                 owners = ['gamma']\nscope = 'repository'\n"
            );
            let mut config = Config::of_file(&text, Path::new("/config.toml"), &Folders::default()).unwrap();
            for rule in &mut config.rules {
                rule.identity = Identity::Keys(vec![Rc::new(CheapKey(rule.app_id.clone()))]);
            }
            config.cache.store = cache::StoreKind::parse("file").unwrap();
            // Shorter than the first pause, so that nothing is waited for.
            config.cache.deadline = Duration::from_millis(100);
            Box::leak(Box::new(config))
        };
    }
    CONFIG.with(|config| *config)
}

/// Plays a history. An error says which promise does not hold, and after how many steps.
fn play(steps: &[Step]) -> Result<(), (usize, String)> {
    let history = History::new(config());
    for (number, step) in steps.iter().enumerate() {
        history.step(step).map_err(|why| (number + 1, why))?;
    }
    history.settle().and_then(|()| history.grow_old()).map_err(|why| (steps.len(), why))
}

/// The history without what does not matter for its failure.
fn shortened(mut steps: Vec<Step>) -> (Vec<Step>, String) {
    let (mut length, mut why) = play(&steps).unwrap_err();
    steps.truncate(length);
    loop {
        let mut candidates: Vec<Vec<Step>> = (0..steps.len())
            .map(|left_out| {
                let mut fewer = steps.clone();
                fewer.remove(left_out);
                fewer
            })
            .collect();
        for (number, step) in steps.iter().enumerate() {
            if let Step::Get(asking) | Step::RefuseWithState(asking) = step
                && (asking.dies.is_some() || asking.meanwhile.is_some())
            {
                let mut simpler = steps.clone();
                simpler[number] = Step::Get(Asking { dies: None, meanwhile: None, ..asking.clone() });
                candidates.push(simpler);
            }
        }
        let shorter = candidates.into_iter().find_map(|it| play(&it).err().map(|failed| (it, failed)));
        let Some((it, failed)) = shorter else { return (steps, why) };
        (length, why) = failed;
        steps = it;
        steps.truncate(length);
    }
}

/// Plays the histories of some seeds, and tells of the first that fails.
fn play_seeds(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        let steps = Random::history(seed);
        if play(&steps).is_err() {
            let (steps, why) = shortened(steps);
            let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
            panic!("GHAPP_TESTS_HISTORY={seed}: {why}, after\n{}", steps.join("\n"));
        }
    }
}

/// `GHAPP_TESTS_HISTORIES` says how many, `GHAPP_TESTS_HISTORY` which one.
#[test]
fn the_promises_hold_in_random_histories() {
    #[expect(clippy::disallowed_methods, reason = "whoever tests says how long")]
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("GHAPP_TESTS_HISTORY") {
        return play_seeds(std::iter::once(seed));
    }
    let count = number("GHAPP_TESTS_HISTORIES").unwrap_or(250);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn(move || play_seeds((worker as u64..count).step_by(workers)));
        }
    });
}
