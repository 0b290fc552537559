//! A job on a runner of GitHub Actions: steps of this project's Action, run by node, and later steps with what they left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use github_simulator::{ACME_KEY, ROGUE_KEY};

use super::{ACME_APP, Ran, TestEnv, has, run, skip, variable};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_git-credential-ghapp");
pub const MACHINE: &str = "https://github.com/acme/machine";
/// The installation that the job's own token is of, which actions/checkout sends: another App's.
pub const OF_THE_JOB: u64 = 9001;

/// A job on a runner.
pub struct Job {
    pub env: TestEnv,
    /// What steps put into `GITHUB_ENV`, and before `PATH`.
    pub variables: BTreeMap<String, String>,
    pub paths: Vec<String>,
    /// What `PATH` is without that.
    pub path: String,
}

/// A step of the Action.
pub struct Step {
    pub inputs: Vec<(String, String)>,
    pub ran: Ran,
    pub state: BTreeMap<String, String>,
}

impl Job {
    /// `None` where there is no node.
    pub fn new() -> Option<Self> {
        if !has("node") {
            skip("node is not installed");
            return None;
        }
        let env = TestEnv::fresh();
        let ca = env.github.ca_file().display().to_string();
        let env = env.with("CURL_CA_BUNDLE", ca).without("GHAPP_CACHE");
        fs::create_dir_all(env.home().join("work")).unwrap();
        let path = variable("PATH").unwrap();
        let job = Self { env, variables: BTreeMap::new(), paths: Vec::new(), path };
        fs::create_dir_all(job.temp()).unwrap();
        Some(job)
    }

    /// The runner's temporary folder, with what a name can have.
    pub fn temp(&self) -> PathBuf {
        self.env.folder.path().join("the runner's temp")
    }

    /// A command of a later step, in the workspace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.env.command(program);
        let path: Vec<&str> = self.paths.iter().chain([&self.path]).map(String::as_str).collect();
        command.env("PATH", path.join(":")).envs(&self.variables).current_dir(self.env.home().join("work"));
        command
    }

    /// Runs a shell's commands as a later step.
    pub fn sh(&self, script: &str) -> Ran {
        run(self.command("sh").args(["-euc", script]), b"")
    }

    /// Runs a script of the Action in a folder, and obeys the runner's files.
    pub fn node(&mut self, script: &Path, more: &[(String, String)]) -> (Ran, BTreeMap<String, String>) {
        let file = |name: &str| self.env.write(&format!("files/{name}"), "");
        let [variables, path, state] =
            ["GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE"].map(|name| (name, file(name)));
        let mut node = self.command("node");
        node.arg(script).envs([&variables, &path, &state].map(|(name, file)| (*name, file)));
        node.env("RUNNER_TEMP", self.temp());
        node.env("ACTIONS_RUNTIME_TOKEN", "for-actions-only").envs(more.iter().cloned());
        let ran = run(&mut node, b"");
        self.variables.extend(pairs(&variables.1));
        for path in fs::read_to_string(path.1).unwrap().lines() {
            self.paths.insert(0, path.to_owned());
        }
        (ran, pairs(&state.1))
    }

    /// The Action's step.
    pub fn step(&mut self, inputs: &[(&str, &str)]) -> Step {
        self.step_of(Path::new("action"), inputs)
    }

    /// The step of an Action that is in some folder.
    pub fn step_of(&mut self, action: &Path, inputs: &[(&str, &str)]) -> Step {
        let named = inputs
            .iter()
            .map(|(name, value)| (format!("INPUT_{}", name.to_uppercase()), (*value).to_owned()));
        let inputs: Vec<(String, String)> = named.collect();
        let (ran, state) = self.node(&action.canonicalize().unwrap().join("main.mjs"), &inputs);
        Step { inputs, ran, state }
    }

    /// The step with the App `acme-ci` and the program of this build.
    pub fn usual_step(&mut self, more: &[(&str, &str)]) -> Step {
        let usual = [("app-id", ACME_APP), ("private-key", ACME_KEY), ("program", PROGRAM)];
        self.step(&[&usual, more].concat())
    }

    /// The same step's end, after the job.
    pub fn post(&mut self, step: &Step) -> Ran {
        let state = step.state.iter().map(|(name, value)| (format!("STATE_{name}"), value.clone()));
        let more: Vec<_> = step.inputs.iter().cloned().chain(state).collect();
        self.node(&Path::new("action").canonicalize().unwrap().join("post.mjs"), &more).0
    }

    /// What is in the runner's temporary folder.
    pub fn left(&self) -> Vec<PathBuf> {
        fs::read_dir(self.temp()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    pub fn valid_tokens(&self) -> usize {
        self.env.github.world().tokens.iter().filter(|token| !token.revoked).count()
    }

    /// By whom an owner's repositories were asked for, from some request on.
    pub fn askers(&self, owner: &str, from: usize) -> Vec<String> {
        let world = self.env.github.world();
        let path = format!("/{owner}/");
        let of_owner =
            world.requests[from..].iter().filter(|it| it.host == "github.com" && it.path.starts_with(&path));
        let mut askers: Vec<String> = of_owner.map(|it| it.by.clone()).collect();
        askers.sort_unstable();
        askers.dedup();
        askers
    }

    /// Makes what actions/checkout leaves of acme/machine, by its published code (v4.4.0 or v7.0.1): the job's own token in a
    /// header for the whole host.
    pub fn check_out(&self, version: Checkout) {
        let token = {
            let mut world = self.env.github.world();
            world.add_app(15368, "Iv1.actions", "github-actions", ROGUE_KEY);
            world.install(OF_THE_JOB, 15368, "acme");
            world.add_repository("umbrella", "virus", &[("README", "virus\n")]);
            world.issue(OF_THE_JOB)
        };
        let header = format!("AUTHORIZATION: basic {}", STANDARD.encode(format!("x-access-token:{token}")));
        let key = "http.https://github.com/.extraheader";
        let file = self.temp().join("git-credentials-0b8a6c1e.config").display().to_string();
        let configure = match version {
            Checkout::V4 => format!("git config --local {key} '{header}'"),
            Checkout::V7 => format!(
                "git config --file \"$file\" {key} '{header}'\n\
                 git config --local includeIf.gitdir:$PWD/.git.path \"$file\"\n\
                 git config --local 'includeIf.gitdir:'$PWD'/.git/worktrees/*.path' \"$file\"\n\
                 git config --local includeIf.gitdir:/github/workspace/.git.path /github/runner_temp/x.config"
            ),
        };
        let mut sh = self.command("sh");
        sh.env("file", file).args([
            "-euc",
            &format!(
                "git init --quiet\ngit remote add origin {MACHINE}\n{configure}\n\
             git fetch --quiet --depth=1 origin main\ngit checkout --quiet -B main origin/main"
            ),
        ]);
        run(&mut sh, b"").ok();
        assert_eq!(self.askers("acme", 0), [format!("token of installation {OF_THE_JOB}")]);
    }

    /// A step that failed: the one line of its cause and the one hint, and that nothing is left of it.
    #[track_caller]
    pub fn assert_fails(&mut self, step: &Step, cause: &str, hint: &str) {
        let errors: Vec<&str> =
            step.ran.stdout.lines().filter(|line| line.starts_with("::error::")).collect();
        let [error] = errors.as_slice() else { panic!("{:#?}", step.ran) };
        let (told, advice) =
            error.trim_start_matches("::error::").split_once("%0Ahint: ").unwrap_or((error, ""));
        assert!(told.contains(cause) && advice.contains(hint), "{error}");
        assert_eq!((step.ran.code, step.ran.stderr.as_str()), (Some(1), ""));
        assert_eq!(
            (self.left().len(), self.variables.len(), self.paths.len()),
            (0, 0, 0),
            "{:?}",
            self.left()
        );
        assert_eq!(self.valid_tokens(), 0);
        let post = self.post(step);
        assert_eq!((post.code, post.stdout.as_str(), post.stderr.as_str()), (Some(0), "", ""));
    }
}

/// Which actions/checkout.
#[derive(Clone, Copy)]
pub enum Checkout {
    /// It writes the header into the repository's configuration.
    V4,
    /// It writes the header into a file that the repository's configuration includes.
    V7,
}

/// The names and values of one of the runner's files.
/// <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>
pub fn pairs(file: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(file).unwrap();
    let mut lines = text.lines();
    let mut pairs = BTreeMap::new();
    while let Some(line) = lines.next() {
        let (name, end) = line.split_once("<<").unwrap();
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
        pairs.insert(name.to_owned(), value.join("\n"));
    }
    pairs
}

/// The secrets that a step has masked.
pub fn masked(ran: &Ran) -> Vec<&str> {
    ran.stdout.lines().filter_map(|line| line.strip_prefix("::add-mask::")).collect()
}
