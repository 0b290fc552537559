//! The real git with the real helper against the simulator.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{ACME_ON_ACME, ACME_ON_GLOBEX, MINT, TestEnv, WIDGETS};

#[test]
fn clone_fetch_and_push_share_one_token() {
    let env = TestEnv::new();
    env.git(["clone", "--quiet", WIDGETS, "one"]).ok();
    env.write("home/one/new", "new\n");
    env.git_in("one", ["add", "new"]).ok();
    env.git_in("one", ["commit", "--quiet", "-m", "Add"]).ok();
    env.git_in("one", ["push", "--quiet"]).ok();
    env.git(["clone", "--quiet", WIDGETS, "two"]).ok();
    env.git_in("two", ["fetch", "--quiet"]).ok();
    env.git(["ls-remote", WIDGETS]).ok();
    assert_eq!(std::fs::read_to_string(env.home().join("two/new")).unwrap(), "new\n");
    assert_eq!(env.lookups_and_mints(), (1, 1), "{:#?}", env.github.log());
}

#[test]
fn the_api_is_asked_exactly_what_is_needed() {
    let env = TestEnv::new();
    env.git(["ls-remote", WIDGETS]).ok();
    let api: Vec<String> = env.github.log().into_iter().filter(|line| line.starts_with("api.")).collect();
    assert_eq!(
        api,
        [
            "api.github.com GET /repos/acme/widgets/installation [jwt of Iv23liAcmeCi] 200",
            "api.github.com POST /app/installations/4201/access_tokens [jwt of Iv23liAcmeCi] 201",
        ]
    );
}

#[test]
fn a_cold_get_asks_three_things_over_one_connection_for_each_origin() {
    let env = TestEnv::new();
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    let asked = env.github.log();
    assert_eq!(
        asked,
        [
            "api.github.com GET /repos/acme/widgets/installation [jwt of Iv23liAcmeCi] 200",
            "api.github.com POST /app/installations/4201/access_tokens [jwt of Iv23liAcmeCi] 201",
            "github.com GET /acme/widgets.git/info/refs?service=git-upload-pack [token of installation 4201] 200",
        ]
    );
    assert_eq!(env.github.world().connections, 2, "one for each origin");
}

#[test]
fn a_token_that_is_about_to_expire_is_replaced() {
    let env = TestEnv::new();
    // Less than the five minutes for which a token has to be good.
    env.github.world().token_lifetime = 100;
    env.git(["clone", "--quiet", WIDGETS, "one"]).ok();
    let first = env.github.world().tokens.clone();
    env.github.world().revoke_all();
    env.git_in("one", ["fetch", "--quiet"]).ok();
    assert_eq!(first.len(), 1);
    assert_eq!(env.lookups_and_mints(), (1, 2));
}

#[test]
fn submodules_of_two_owners_each_get_their_owners_token() {
    let env = TestEnv::new();
    env.git(["clone", "--quiet", "--recurse-submodules", "https://github.com/acme/machine", "machine"]).ok();
    assert_eq!(std::fs::read_to_string(env.home().join("machine/gears/teeth")).unwrap(), "42\n");
    env.git_in("machine", ["submodule", "update", "--remote", "--quiet"]).ok();
    assert_eq!(env.lookups_and_mints(), (2, 2));
    let log = env.github.log().join("\n");
    assert!(
        log.contains(&format!("/acme/machine/git-upload-pack [token of installation {ACME_ON_ACME}]")),
        "{log}"
    );
    assert!(
        log.contains(&format!("/gears.git/git-upload-pack [token of installation {ACME_ON_GLOBEX}]")),
        "{log}"
    );
}

#[test]
fn a_wiki_is_reached_with_its_repositorys_installation() {
    let env = TestEnv::new();
    env.git(["clone", "--quiet", "https://github.com/acme/widgets.wiki.git", "wiki"]).ok();
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn names_in_another_case_are_the_same_repository() {
    let env = TestEnv::new();
    env.git(["ls-remote", WIDGETS]).ok();
    env.git(["ls-remote", "https://GitHub.com/Acme/Widgets"]).ok();
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn a_renamed_repository_is_followed_within_the_api() {
    let env = TestEnv::new();
    env.github.world().rename(("acme", "widgets"), ("acme", "gadgets"));
    env.git(["clone", "--quiet", WIDGETS, "one"]).ok();
    assert!(env.github.log().join("\n").contains("GET /repositories/1001/installation"));
}

#[test]
fn a_renamed_repository_narrows_its_token_by_number() {
    let env = TestEnv::new().with("GHAPP_SCOPE", "repository");
    env.github.world().rename(("acme", "widgets"), ("acme", "gadgets"));
    assert_eq!(env.get("github.com", "acme/widgets").code, Some(0));
    assert_eq!(env.github.world().tokens[0].repositories, Some(vec![1001]));
}

#[test]
fn a_host_with_a_port_is_a_host_of_its_own() {
    let env = TestEnv::bare();
    let host = env.github.host().to_owned();
    let key = env.write("key.pem", github_simulator::ACME_KEY);
    env.configure(&format!(
        "[[app]]\nid = '{}'\nprivate-key = '{}'\nhost = '{host}'\n",
        common::ACME_APP,
        key.display()
    ));
    // Directly, not through the proxy.
    env.git_config("http.proxy", "");
    env.git(["clone", "--quiet", &format!("https://{host}/acme/widgets"), "one"]).ok();
    let log = env.github.log().join("\n");
    assert!(log.contains(&format!("{host} GET /api/v3/repos/acme/widgets/installation")), "{log}");
    let (name, _) = host.split_once(':').unwrap();
    assert_eq!(env.get(name, "acme/widgets").stdout, "");
}

#[test]
fn a_tenant_of_ghe_com_has_an_api_host_of_its_own() {
    let env = TestEnv::new().with("GHAPP_HOST", "acme.ghe.com");
    env.git(["clone", "--quiet", "https://acme.ghe.com/acme/widgets", "one"]).ok();
    assert!(env.github.log().join("\n").contains("api.acme.ghe.com GET /repos/acme/widgets/installation"));
}

#[test]
fn an_explicit_api_address_is_the_one_that_is_asked() {
    let env =
        TestEnv::new().with("GHAPP_HOST", "ghe.example").with("GHAPP_API_URL", "https://api.github.com/");
    env.git(["clone", "--quiet", "https://ghe.example/acme/widgets", "one"]).ok();
    assert!(env.github.log().join("\n").contains("api.github.com GET /repos/acme/widgets/installation"));
}

#[test]
fn two_apps_on_one_host_answer_for_their_owners() {
    let env = TestEnv::new();
    env.write("keys/globex.pem", github_simulator::GLOBEX_KEY);
    env.configure(&format!(
        "[[app]]\nid = '{}'\nprivate-key = '~/../keys/acme.pem'\n\
         [[app]]\nid = '{}'\nprivate-key = '~/../keys/globex.pem'\nowners = ['Globex']\n",
        common::ACME_APP,
        common::GLOBEX_APP
    ));
    env.git(["clone", "--quiet", "--recurse-submodules", "https://github.com/acme/machine", "machine"]).ok();
    let log = env.github.log().join("\n");
    assert!(log.contains("GET /repos/acme/machine/installation [jwt of Iv23liAcmeCi] 200"), "{log}");
    assert!(log.contains("GET /repos/globex/gears/installation [jwt of Iv23liGlobexDeploy] 200"), "{log}");
    assert_eq!(env.lookups_and_mints(), (2, 2));
}

#[test]
fn a_repository_that_the_app_cannot_see_is_left_to_others() {
    let env = TestEnv::new();
    env.github.world().add_repository("initech", "tps", &[("README", "tps\n")]);
    env.git_config("credential.helper", "ghapp");
    let denied = env.git(["ls-remote", "https://github.com/initech/tps"]);
    assert_eq!(denied.code, Some(128));
    assert!(
        denied.stderr.contains(
            "git-credential-ghapp: warning: App acme-ci is not installed on github.com/initech/tps, \
             or there is no such repository\n\
             git-credential-ghapp: hint: install it at https://github.com/apps/acme-ci/installations/new\n"
        ),
        "{denied:#?}"
    );
    // Remembered for a while, without asking GitHub where the installation is.
    let again = env.get("github.com", "initech/tps");
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), ""));
    assert_eq!(env.lookups_and_mints(), (1, 0));
}

#[test]
fn where_a_rule_names_the_owner_a_missing_installation_stops_git_from_prompting() {
    for variable in [("GHAPP_OWNERS", "initech"), ("GHAPP_REPOSITORIES", "initech/tps")] {
        let env = TestEnv::new().with(variable.0, variable.1);
        let failed = env.get("github.com", "initech/tps");
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
        assert!(failed.stderr.starts_with(
            "git-credential-ghapp: error: App acme-ci is not installed on github.com/initech/tps, or there is no such"
        ));
    }
}

#[test]
fn without_a_path_the_only_installation_answers() {
    let env = TestEnv::new();
    env.git_config("credential.useHttpPath", "false");
    let ambiguous = env.git(["ls-remote", WIDGETS]);
    assert!(
        ambiguous.stderr.contains(
            "git-credential-ghapp: error: git did not say which repository it wants, and App Iv23liAcmeCi has \
             several installations\n\
             git-credential-ghapp: hint: git config --global credential.https://github.com.useHttpPath true\n"
        ),
        "{ambiguous:#?}"
    );
    assert!(ambiguous.stderr.contains("told us to quit"), "{ambiguous:#?}");
    // A suspended installation, one on an enterprise and one that may not read contents do not count.
    env.github.world().installation(ACME_ON_GLOBEX).suspended = true;
    env.github.world().install(1, 101, "x");
    env.github.world().installation(1).account = None;
    env.github.world().install(2, 101, "y");
    env.github.world().installation(2).permissions.remove("contents");
    env.git(["ls-remote", WIDGETS]).ok();
    env.git(["ls-remote", WIDGETS]).ok();
    assert_eq!(env.github.world().count(MINT), 1);
}

#[test]
fn without_a_path_the_only_configured_owner_answers() {
    let env = TestEnv::new().with("GHAPP_OWNERS", "acme");
    env.git_config("credential.useHttpPath", "false");
    env.git(["ls-remote", WIDGETS]).ok();
    assert!(env.github.log().join("\n").contains("GET /users/acme/installation"));
}

#[test]
fn a_pinned_installation_is_not_looked_up() {
    let env = TestEnv::new().with("GHAPP_INSTALLATION_ID", ACME_ON_ACME.to_string());
    env.git(["ls-remote", WIDGETS]).ok();
    assert_eq!(env.lookups_and_mints(), (0, 1));
}

#[test]
fn an_installation_that_was_made_anew_is_looked_up_once_more() {
    let env = TestEnv::new();
    env.git(["ls-remote", WIDGETS]).ok();
    env.github.world().installation(ACME_ON_ACME).id = 4999;
    env.github.world().revoke_all();
    env.github.world().tokens.clear();
    std::fs::remove_dir_all(env.cache().join("tokens")).unwrap();
    env.git(["ls-remote", WIDGETS]).ok();
    // The first mint of the second command met the old number.
    assert_eq!(env.lookups_and_mints(), (2, 3));
}

#[test]
fn foreign_hosts_and_plain_http_get_no_answer_and_cause_no_request() {
    let env = TestEnv::new();
    for (protocol, host) in [
        ("https", "github.com.evil.example"),
        ("https", "evil.example"),
        ("https", "gist.github.com"),
        ("https", "github.com:8443"),
        ("https", "github.com."),
        ("http", "github.com"),
        ("ssh", "github.com"),
        ("", "github.com"),
    ] {
        let input = format!("protocol={protocol}\nhost={host}\npath=acme/widgets\n");
        let declined = env.helper(["get"], input);
        assert_eq!((declined.code, declined.stdout.as_str(), declined.stderr.as_str()), (Some(0), "", ""));
    }
    env.git(["ls-remote", "https://evil.example/acme/widgets"]);
    let asked = env.github.log();
    assert!(
        asked.iter().all(|line| line.starts_with("evil.example ") && line.contains("[-] 401")),
        "{asked:?}"
    );
}

#[test]
fn other_users_names_and_other_paths_get_no_answer() {
    let env = TestEnv::new();
    for input in [
        "protocol=https\nhost=github.com\npath=acme/widgets\nusername=octocat\n",
        "protocol=https\nhost=github.com\npath=gist/0123456789abcdef/x.git\n",
        "protocol=https\nhost=github.com\npath=acme\n",
        "host=github.com\npath=acme/widgets\n",
        "protocol=https\npath=acme/widgets\n",
        "",
        "\n",
    ] {
        let declined = env.helper(["get"], input);
        assert_eq!((declined.code, declined.stdout.as_str()), (Some(0), ""), "{input}");
    }
    assert_eq!(env.github.log(), [""; 0]);
}

#[test]
fn sixty_four_at_once_on_a_cold_cache_cause_one_lookup_and_one_mint() {
    let env = TestEnv::new();
    for ran in env.git_at_once(64, &["ls-remote", WIDGETS]) {
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    }
    assert_eq!(env.lookups_and_mints(), (1, 1));
}

#[test]
fn the_short_form_of_tokens_and_the_long_one_are_carried_and_cached() {
    for (long, length) in [(false, 40), (true, 520)] {
        let env = TestEnv::new();
        env.github.world().long_tokens = long;
        env.git(["clone", "--quiet", WIDGETS, "one"]).ok();
        env.git_in("one", ["fetch", "--quiet"]).ok();
        assert_eq!(env.github.world().tokens[0].text.len(), length);
        assert_eq!(env.lookups_and_mints(), (1, 1));
    }
}
