//! What happens in a history.

use super::servers::RateLimit;
use super::{BEGIN, DAY, HOUR, MINUTE, PLACES, YEAR, owner_of};

/// What happens next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// git asks.
    Get(Asking),
    /// git asks, tries the token, and says how that went; if it was refused, git asks again.
    Work {
        machine: usize,
        place: usize,
    },
    /// git's server refuses the latest token that a machine had for a place, valid or not.
    Refuse {
        machine: usize,
        place: usize,
        dies: Option<u32>,
    },
    /// The same again and again, as git-lfs does.
    RefuseAll {
        machine: usize,
        place: usize,
    },
    /// The same once, and git comes back with its fingerprint.
    RefuseWithState(Asking),
    Store {
        machine: usize,
        place: usize,
    },
    Logout {
        machine: usize,
        all: bool,
        dies: Option<u32>,
    },
    Pass(i64),
    /// A machine's clock is set to so many seconds ahead of the truth.
    SetClock {
        machine: usize,
        ahead: i64,
    },
    Revoke {
        installation: usize,
    },
    Uninstall {
        installation: usize,
    },
    Install {
        installation: usize,
    },
    Cover {
        place: usize,
        covered: bool,
    },
    Lifetime(i64),
    Fault(Fault),
    Heal,
}

#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) machine: usize,
    pub(super) place: usize,
    /// At which of its file operations and requests the process dies.
    pub(super) dies: Option<u32>,
    /// What another process does while this one talks to GitHub: at its first request, or a later one.
    pub(super) meanwhile: Option<(u32, Box<Step>)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    ApiDown { seconds: i64, is_502: bool },
    Limited { requests: u32, limit: RateLimit },
    WrongDates { answers: u32, ahead: i64 },
    WrongExpiries { tokens: u32, ahead: i64 },
    ProbeRefuses { seconds: i64 },
    GitDown { seconds: i64 },
}

/// Numbers that look random and are the same for the same seed. (SplitMix64)
pub(super) struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn dies(&mut self) -> Option<u32> {
        (self.below(5) == 0).then(|| u32::try_from(self.below(16)).unwrap())
    }

    fn asking(&mut self) -> Asking {
        let (machine, place) = (self.below(2), self.below(PLACES.len()));
        let meanwhile = (self.below(6) == 0).then(|| {
            let number = u32::try_from(self.below(8)).unwrap();
            let other = 1 - machine;
            let step = match self.below(6) {
                0 => Step::Refuse { machine: other, place, dies: None },
                1 => Step::Logout { machine: other, all: self.below(2) == 0, dies: None },
                2 => self.set_clock(),
                3 => Step::Revoke { installation: self.below(3) },
                4 => Step::Uninstall { installation: self.below(3) },
                // Of another owner: one of the same would wait for the lock.
                _ => {
                    let places: Vec<usize> = (0..PLACES.len())
                        .filter(|it| owner_of(PLACES[*it]) != owner_of(PLACES[place]))
                        .collect();
                    let place = self.one_of(&places);
                    Step::Get(Asking { machine: other, place, dies: None, meanwhile: None })
                }
            };
            (number, Box::new(step))
        });
        Asking { machine, place, dies: self.dies(), meanwhile }
    }

    fn set_clock(&mut self) -> Step {
        let ahead = self.one_of(&[
            0,
            0,
            0,
            0,
            5,
            -5,
            20,
            45,
            -45,
            5 * MINUTE,
            -5 * MINUTE,
            50 * MINUTE,
            -50 * MINUTE,
            58 * MINUTE,
            2 * HOUR,
            -2 * HOUR,
            DAY - 1,
            -DAY + 1,
            3 * DAY,
            -3 * DAY,
            YEAR,
            -YEAR,
            80 * YEAR,
            -BEGIN - 9 * YEAR,
        ]);
        Step::SetClock { machine: self.below(2), ahead }
    }

    fn step(&mut self) -> Step {
        let (machine, place) = (self.below(2), self.below(PLACES.len()));
        match self.below(40) {
            0..10 => Step::Get(self.asking()),
            10..14 => Step::Work { machine, place },
            14..16 => Step::Refuse { machine, place, dies: self.dies() },
            16 => match self.below(3) {
                0 => Step::RefuseAll { machine, place },
                _ => Step::RefuseWithState(self.asking()),
            },
            17 => Step::Store { machine, place },
            18 => Step::Logout { machine, all: self.below(2) == 0, dies: self.dies() },
            19..25 => Step::Pass(self.one_of(&[
                1,
                5,
                31,
                61,
                200,
                600,
                1800,
                3290,
                3301,
                3500,
                3601,
                4000,
                2 * HOUR,
                DAY,
                3 * DAY,
            ])),
            25..29 => self.set_clock(),
            29 => Step::Revoke { installation: self.below(3) },
            30 => Step::Uninstall { installation: self.below(3) },
            31 => Step::Install { installation: self.below(3) },
            32 => Step::Cover { place, covered: self.below(2) == 0 },
            33 => Step::Lifetime(self.one_of(&[HOUR, HOUR, HOUR, 600, 310, 8 * HOUR])),
            34..38 => Step::Fault(self.fault()),
            _ => Step::Heal,
        }
    }

    fn fault(&mut self) -> Fault {
        const WRONG: [i64; 14] =
            [5, -5, 45, -45, 550, -550, HOUR, -HOUR, 61 * MINUTE, DAY, -2 * DAY, YEAR, -BEGIN, 100 * YEAR];
        let seconds = self.one_of(&[1, 30, 600, 2 * HOUR]);
        match self.below(6) {
            0 => Fault::ApiDown { seconds, is_502: self.below(2) == 0 },
            1 => {
                let time = self.one_of(&[-1, 0, 1, 60, 600, HOUR, DAY, 99_999_999_999, i64::MAX / 2]);
                let limit = match self.below(4) {
                    0 => RateLimit::NoTime,
                    1 => RateLimit::RetryAfter(time),
                    2 => RateLimit::ResetIn(time),
                    _ => RateLimit::Html(time),
                };
                Fault::Limited { requests: self.one_of(&[1, 1, 3]), limit }
            }
            2 => Fault::WrongDates { answers: self.one_of(&[1, 2, 5]), ahead: self.one_of(&WRONG) },
            3 => Fault::WrongExpiries { tokens: self.one_of(&[1, 3]), ahead: self.one_of(&WRONG) },
            4 => Fault::ProbeRefuses { seconds },
            _ => Fault::GitDown { seconds },
        }
    }

    pub(super) fn history(seed: u64) -> Vec<Step> {
        let mut random = Self(seed);
        let length = 4 + random.below(24);
        (0..length).map(|_| random.step()).collect()
    }
}
