//! What a warm `get` costs in numbers that do not depend on load.

use std::fmt::Write as _;

use crate::Bench;

impl Bench {
    /// What does not depend on load, one line each.
    pub(crate) fn counts(&self) -> String {
        let mut text = String::new();
        for (name, subject) in [
            ("empty", self.empty.clone()),
            ("keyring", self.glibc.with("GHAPP_CACHE", "keyring")),
            ("file", self.glibc.with("GHAPP_CACHE", "file")),
        ] {
            if name != "empty" {
                assert!(subject.answers(), "{name}");
            }
            let shown = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
            writeln!(
                text,
                "{name}: instructions {}, system calls {}",
                shown(subject.instructions()),
                shown(subject.calls())
            )
            .unwrap();
        }
        text
    }
}

/// How much dearer than committed a warm `get` may be: a part of what it costs above an empty process, and a few calls
/// more or less where that is little.
const MARGIN: f64 = 0.10;
const LITTLE: f64 = 2.0;

/// Fails where a warm `get` became dearer than `benches/cost/counts.txt` says.
pub(crate) fn check() {
    let counted = Bench::new().counts();
    print!("{counted}");
    let committed = include_str!("counts.txt");
    let number = |text: &str, name: &str, what: &str| -> Option<f64> {
        let line = text.lines().find(|line| line.starts_with(&format!("{name}: ")))?;
        line.split(&format!("{what} ")).nth(1)?.split(',').next()?.trim().parse().ok()
    };
    let mut dearer = Vec::new();
    for what in ["instructions", "system calls"] {
        for name in ["keyring", "file"] {
            // Above an empty process, which differs between machines and toolchains.
            let above = |text: &str| Some(number(text, name, what)? - number(text, "empty", what)?);
            match (above(&counted), above(committed)) {
                (Some(now), Some(then)) if now > then + (then.abs() * MARGIN).max(LITTLE) => {
                    dearer.push(format!("{name}: {what} {now} above an empty process, was {then}"))
                }
                (Some(_), Some(_)) => {}
                _ => println!("skipped: {what} of {name} cannot be counted here"),
            }
        }
    }
    assert!(dearer.is_empty(), "a warm get became dearer: {dearer:?}");
}
