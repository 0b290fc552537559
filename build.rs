//! Tells the program which commit it is built from, for `--version`.

use std::process::Command;

fn main() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|it| it.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    // A source archive has no repository, and must not be taken for a part of one that it happens to lie in.
    let here = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
    let commit = here.then(|| git(&["log", "-1", "--format=%h %cs", "--abbrev=10"])).flatten();
    let text = commit.map_or_else(String::new, |commit| format!(" ({commit})"));
    println!("cargo::rustc-env=GHAPP_COMMIT={text}");
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|_| here) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}
