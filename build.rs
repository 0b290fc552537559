//! Tells the program which commit it is built from, for `--version`, and the linker what to keep together.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a build script reads the environment")]

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
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let linker = variable("RUSTC_LINKER") + &variable("CARGO_ENCODED_RUSTFLAGS");
    if variable("PROFILE") == "release"
        && variable("CARGO_CFG_TARGET_OS") == "linux"
        && takes_scripts(&linker)
    {
        // What a warm `get` runs lies together, so that a tenth of the program is loaded and not half of it.
        let layout = std::path::Path::new(&variable("CARGO_MANIFEST_DIR")).join("src/warm.ld");
        println!("cargo::rustc-link-arg-bins=-T\ncargo::rustc-link-arg-bins={}", layout.display());
        println!("cargo::rerun-if-changed=src/warm.ld");
    }
    let native = variable("HOST") == variable("TARGET") && variable("TARGET").ends_with("-linux-gnu");
    if native && has_static_unwinder() {
        // One shared library less to find, map and relocate before every `get`. It is gcc's unwinder, which a
        // program that aborts on panics does not call.
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Whether the linker is one that takes a script which adds to its own, as GNU ld and lld do, and others do not.
fn takes_scripts(flags: &str) -> bool {
    let others = ["gold", "mold", "wild"];
    !others.iter().any(|other| flags.contains(other))
}

/// Whether the compiler that links has gcc's unwinder as a static library; clang alone has not.
fn has_static_unwinder() -> bool {
    let said = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    said.is_ok_and(|said| std::path::Path::new(String::from_utf8_lossy(&said.stdout).trim()).is_absolute())
}
