//! The GitHub Action gets the program of its own release, and nothing else.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::job::{Job, MACHINE, PROGRAM, Step};
use common::{ACME_APP, run};
use github_simulator::{ACME_KEY, Effect};
use ring::digest::{SHA256, digest};

const FILE: &str = "GET /{owner}/{repo}/releases/download/{tag}/{file}";

/// An Action of a release, as its tag has it, and the archive of that release for this machine.
struct Release {
    job: Job,
    action: PathBuf,
    archive: Vec<u8>,
}

impl Release {
    /// `None` where there is no node.
    fn new() -> Option<Self> {
        let job = Job::new()?;
        let vendor = if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-musl" };
        let name = format!(
            "git-credential-ghapp-v{}-{}-{vendor}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::ARCH
        );
        job.env.write(&format!("{name}/git-credential-ghapp"), format!("#!/bin/sh\nexec {PROGRAM} \"$@\"\n"));
        let mut tar = job.env.command("tar");
        let archive = job.env.folder.path().join("archive");
        run(tar.args(["-czf", "archive", &name]).current_dir(job.env.folder.path()), b"").ok();
        let archive = fs::read(archive).unwrap();
        for file in fs::read_dir("action").unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_name().unwrap().to_str().unwrap();
            job.env.write(&format!("action/{name}"), fs::read(&file).unwrap());
        }
        let action = job.env.folder.path().join("action");
        let release = Self { job, action, archive };
        release.has(&format!("{name}.tar.gz"), &hex(&release.archive));
        Some(release)
    }

    /// The Action has this checksum and no other, as the release writes it.
    fn has(&self, file: &str, hex: &str) {
        let script = Path::new(".ci/action-release").canonicalize().unwrap();
        let written = run(&mut self.job.env.command(script), format!("{hex}  {file}\n").as_bytes()).ok();
        self.job.env.write("action/release.json", written);
    }

    /// The places of the files answer: first with a way on, as GitHub's do.
    fn serve(&self, body: &[u8]) {
        let elsewhere = "https://release-assets.githubusercontent.com/acme/ghapp/releases/download/v1.2.3/x";
        let header = ("Location".to_owned(), elsewhere.to_owned());
        self.job.env.fault(FILE, 1, Effect::Answer(302, vec![header], Vec::new()));
        self.job.env.fault(FILE, 1, Effect::Answer(200, Vec::new(), body.to_vec()));
    }

    fn step(&mut self) -> Step {
        self.job.step_of(&self.action, &[("app-id", ACME_APP), ("private-key", ACME_KEY)])
    }

    #[track_caller]
    fn assert_fails(&mut self, cause: &str, hint: &str) {
        let step = self.step();
        self.job.assert_fails(&step, cause, hint);
    }
}

fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|it| format!("{it:02x}")).collect()
}

#[test]
fn the_program_of_the_release_comes_through_the_proxy_and_is_used() {
    let Some(mut release) = Release::new() else { return };
    release.serve(&release.archive);
    let step = release.step();
    assert_eq!((step.ran.code, step.ran.stderr.as_str()), (Some(0), ""), "{:?}", step.ran);
    let job = &mut release.job;
    job.sh(&format!("git clone --quiet --recurse-submodules {MACHINE}; git-credential-ghapp token acme"))
        .ok();
    let of_release = |line: &&String| line.contains("/releases/download/");
    let asked: Vec<String> = job.env.github.log().iter().filter(of_release).cloned().collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.iter().all(|line| line.contains("[-]")), "no credential goes there: {asked:?}");
    job.post(&step);
    assert_eq!(job.left().len(), 0);
}

#[test]
fn what_is_not_what_was_released_is_neither_unpacked_nor_run() {
    let Some(mut release) = Release::new() else { return };
    let mut changed = release.archive.clone();
    changed.push(0);
    release.serve(&changed);
    release.assert_fails("is not what was released: its SHA-256 is", "do not use it");
}

#[test]
fn a_download_that_fails_is_one_line() {
    let Some(mut release) = Release::new() else { return };
    release.job.env.fault(FILE, 1, Effect::Answer(404, Vec::new(), Vec::new()));
    release.assert_fails("The requested URL returned error: 404", "HTTPS_PROXY");
    // A way on that leaves TLS is not taken.
    let header = ("Location".to_owned(), "http://127.0.0.1:9/x".to_owned());
    release.job.env.fault(FILE, 1, Effect::Answer(302, vec![header], Vec::new()));
    release.assert_fails("Protocol \"http\" ", "HTTPS_PROXY");
    // A proxy that is not there.
    let Some(mut release) = Release::new() else { return };
    release.job.env = release.job.env.with("HTTPS_PROXY", "http://127.0.0.1:1");
    release.assert_fails("cannot download https://github.com/", "HTTPS_PROXY");
}

#[test]
fn a_platform_without_a_build_and_a_runner_without_curl_are_one_line() {
    let Some(mut release) = Release::new() else { return };
    let tools = release.job.env.folder.path().join("tools");
    fs::create_dir(&tools).unwrap();
    for tool in ["node", "git", "sh", "tar"] {
        let path = run(release.job.command("sh").args(["-c", &format!("command -v {tool}")]), b"").ok();
        std::os::unix::fs::symlink(path.trim(), tools.join(tool)).unwrap();
    }
    let usual = std::mem::replace(&mut release.job.path, tools.display().to_string());
    release.assert_fails("curl is not there", "install curl");
    release.job.path = usual;
    release.has("git-credential-ghapp-v1.2.3-riscv64gc-unknown-linux-musl.tar.gz", &"0".repeat(64));
    release.assert_fails("there is no build of git-credential-ghapp for", "build it from source");
}

#[test]
fn an_archive_without_the_program_leaves_nothing() {
    let Some(mut release) = Release::new() else { return };
    let text = fs::read_to_string(release.action.join("release.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let name = json["sha256"].as_object().unwrap().keys().next().unwrap().clone();
    release.has(&name, &hex(b"no archive"));
    release.serve(b"no archive");
    release.assert_fails(&format!("cannot unpack {name}"), "");
}
