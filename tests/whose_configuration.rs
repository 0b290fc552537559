//! Whose configuration is obeyed: not that of the folder that git happens to run in, and not one that somebody else wrote.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use common::{ACME_APP, REQUEST, Ran, TestEnv, run, skip};
use github_simulator::ACME_KEY;

/// A rule whose command leaves a trace.
fn evil(env: &TestEnv) -> String {
    format!("[[app]]\ntoken-command = ['touch', '{}']\n", env.folder.path().join("ran").display())
}

fn is_obeyed(env: &TestEnv) -> bool {
    env.folder.path().join("ran").exists()
}

/// The helper in the folder of a repository that somebody else filled.
fn in_repository(env: &TestEnv, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    command.args(arguments).envs(variables.iter().copied()).current_dir(env.home().join("repository"));
    run(&mut command, format!("{REQUEST}password=ghs_x\n").as_bytes())
}

#[test]
fn git_does_not_let_a_repository_bring_the_configuration() {
    let env = TestEnv::bare();
    for file in ["ghapp.toml", TestEnv::CONFIG, "git-credential-ghapp/config.toml"] {
        env.write(&format!("home/repository/{file}"), evil(&env));
    }
    for operation in ["get", "store", "erase"] {
        for (arguments, variables) in [
            (&["--config", "ghapp.toml", operation][..], &[][..]),
            (&[operation], &[("GHAPP_CONFIG", "ghapp.toml")]),
        ] {
            let refused = in_repository(&env, arguments, variables);
            assert!(!is_obeyed(&env), "{refused:?}");
            assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
            assert_eq!(
                refused.stderr,
                "git-credential-ghapp: error: the configuration \"ghapp.toml\" is relative to whatever folder git \
                 runs in\ngit-credential-ghapp: hint: write its whole path in --config or GHAPP_CONFIG\n"
            );
        }
        for variables in [&[("HOME", ".")][..], &[("XDG_CONFIG_HOME", ".")]] {
            let ignored = in_repository(&env, &[operation], variables);
            assert!(!is_obeyed(&env), "{ignored:?}");
            assert_eq!((ignored.code, ignored.stdout.as_str()), (Some(0), ""), "{ignored:?}");
        }
    }
    // A person sees which folder that is.
    let status = in_repository(&env, &["status", "--config", "ghapp.toml"], &[]);
    assert!(status.stdout.contains("touch"), "{status:?}");
}

/// Nothing was asked, and a person is told what is to be a whole path.
#[track_caller]
fn is_refused_as_relative(env: &TestEnv, refused: &Ran, place: &str) {
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), "quit=1\n"), "{place}: {refused:?}");
    assert!(
        refused.stderr.contains(&format!("error: {place} is relative to whatever folder git runs in: "))
            && refused.stderr.contains(&format!("hint: write the whole path in {place}\n")),
        "{place}: {refused:?}"
    );
    assert_eq!(env.github.log(), Vec::<String>::new(), "{place}");
}

#[test]
fn a_repository_does_not_bring_what_git_takes_for_the_users_configuration() {
    let env = TestEnv::new();
    // It leads to the simulator: whoever could have been there would have the JWT.
    let config = std::fs::read_to_string(env.home().join(".gitconfig")).unwrap();
    let of_the_user = env.home().join(TestEnv::CONFIG);
    let env = env.with("GHAPP_CONFIG", of_the_user.to_str().unwrap());
    for file in [".gitconfig", "git/config", "system"] {
        env.write(&format!("home/repository/{file}"), &config);
    }
    std::fs::remove_file(env.home().join(".gitconfig")).unwrap();
    for (variable, value) in [
        ("HOME", "."),
        ("XDG_CONFIG_HOME", "."),
        ("GIT_CONFIG_GLOBAL", ".gitconfig"),
        ("GIT_CONFIG_SYSTEM", "system"),
    ] {
        let refused = in_repository(&env, &["get"], &[(variable, value), ("GIT_CONFIG_NOSYSTEM", "0")]);
        is_refused_as_relative(&env, &refused, variable);
    }
}

#[test]
fn a_repository_does_not_bring_the_cas_that_are_trusted() {
    let env = TestEnv::fresh();
    let key = env.write_private("keys/acme.pem", ACME_KEY);
    env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\n", key.display()));
    let ca = std::fs::read(env.github.ca_file()).unwrap();
    for file in ["ca.pem", "certs/ca.pem", "~nobody/ca.pem"] {
        env.write(&format!("home/repository/{file}"), &ca);
    }
    let env = env.without("GIT_SSL_CAINFO");
    for (variable, value) in [
        ("GIT_SSL_CAINFO", "ca.pem"),
        ("GIT_SSL_CAPATH", "certs"),
        ("SSL_CERT_FILE", "ca.pem"),
        ("SSL_CERT_DIR", "/etc/ssl/certs:certs"),
    ] {
        let refused = in_repository(&env, &["get"], &[(variable, value)]);
        is_refused_as_relative(&env, &refused, variable);
    }
    for (setting, value) in [
        ("sslCAInfo", "ca.pem"),
        ("sslCAPath", "certs"),
        ("sslCAInfo", "~nobody/ca.pem"),
        ("sslCert", "ca.pem"),
    ] {
        env.git_config(&format!("http.{setting}"), value);
        is_refused_as_relative(&env, &in_repository(&env, &["get"], &[]), &format!("http.{setting}"));
        env.git(["config", "--global", "--remove-section", "http"]).ok();
    }
}

#[test]
fn a_configuration_that_others_may_write_is_refused() {
    let env = TestEnv::bare();
    env.configure(&evil(&env));
    let file = env.home().join(TestEnv::CONFIG);
    let allow = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    allow(0o646);
    let refused = env.get("github.com", "acme/widgets");
    assert!(!is_obeyed(&env), "{refused:?}");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    let file = file.display();
    assert_eq!(
        refused.stderr,
        format!(
            "git-credential-ghapp: error: the configuration {file} is not used: every user may write it\n\
             git-credential-ghapp: hint: chmod o-w {file}\n"
        )
    );
    allow(0o664);
    env.get("github.com", "acme/widgets");
    assert!(is_obeyed(&env), "many systems give each user a group of its own");
}

#[test]
fn a_configuration_of_another_user_names_no_commands() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        skip("only root can give a file away");
        return;
    }
    let env = TestEnv::new();
    let file = env.home().join(TestEnv::CONFIG);
    let trace = env.folder.path().join("ran");
    let harmless = std::fs::read_to_string(&file).unwrap();
    let command = |setting: &str| format!("{setting} = ['touch', '{}']\n", trace.display());
    for rule in [
        format!("[[app]]\n{}", command("token-command")),
        format!("[[app]]\nid = '1'\n{}", command("private-key-command")),
        format!("[[app]]\nid = '1'\n{}", command("sign-command")),
    ] {
        env.configure(&rule);
        std::os::unix::fs::chown(&file, Some(54_321), None).unwrap();
        let refused = env.get("github.com", "acme/widgets");
        assert!(!is_obeyed(&env), "{refused:?}");
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
        let file = file.display();
        assert!(
            refused.stderr.contains(
                "touch is not run, because of who owns that file: it belongs to user 54321, not to 0\n"
            ),
            "{refused:?}"
        );
        assert!(
            refused.stderr.ends_with(&format!("hint: chown \"$(id -u)\" {file}, or copy it\n")),
            "{refused:?}"
        );
    }
    env.configure(&harmless);
    std::os::unix::fs::chown(&file, Some(54_321), None).unwrap();
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
}
