//! Every command in the documentation is run, as it stands there, against the simulator.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a page that cannot be read is a failure")]

mod common;

use common::{ACME_APP, Ran, TestEnv, has, note, run, skip};
use github_simulator::{ACME_KEY, GLOBEX_KEY, ROGUE_KEY};

/// The blocks of a page in one language, without their indentation.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut inside: Option<(usize, String)> = None;
    for line in page.lines() {
        let indent = line.len() - line.trim_start().len();
        match &mut inside {
            None if line.trim() == format!("```{language}") => inside = Some((indent, String::new())),
            Some(_) if line.trim() == "```" => blocks.extend(inside.take().map(|(_, text)| text)),
            Some((indent, text)) => {
                text.push_str(line.get(*indent..).unwrap_or_default());
                text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

/// A machine as the pages assume it: git, the keys of two Apps, and repositories that tools can use.
fn machine() -> TestEnv {
    let env = TestEnv::fresh();
    for (name, key) in [("acme.pem", ACME_KEY), ("globex.pem", GLOBEX_KEY)] {
        env.write_private(&format!("home/{name}"), key);
    }
    {
        let mut world = env.github.world();
        world.add_repository("acme", "crate", &[
            ("Cargo.toml", "[package]\nname = 'widget'\nversion = '0.1.0'\nedition = '2021'\n[lib]\npath = 'widget.rs'\n"),
            ("widget.rs", "pub fn widget() {}\n"),
        ]);
        world.add_repository(
            "acme",
            "golib",
            &[("go.mod", "module github.com/acme/golib\n\ngo 1.19\n"), ("golib.go", "package golib\n")],
        );
        world.add_repository(
            "acme",
            "jslib",
            &[("package.json", "{\"name\": \"jslib\", \"version\": \"1.0.0\"}\n")],
        );
        // A build backend of its own, which needs nothing from a package index.
        let backend = "import zipfile\n\
            def build_wheel(folder, settings=None, metadata=None):\n    \
                name = 'pylib-1.0-py3-none-any.whl'\n    \
                with zipfile.ZipFile(folder + '/' + name, 'w') as wheel:\n        \
                    wheel.writestr('pylib.py', 'widget = 42\\n')\n        \
                    wheel.writestr('pylib-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: pylib\\nVersion: 1.0\\n')\n        \
                    wheel.writestr('pylib-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n        \
                    wheel.writestr('pylib-1.0.dist-info/RECORD', '')\n    \
                return name\n";
        world.add_repository(
            "acme",
            "pylib",
            &[
                ("backend.py", backend),
                (
                    "pyproject.toml",
                    "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
                ),
            ],
        );
    }
    // Where install.sh puts the program.
    let program =
        env.install(env!("CARGO_BIN_EXE_git-credential-ghapp"), "home/.local/bin/git-credential-ghapp");
    let path = format!("{}:{}", program.parent().unwrap().display(), common::variable("PATH").unwrap());
    let own = env.home().join("pip").display().to_string();
    let (proxy, ca) = (env.github.proxy().to_owned(), env.github.ca_file().display().to_string());
    env.with("HTTP_PROXY", &proxy)
        .with("PATH", path)
        .with("SSL_CERT_FILE", &ca)
        .with("CURL_CA_BUNDLE", &ca)
        .with("npm_config_cafile", &ca)
        .with("GH_NO_UPDATE_NOTIFIER", "1")
        .with("npm_config_update_notifier", "false")
        .with("npm_config_fund", "false")
        .with("npm_config_audit", "false")
        .with("PIP_TARGET", own)
        .with("PIP_BREAK_SYSTEM_PACKAGES", "1")
        .with("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .with("GOFLAGS", "-mod=mod -modcacherw")
        .with("GOTOOLCHAIN", "local")
}

/// Runs all commands of a page in one shell, and says which failed.
fn follow(env: &TestEnv, page: &str, blocks: &[String]) {
    let script = blocks.join("\n");
    let mut shell = env.command("bash");
    // The toolchain is the machine's.
    let toolchains = common::variable("RUSTUP_HOME")
        .or_else(|| common::variable("HOME").map(|home| format!("{home}/.rustup")));
    shell.envs(toolchains.map(|folder| ("RUSTUP_HOME", folder)));
    shell.envs(common::variable("PYENV_VERSION").map(|version| ("PYENV_VERSION", version)));
    shell.env("CARGO_HOME", env.home().join("cargo"));
    shell.args(["-xeuo", "pipefail", "-c", &script]);
    let Ran { code, stdout, stderr } = run(&mut shell, b"");
    // git's own cache stays for an hour, if nobody ends it.
    run(env.command("git").args(["credential-cache", "exit"]), b"");
    assert_eq!(code, Some(0), "{page}\n{stdout}\n{stderr}");
}

/// Follows a page. Blocks that need a tool which is not there are left out.
fn page(name: &str) {
    let env = machine();
    let text = std::fs::read_to_string(format!("docs/{name}")).unwrap();
    let all = blocks(&text, "sh");
    assert!(!all.is_empty());
    let tools = ["gh", "git-lfs", "cargo", "go", "pip", "npm", "uv", "curl", "redis-server", "bwrap"];
    let needed = |block: &str, tool: &str| match tool {
        "git-lfs" => block.contains("git lfs"),
        _ => block.lines().any(|line| {
            line.trim_start().starts_with(&format!("{tool} ")) || line.contains(&format!(" {tool} api"))
        }),
    };
    let blocks: Vec<String> = all
        .iter()
        .filter(|block| match tools.iter().find(|tool| needed(block, tool) && !has(tool)) {
            Some(tool) => {
                let why = format!("{tool} is not installed");
                // Other ecosystems are heavy, and not everywhere to be had.
                if ["go", "pip", "npm", "uv"].contains(tool) {
                    note(&why)
                } else {
                    skip(&why)
                }
                false
            }
            None => true,
        })
        .cloned()
        .collect();
    follow(&env, name, &blocks);
    // What is shown in a workflow is one of the commands that were run.
    let run_here = all.join("\n");
    for workflow in self::blocks(&text, "yaml") {
        for line in workflow.lines() {
            let command = line.trim_start().trim_start_matches("- ").trim_start_matches("run: ").trim();
            if command.starts_with("git ") || command.starts_with("git-credential-ghapp ") {
                assert!(run_here.contains(command), "{name}: {command:?} is shown, but not run");
            }
        }
    }
}

#[test]
fn containers_and_ci() {
    page("containers-and-ci.md");
}

#[test]
fn fleets() {
    page("fleets.md");
}

#[test]
fn coding_agents() {
    page("coding-agents.md");
}

#[test]
fn several_apps() {
    page("several-apps.md");
}

#[test]
fn key_rotation() {
    let name = "key-rotation.md";
    let env = machine();
    env.helper(["setup", "--app-id", ACME_APP, "--private-key", "acme.pem", "--move-key", "folder"], "").ok();
    env.github.world().add_key(101, ROGUE_KEY);
    env.write_private("home/new.pem", ROGUE_KEY);
    let text = std::fs::read_to_string(format!("docs/{name}")).unwrap();
    let script = blocks(&text, "sh").join("\n");
    let told = run(env.command("sh").args(["-ec", &script]), b"").ok();
    // What it prints, and what is to be done then.
    let shown = blocks(&text, "text").join("\n");
    let parts: Vec<&str> = shown.trim().split('…').collect();
    let line = told.lines().find(|line| parts.iter().all(|part| line.contains(part)));
    let command = line.and_then(|line| line.split("then: ").nth(1)).unwrap_or_else(|| panic!("{told}"));
    env.github.world().delete_key(101, ACME_KEY);
    assert!(run(env.command("sh").args(["-ec", command]), b"").ok().contains("is removed"), "{command}");
}

#[test]
fn ecosystem() {
    page("ecosystem.md");
}

#[test]
fn moving() {
    page("moving.md");
}

#[test]
fn every_page_is_followed_and_linked() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    for entry in std::fs::read_dir("docs").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let tests = std::fs::read_to_string("tests/docs.rs").unwrap();
        let text = std::fs::read_to_string(format!("docs/{name}")).unwrap_or_default();
        if name.ends_with(".md") {
            assert!(readme.contains(&format!("docs/{name}")), "the README does not lead to {name}");
            assert!(blocks(&text, "sh").is_empty() || tests.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
