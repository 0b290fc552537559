//! Tells the program which commit it is built from, for `--version`, and the linker what to keep together.

#![allow(missing_docs, clippy::disallowed_methods, reason = "a build script reads the environment")]

use std::path::Path;
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
    if variable("PROFILE") == "release" && variable("CARGO_CFG_TARGET_OS") == "linux" {
        // What a warm `get` runs lies together, so that a tenth of the program is loaded and not half of it.
        let layout = Path::new(&variable("CARGO_MANIFEST_DIR")).join("src/warm.ld");
        if takes_script(&layout, &variable("RUSTC_LINKER"), &variable("CARGO_ENCODED_RUSTFLAGS")) {
            println!("cargo::rustc-link-arg-bins=-T\ncargo::rustc-link-arg-bins={}", layout.display());
        }
        println!("cargo::rerun-if-changed=src/warm.ld");
    }
    let native = variable("HOST") == variable("TARGET") && variable("TARGET").ends_with("-linux-gnu");
    if native && has_static_unwinder() {
        // One shared library less to find, map and relocate before every `get`. It is gcc's unwinder, which a
        // program that aborts on panics does not call.
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Whether the linker takes a script that adds to its own, as GNU ld and lld do. Others are as good without.
fn takes_script(script: &Path, linker: &str, flags: &str) -> bool {
    let driver = if linker.is_empty() { "cc" } else { linker };
    let trial = Path::new(&std::env::var_os("OUT_DIR").unwrap_or_default()).join("trial");
    // As in `-C link-arg=-fuse-ld=mold`.
    let chosen = flags.split('\x1f').filter_map(|flag| Some(&flag[flag.find("-fuse-ld=")?..]));
    let mut link = Command::new(driver);
    link.args(["-nostdlib", "-shared", "-x", "c", "/dev/null", "-x", "none"]).args(chosen);
    link.arg("-T").arg(script).arg("-o").arg(trial);
    link.output().is_ok_and(|said| said.status.success())
}

/// Whether the compiler that links has gcc's unwinder as a static library; clang alone has not.
fn has_static_unwinder() -> bool {
    let said = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    said.is_ok_and(|said| Path::new(String::from_utf8_lossy(&said.stdout).trim()).is_absolute())
}
