//! A machine where nothing is set up yet, and `setup`.

use std::path::PathBuf;

use github_simulator::ACME_KEY;

use super::{ACME_APP, Ran, TestEnv};

/// A machine with git and a key, where nothing else is set up.
pub struct Fresh {
    pub env: TestEnv,
    pub key: PathBuf,
}

impl Fresh {
    pub fn new() -> Self {
        let env = TestEnv::fresh();
        let key = env.write_private("home/acme.pem", ACME_KEY);
        Self { env, key }
    }

    /// `setup` for the App of acme, with more arguments.
    pub fn setup(&self, more: &[&str]) -> Ran {
        let key = self.key.to_str().unwrap();
        let arguments = ["setup", "--app-id", ACME_APP, "--private-key", key];
        self.env.helper(arguments.iter().chain(more).copied(), "")
    }

    pub fn undo(&self) -> Ran {
        self.env.helper(["setup", "--undo"], "")
    }

    pub fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.env.home().join(name)).ok()
    }

    pub fn config(&self) -> Option<String> {
        self.text(TestEnv::CONFIG)
    }

    /// A file beside the configuration.
    pub fn beside(&self, name: &str) -> PathBuf {
        let folder = self.env.home().join(TestEnv::CONFIG).parent().unwrap().to_owned();
        if name.is_empty() { folder } else { folder.join(name) }
    }

    pub fn gitconfig(&self) -> Option<String> {
        self.text(".gitconfig")
    }

    pub fn git_values(&self, key: &str) -> Vec<String> {
        let said = self.env.git(["config", "--global", "--get-all", key]).stdout;
        said.split_terminator('\n').map(str::to_owned).collect()
    }
}

#[track_caller]
pub fn refused(ran: &Ran, message: &str, hint: &str) {
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    // What came before were warnings.
    let error = ran.stderr.find("git-credential-ghapp: error: ").unwrap_or_else(|| panic!("{ran:#?}"));
    let (first, second) =
        ran.stderr[error..].trim_end().split_once('\n').unwrap_or_else(|| panic!("{ran:#?}"));
    assert!(first.starts_with("git-credential-ghapp: error: ") && first.contains(message), "{ran:#?}");
    assert!(second.starts_with("git-credential-ghapp: hint: ") && second.contains(hint), "{ran:#?}");
}
