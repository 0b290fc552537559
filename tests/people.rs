//! What a person calls to see and to use the App's identity: token, exec, status, logout, installations, repositories.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{ACME_APP, ACME_ON_ACME, ACME_ON_GLOBEX, GLOBEX_APP, REQUEST, TestEnv, WIDGETS, has, run, skip};
use github_simulator::{ACME_KEY, Effect, GLOBEX_KEY, Selection};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The lines of a table without their padding.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect()
}

#[test]
fn token_is_the_one_that_git_gets() {
    let env = TestEnv::new();
    let gits = env.get("github.com", "acme/widgets").attribute("password").unwrap().to_owned();
    env.git(["clone", "--quiet", WIDGETS]).ok();
    for arguments in [
        vec!["token", "acme/widgets"],
        vec!["token", "Acme/Widgets.git"],
        vec!["token", WIDGETS],
        vec!["token", "git@github.com:acme/widgets.git"],
        vec!["token", "github.com/acme/widgets"],
        vec!["token", "acme"],
    ] {
        assert_eq!(env.helper(arguments.clone(), "").ok(), format!("{gits}\n"), "{arguments:?}");
    }
    let mut here = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
    here.arg("token").current_dir(env.home().join("widgets"));
    assert_eq!(run(&mut here, b"").ok(), format!("{gits}\n"));
    assert_eq!(env.lookups_and_mints().1, 1);
}

#[test]
fn token_tells_what_it_is_for_in_json() {
    let env = TestEnv::new();
    let told = json(&env.helper(["token", "acme/widgets", "--json"], "").ok());
    assert!(told["token"].as_str().unwrap().starts_with("ghs_"));
    assert!(told["expires_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(told["host"], "github.com");
    assert_eq!(told["app"], ACME_APP);
    assert_eq!(told["installation"], ACME_ON_ACME);
    assert_eq!(told["permissions"]["contents"], "write");
    assert_eq!(told["repository_selection"], "all");
    assert_eq!(told["repositories"], Value::Null);
    // The same of a cached one.
    assert_eq!(json(&env.helper(["token", "acme/widgets", "--json"], "").ok()), told);
    let narrow =
        ["token", "acme/widgets", "--json", "--scope", "repository", "--permissions", "contents=read"];
    let narrow = json(&env.helper(narrow, "").ok());
    assert_eq!(narrow["repositories"], json(r#"["acme/widgets"]"#));
    assert_eq!(narrow["permissions"]["contents"], "read");
    assert_eq!(narrow["repository_selection"], "selected");
}

#[test]
fn token_fresh_mints_anew_and_git_uses_that() {
    let env = TestEnv::new();
    let first = env.helper(["token", "acme/widgets"], "").ok();
    let second = env.helper(["token", "acme/widgets", "--fresh"], "").ok();
    assert_ne!(first, second);
    assert_eq!(env.helper(["token", "acme/widgets"], "").ok(), second);
    assert_eq!(env.get("github.com", "acme/widgets").attribute("password"), Some(second.trim()));
    assert_eq!(env.lookups_and_mints(), (1, 2));
}

#[test]
fn token_app_is_a_jwt_that_github_takes() {
    if !has("curl") {
        return skip("curl is not installed");
    }
    let env = TestEnv::new();
    let ask = |path: &str, jwt: &str| {
        let mut curl = env.command("curl");
        curl.args(["--silent", "--proxy", env.github.proxy(), "--cacert"]).arg(env.github.ca_file());
        // In a file, as argv is public.
        let header = env.write("header", format!("Authorization: Bearer {jwt}"));
        curl.arg("--header").arg(format!("@{}", header.display()));
        json(&run(curl.arg(format!("https://api.github.com{path}")), b"").ok())
    };
    let jwt = env.helper(["token", "--app"], "").ok();
    assert_eq!(ask("/app", jwt.trim())["slug"], "acme-ci");
    let told = json(&env.helper(["token", "--app", "--json", "--expires-in", "60"], "").ok());
    assert_eq!(told["app"], ACME_APP);
    assert_eq!(ask("/app/installations", told["token"].as_str().unwrap())[0]["id"], ACME_ON_ACME);
    // No token of an installation was minted for that.
    assert_eq!(env.lookups_and_mints(), (0, 0));
    let token = env.helper(["token", "acme"], "").ok();
    assert_eq!(ask("/repos/acme/widgets", token.trim())["full_name"], "acme/widgets");
}

#[test]
fn a_jwt_is_right_where_the_clock_is_known_to_be_wrong() {
    let env = TestEnv::new();
    env.github.world().clock_offset = 7200;
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    let jwt = env.helper(["token", "--app"], "").ok();
    use base64::Engine as _;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).unwrap());
    let expires = json(std::str::from_utf8(&claims.unwrap()).unwrap())["exp"].as_i64().unwrap();
    let ahead = expires - env.github.world().now();
    assert!((500..=600).contains(&ahead), "{ahead}");
}

#[test]
fn who_names_nothing_or_what_is_not_configured_is_told_so() {
    let env = TestEnv::new();
    for (arguments, message, hint) in [
        (
            vec!["token", "https://gitlab.example/acme/widgets"],
            "no App is configured for https://gitlab.example/acme/widgets",
            "git-credential-ghapp setup --host gitlab.example --owner acme, or add an [[app]] for it to the configuration",
        ),
        (
            vec!["token", "not a name"],
            "\"not a name\" is not a repository or an owner",
            "write OWNER/REPO, OWNER, or https://HOST/OWNER/REPO",
        ),
        (
            vec!["token", "umbrella/secrets"],
            "App acme-ci is not installed on github.com/umbrella/secrets, or there is no such repository",
            "install it at https://github.com/apps/acme-ci/installations/new",
        ),
        (
            // Two installations, no name, and no clone to take one from.
            vec!["token"],
            "it is not clear which owner is meant: acme or globex",
            "git-credential-ghapp token acme, or run this in a clone",
        ),
    ] {
        let refused = env.helper(arguments, "");
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
        assert_eq!(
            refused.stderr,
            format!("git-credential-ghapp: error: {message}\ngit-credential-ghapp: hint: {hint}\n")
        );
    }
    let nothing = TestEnv::bare().helper(["token", "acme"], "");
    assert!(nothing.stderr.starts_with("git-credential-ghapp: error: no App is configured\n"), "{nothing:?}");
}

#[test]
fn a_token_for_an_owner_is_one_that_git_can_use_at_once() {
    let env = TestEnv::new();
    // git's servers learn of a token only after two refusals.
    env.github.world().propagation = Some((2, 404));
    for arguments in [vec!["token", "acme"], vec!["repositories"]] {
        env.helper(arguments, "").ok();
        env.git(["ls-remote", WIDGETS]).ok();
        env.helper(["logout"], "").ok();
    }
}

#[cfg(unix)]
#[test]
fn exec_runs_a_command_with_the_token_and_ends_as_it_does() {
    let env = TestEnv::new();
    let script = "echo \"$GH_HOST ${GH_TOKEN%\"${GH_TOKEN#ghs_}\"}\"; [ \"$GH_TOKEN\" = \"$GITHUB_TOKEN\" ] && cat; exit 7";
    let ran = env.helper(["exec", "--for", "acme", "--", "sh", "-c", script], "from stdin");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(7), "github.com ghs_\nfrom stdin"));
    // Flags of the command are the command's.
    assert_eq!(env.helper(["exec", "--for", "acme", "printf", "%s", "--for"], "").ok(), "--for");
    let killed = env.helper(["exec", "--for", "acme", "--", "sh", "-c", "kill -TERM $$"], "");
    assert_eq!(killed.code, None, "the signal is passed on: {killed:?}");
    let missing = env.helper(["exec", "--for", "acme", "--", "no-such-program"], "");
    assert_eq!(missing.code, Some(127));
    assert_eq!(
        missing.stderr,
        "git-credential-ghapp: error: cannot run no-such-program: no such file or directory\n\
         git-credential-ghapp: hint: write a command that is in PATH, or its whole path\n"
    );
    let folder = env.home().display().to_string();
    assert_eq!(env.helper(["exec", "--for", "acme", "--", &folder], "").code, Some(126));
    // What fails before the command runs is told, and the command is not run.
    let refused = env.helper(["exec", "--for", "umbrella", "--", "echo", "ran"], "");
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
}

#[cfg(target_os = "linux")]
#[test]
fn the_token_of_exec_is_in_the_environment_and_not_in_the_arguments() {
    let env = TestEnv::new();
    let script = "tr '\\0' ' ' < /proc/$$/cmdline; echo; ulimit -Hc; ulimit -Sc; printf %s \"$GH_TOKEN\"";
    let ran = env.helper(["exec", "--for", "acme", "--", "sh", "-c", script], "").ok();
    let mut lines = ran.lines();
    let arguments = lines.next().unwrap();
    let token = ran.lines().last().unwrap();
    assert!(token.starts_with("ghs_") && !arguments.contains(token), "{ran}");
    // The limit on core dumps is this program's own affair.
    let limits: Vec<&str> = lines.take_while(|line| *line != token).collect();
    let mut plain = env.command("sh");
    let plain = run(plain.args(["-c", "ulimit -Hc; ulimit -Sc"]), b"").ok();
    assert_eq!(limits.join("\n"), plain.lines().collect::<Vec<_>>().join("\n"));
}

#[cfg(unix)]
#[test]
fn exec_for_an_enterprise_server_sets_what_tools_take_for_those() {
    let env = TestEnv::bare();
    let key = env.write("keys/acme.pem", ACME_KEY);
    let key = key.display();
    env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{key}'\nhost = 'ghe.example'\n"));
    let script = "echo $GH_HOST; [ -n \"$GH_ENTERPRISE_TOKEN\" ] && [ \"$GH_ENTERPRISE_TOKEN\" = \"$GITHUB_ENTERPRISE_TOKEN\" ]";
    assert_eq!(env.helper(["exec", "--for", "acme", "sh", "-c", script], "").ok(), "ghe.example\n");
}

// Elsewhere gh takes only the system's CAs.
#[cfg(target_os = "linux")]
#[test]
fn gh_works_with_the_identity_that_exec_gives() {
    if !has("gh") {
        return skip("gh is not installed");
    }
    let env = TestEnv::new();
    let env = {
        let (proxy, ca) = (env.github.proxy().to_owned(), env.github.ca_file().display().to_string());
        env.with("HTTPS_PROXY", proxy).with("SSL_CERT_FILE", ca).with("GH_NO_UPDATE_NOTIFIER", "1")
    };
    let ask = [
        "exec",
        "--for",
        "acme",
        "--",
        "gh",
        "api",
        "installation/repositories",
        "--jq",
        ".repositories[].full_name",
    ];
    assert_eq!(env.helper(ask, "").ok(), "acme/widgets\nacme/machine\n");
    let log = env.github.log();
    assert!(
        log.iter().any(|line| line.contains("/installation/repositories [token of installation 4201] 200")),
        "{log:?}"
    );
}

#[test]
fn status_lists_the_cached_tokens_and_nothing_secret() {
    let env = TestEnv::new();
    assert!(env.helper(["status"], "").ok().ends_with("\nno token is cached\n"));
    assert_eq!(json(&env.helper(["status", "--json"], "").ok())["tokens"], json("[]"));
    env.get("github.com", "acme/widgets");
    env.get("github.com", "globex/gears");
    let table = env.helper(["status"], "").ok();
    assert!(!table.contains("ghs_"));
    let table: Vec<_> = rows(&table).split_off(2);
    assert_eq!(table[0], ["OWNER", "HOST", "APP", "INSTALLATION", "EXPIRES", "STORE", "PERMISSIONS"]);
    let mut owners: Vec<&str> = table[1..].iter().map(|row| row[0]).collect();
    owners.sort_unstable();
    assert_eq!(owners, ["acme", "globex"]);
    assert!(table[1][4].starts_with("in ") && table[1][5] == "sealed file", "{table:?}");
    let text = env.helper(["status", "--json"], "").ok();
    assert!(!text.contains("ghs_"));
    let told = &json(&text)["tokens"];
    assert_eq!(told.as_array().unwrap().len(), 2);
    assert!(told[0]["permissions"]["contents"] == "write" && told[0]["kept_in"] == "sealed file", "{told}");
}

#[test]
fn an_expired_token_is_not_listed() {
    let env = TestEnv::new();
    env.github.world().token_lifetime = 1;
    env.get("github.com", "acme/widgets");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert!(env.helper(["status"], "").ok().ends_with("\nno token is cached\n"));
}

#[test]
fn logout_drops_tokens_and_revokes_them() {
    let env = TestEnv::new();
    let token = env.get("github.com", "acme/widgets").attribute("password").unwrap().to_owned();
    env.get("github.com", "globex/gears");
    assert_eq!(
        env.helper(["logout", "umbrella"], "").ok(),
        "no token is cached for umbrella on github.com\n"
    );
    assert_eq!(env.helper(["logout", "globex/gears"], "").ok(), "removed 1 token, revoked 1\n");
    assert_eq!(env.helper(["logout"], "").ok(), "removed 1 token, revoked 1\n");
    assert!(env.github.world().tokens.iter().all(|token| token.revoked));
    assert_eq!(env.helper(["logout"], "").ok(), "no token is cached\n");
    // It was not refused, so it does not count as that; the next call mints.
    let next = env.get("github.com", "acme/widgets");
    assert!(next.attribute("password").is_some_and(|next| next != token));
}

#[test]
fn logout_can_leave_the_tokens_valid_at_github() {
    let env = TestEnv::new();
    env.get("github.com", "acme/widgets");
    assert_eq!(env.helper(["logout", "--keep-remote"], "").ok(), "removed 1 token\n");
    assert!(!env.github.world().tokens[0].revoked);
    assert_eq!(env.github.world().count("DELETE /installation/token"), 0);
}

#[test]
fn a_token_that_cannot_be_revoked_is_dropped_all_the_same_and_that_is_told() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
    env.get("github.com", "acme/widgets");
    env.fault("DELETE /installation/token", 20, Effect::Answer(503, Vec::new(), Vec::new()));
    let told = env.helper(["logout"], "");
    assert_eq!(told.code, Some(1));
    assert!(
        told.stderr.starts_with(
            "git-credential-ghapp: warning: the token for acme on github.com was removed here but not revoked, and stays valid until 2"
        ),
        "{told:?}"
    );
    assert!(env.helper(["status"], "").ok().ends_with("\nno token is cached\n"));
}

#[test]
fn logout_all_also_forgets_apps_that_are_not_configured_any_more() {
    let env = TestEnv::new();
    env.get("github.com", "acme/widgets");
    let key = env.write("keys/globex.pem", GLOBEX_KEY);
    let key = key.display();
    env.configure(&format!("[[app]]\nid = '{GLOBEX_APP}'\nprivate-key = '{key}'\n"));
    env.get("github.com", "globex/gears");
    assert_eq!(env.helper(["logout"], "").ok(), "removed 1 token, revoked 1\n");
    // The sealed file of another App's token cannot be opened, but it can be removed.
    let told = env.helper(["logout", "--all"], "");
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), "removed 1 token\n"));
    assert!(told.stderr.contains("was removed here but not revoked, and stays valid until 2"), "{told:?}");
    let left: Vec<_> = std::fs::read_dir(env.cache()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["locks"]);
}

#[test]
fn installations_are_listed_with_what_git_can_do() {
    let env = TestEnv::new();
    {
        let mut world = env.github.world();
        world.installation(ACME_ON_GLOBEX).suspended = true;
        world.installation(ACME_ON_ACME).permissions.insert("contents".to_owned(), "read".to_owned());
        world.installation(ACME_ON_ACME).selection = Selection::Selected(vec![1]);
        world.install(5000, 101, "initech");
        world.installation(5000).permissions.remove("contents");
        world.install(5001, 101, "an enterprise");
        world.installation(5001).account = None;
    }
    let table = env.helper(["installations"], "").ok();
    assert_eq!(
        rows(&table),
        [
            vec!["OWNER", "HOST", "APP", "ID", "REPOSITORIES", "GIT CAN"],
            vec!["acme", "github.com", ACME_APP, "4201", "selected", "read"],
            vec!["globex", "github.com", ACME_APP, "4202", "all", "nothing: the installation is suspended"],
            vec![
                "initech",
                "github.com",
                ACME_APP,
                "5000",
                "all",
                "nothing: the App lacks the permission Contents"
            ],
            vec![
                "(an enterprise)",
                "github.com",
                ACME_APP,
                "5001",
                "all",
                "nothing: the installation covers no repositories"
            ],
        ]
    );
    let told = json(&env.helper(["installations", "--json"], "").ok());
    assert_eq!(told[1]["suspended"], true);
    assert_eq!(told[3]["owner"], Value::Null);
    assert_eq!(told[0]["html_url"], "https://github.com/organizations/acme/settings/installations/4201");
}

#[test]
fn long_lists_come_in_pages() {
    let env = TestEnv::new();
    {
        let mut world = env.github.world();
        for number in 0..250 {
            world.install(10_000 + number, 101, &format!("owner-{number}"));
        }
    }
    let table = env.helper(["installations"], "").ok();
    assert_eq!(table.lines().count(), 1 + 252);
    assert_eq!(env.github.world().count("GET /app/installations"), 3);
    // Progress is for terminals.
    assert_eq!(env.helper(["installations"], "").stderr, "");
}

#[test]
fn repositories_are_those_of_all_installations_or_of_one() {
    let env = TestEnv::new();
    let table = env.helper(["repositories"], "").ok();
    assert_eq!(
        rows(&table),
        [
            vec!["REPOSITORY", "HOST", "APP", "VISIBILITY"],
            vec!["acme/machine", "github.com", ACME_APP, "private"],
            vec!["acme/widgets", "github.com", ACME_APP, "private"],
            vec!["globex/gears", "github.com", ACME_APP, "private"],
        ]
    );
    let told = json(&env.helper(["repositories", "globex", "--json"], "").ok());
    assert_eq!(told.as_array().unwrap().len(), 1);
    assert_eq!(told[0]["full_name"], "globex/gears");
    env.github.world().installation(ACME_ON_GLOBEX).suspended = true;
    let partly = env.helper(["repositories"], "");
    assert_eq!(
        partly.stderr,
        "git-credential-ghapp: warning: installation 4202 on globex is left out: the installation is suspended\n\
         git-credential-ghapp: hint: whoever suspended it, an owner of globex or the App's owner, has to unsuspend it: \
         https://github.com/organizations/globex/settings/installations/4202\n"
    );
    assert_eq!(partly.ok().lines().count(), 3);
}

#[test]
fn a_trace_tells_each_decision_and_request_and_no_secret() {
    let env = TestEnv::new().with("GHAPP_TRACE", "1");
    let cold = env.get("github.com", "acme/widgets");
    let told: Vec<String> = cold
        .stderr
        .lines()
        .map(|line| {
            // 05:37:10.498023 git-credential-ghapp: 0.000097 s: …
            let mut parts = line.splitn(3, ": ");
            let (start, after) = (parts.next().unwrap(), parts.next().unwrap());
            assert!(start.ends_with(" git-credential-ghapp") && start.len() == 36, "{line}");
            assert!(after.ends_with(" s"), "{line}");
            parts.next().unwrap().to_owned()
        })
        .collect();
    let begins = [
        "get: protocol https, host github.com, path acme/widgets",
        "rule: App Iv23liAcmeCi (",
        "request: GET https://api.github.com/repos/acme/widgets/installation: 200 after ",
        "cache: replace routes/",
        "cache: replace routes/",
        "cache: no fresh token",
        "request: POST https://api.github.com/app/installations/4201/access_tokens: 201 after ",
        "probe: GET https://github.com/acme/widgets.git/info/refs?service=git-upload-pack: 200",
        "cache: replace told/swept",
        "cache: replace grants/",
        "cache: replace tokens/",
        "answered: token of installation 4201, ",
    ];
    assert_eq!(told.len(), begins.len(), "{told:#?}");
    for (line, begin) in told.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line:?} does not begin with {begin:?}");
    }
    assert_eq!(env.get("github.com", "acme/widgets").stderr.lines().count(), 3);
    let file = env.folder.path().join("trace");
    let env = env.with("GHAPP_TRACE", file.to_str().unwrap());
    let quiet = env.get("github.com", "acme/widgets");
    let again = env.helper(["get"], "protocol=https\nhost=evil.example\n");
    assert_eq!((quiet.stderr.as_str(), again.stderr.as_str()), ("", ""));
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(text.ends_with("declined: nothing is configured for this\n"));
    assert!(!text.contains("ghs_") && !text.contains("eyJ") && !cold.stderr.contains("ghs_"));
    for (value, told) in [
        ("0", ""),
        (
            "x",
            "git-credential-ghapp: warning: GHAPP_TRACE is not used: it is neither 1 nor an absolute path\n",
        ),
    ] {
        let env = TestEnv::bare().with("GHAPP_TRACE", value);
        assert_eq!(env.helper(["capability"], "").stderr, told);
    }
}

#[test]
fn what_a_person_calls_shows_no_secret_of_the_app() {
    let env = TestEnv::bare().with("GHAPP_APP_ID", ACME_APP).with("GHAPP_PRIVATE_KEY", ACME_KEY);
    env.helper(["get"], REQUEST).ok();
    let canary = ACME_KEY.lines().nth(10).unwrap();
    for arguments in [
        vec!["status"],
        vec!["status", "--json"],
        vec!["installations", "--json"],
        vec!["repositories", "--json"],
        vec!["doctor", "acme/widgets"],
        vec!["doctor", "acme/widgets", "--json"],
        vec!["logout"],
        vec!["--help"],
    ] {
        let env_traced = env.helper(arguments.clone(), "");
        let text = format!("{}{}", env_traced.stdout, env_traced.stderr);
        assert!(
            !text.contains(canary) && !text.contains("ghs_") && !text.contains("eyJ"),
            "{arguments:?}: {text}"
        );
    }
}

#[test]
fn the_manual_knows_every_command_and_completions_are_scripts_that_shells_take() {
    let env = TestEnv::bare();
    let help = env.helper(["--help"], "").ok();
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() >= 9, "{help}");
    let manual = env.helper(["man"], "").ok();
    for command in &commands {
        let heading = [format!(".SS \"{command}"), format!(".SS {command}")];
        assert!(heading.iter().any(|it| manual.contains(it)), "{command}: {manual}");
    }
    for shell in ["powershell", "elvish"] {
        assert!(env.helper(["completions", shell], "").ok().contains("git-credential-ghapp"));
    }
    for (shell, check) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")] {
        if !has(check) {
            skip(&format!("{check} is not installed"));
            continue;
        }
        let script = env.write("completions", env.helper(["completions", shell], "").ok());
        let checked = run(env.command(check).arg("-n").arg(&script), b"");
        assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{shell}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn colours_progress_and_advice_are_for_terminals() {
    let env = TestEnv::new().with("TERM", "xterm");
    for number in 0..150 {
        env.github.world().install(10_000 + number, 101, &format!("owner-{number}"));
    }
    let Some(shown) = env.at_a_terminal("doctor acme/widgets", "") else { return };
    let shown = shown.stdout;
    assert!(shown.contains("\u{1b}[32mok     \u{1b}[0m  git: "), "{shown}");
    let shown = env.at_a_terminal("installations", "").unwrap().stdout;
    assert!(
        shown.contains("\r\u{1b}[K100 installations\r\u{1b}[K152 installations\r\u{1b}[KOWNER"),
        "{shown}"
    );
    let mistyped = env.at_a_terminal("doctr", "").unwrap();
    assert_eq!(mistyped.code, Some(2));
    assert!(
        mistyped.stdout.contains("error: unknown command \"doctr\"\r\ngit-credential-ghapp: hint: "),
        "{mistyped:?}"
    );
    let plain = env.with("NO_COLOR", "1").at_a_terminal("doctor acme/widgets", "").unwrap().stdout;
    assert!(plain.contains("ok       git: ") && !plain.contains("\u{1b}[3"), "{plain}");
}
