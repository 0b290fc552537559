//! Another vendor's API for Apps: other paths, other fields, other ids, tokens of two hours, and no English.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::{ACME_ON_ACME, Ran, TestEnv};
use github_simulator::{ACME_KEY, Effect, Expiry, GLOBEX_KEY, Vendor};
use serde_json::Value;

const HOST: &str = "icr.example";
const MINT: &str = "POST /app/installations/{id}/accessTokens";
const LOOKUP: &str = "GET /app/organizations/{org}/installation";

/// As the documentation has it.
const API: &str = r#"
[app.api]
installation-of-owner = "/app/organizations/{owner}/installation"
installation-of-repository = ""
installations = "/app/installations"
access-tokens = "/app/installations/{installation}/accessTokens"
token = "token"
expires-at = "expiresAt"
username = "app-token"
headers = { Accept = "application/json" }
"#;

fn rule(lines: &str) -> String {
    format!(
        "[[app]]\nid = '101'\nprivate-key = '~/icr.pem'\nhost = '{HOST}'\napi-url = 'https://{HOST}/api/rest'\n{lines}\n"
    )
}

fn vendor(vendor: Vendor) -> TestEnv {
    let env = TestEnv::bare();
    env.write_private("home/icr.pem", ACME_KEY);
    env.configure(&(rule("") + API));
    env.github.world().vendor = vendor;
    env
}

fn kinds() -> [Vendor; 3] {
    [
        Vendor { named: false, expiry: Expiry::Iso },
        Vendor { named: true, expiry: Expiry::Milliseconds },
        Vendor { named: true, expiry: Expiry::Seconds },
    ]
}

fn token(ran: &Ran) -> &str {
    ran.attribute("password").unwrap_or_else(|| panic!("{ran:#?}"))
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[test]
fn git_gets_a_token_with_the_vendors_user_name_for_its_two_hours() {
    for kind in kinds() {
        let env = vendor(kind);
        let answer = env.get(HOST, "acme/widgets");
        token(&answer);
        assert_eq!((answer.attribute("username"), answer.stderr.as_str()), (Some("app-token"), ""));
        let left = answer.attribute("password_expiry_utc").unwrap().parse::<i64>().unwrap() - now();
        assert!((7100..=7200).contains(&left), "{left}");
        // What is known of the owner is known of each of its repositories.
        let other = env.get(HOST, "acme/machine");
        assert_eq!(token(&other), token(&answer));
        assert_eq!(env.github.world().count(LOOKUP), 1);
        assert_eq!(env.github.world().count(MINT), 1);
        env.git(["clone", "--quiet", "https://icr.example/acme/widgets.git"]).ok();
        env.git(["clone", "--quiet", "https://app-token@icr.example/acme/machine.git"]).ok();
        assert_eq!(env.github.world().count(MINT), 1);
        // Another user's password is another helper's affair.
        let declined = env.helper(
            ["get"],
            format!("protocol=https\nhost={HOST}\nusername=x-access-token\npath=acme/widgets\n"),
        );
        assert_eq!((declined.code, declined.stdout.as_str()), (Some(0), ""));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_whole_lifetime_is_used() {
    if !common::has("faketime") {
        return common::skip("faketime is not installed");
    }
    let env = vendor(Vendor::default());
    let first = token(&env.get(HOST, "acme/widgets")).to_owned();
    let later = |minutes: u32| {
        let mut command = env.command("faketime");
        command.args(["-f", &format!("+{minutes}m"), env!("CARGO_BIN_EXE_git-credential-ghapp"), "get"]);
        let input = format!("protocol=https\nhost={HOST}\npath=acme/widgets\n");
        common::run(&mut command, input.as_bytes())
    };
    assert_eq!(later(110).attribute("password"), Some(first.as_str()));
    assert_eq!(env.github.world().tokens.len(), 1);
    later(116);
    assert_eq!(env.github.world().tokens.len(), 2);
}

#[test]
fn a_refused_token_heals() {
    let env = vendor(Vendor { named: true, expiry: Expiry::Seconds });
    let first = token(&env.get(HOST, "acme/widgets")).to_owned();
    env.github.world().revoke_all();
    env.git(["clone", "--quiet", "https://icr.example/acme/widgets.git"]).ok();
    assert_ne!(token(&env.get(HOST, "acme/widgets")), first);
    assert_eq!(env.github.world().count(MINT), 2);
}

#[test]
fn logout_forgets_a_token_that_the_server_cannot_revoke_and_says_until_when_it_is_valid() {
    let env = vendor(Vendor { named: true, expiry: Expiry::Seconds });
    let first = token(&env.get(HOST, "acme/widgets")).to_owned();
    let ran = env.helper(["logout", "--all"], "");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "removed 1 token\n"), "{ran:#?}");
    assert!(ran.stderr.contains("was removed here but not revoked, and stays valid until 20"), "{ran:#?}");
    assert!(ran.stderr.contains("/api/rest returned 4"), "{ran:#?}");
    assert_ne!(token(&env.get(HOST, "acme/widgets")), first);
}

#[test]
fn commands_for_people_work_with_it() {
    for kind in kinds() {
        let env = vendor(kind);
        let told: Value =
            serde_json::from_str(&env.helper(["token", "acme/widgets", "--json"], "").ok()).unwrap();
        let id = if kind.named { Value::from("inst-4201") } else { Value::from(4201) };
        assert_eq!((&told["installation"], &told["host"]), (&id, &HOST.into()));
        let shown =
            env.helper(["exec", "--for", "acme/widgets", "--env", "T", "--", "sh", "-c", "echo $T"], "").ok();
        assert_eq!(told["token"], shown.trim());
        let installations = env.helper(["installations"], "").ok();
        let line = installations.lines().find(|line| line.starts_with("acme ")).unwrap();
        assert!(line.contains(id.as_str().unwrap_or("4201")) && line.contains("all"), "{installations}");
        let installations: Value =
            serde_json::from_str(&env.helper(["installations", "--json"], "").ok()).unwrap();
        assert_eq!((&installations[0]["id"], &installations[0]["suspended"]), (&id, &false.into()));
        let status = env.helper(["status"], "").ok();
        assert!(status.contains("ok       101 on icr.example: installed on acme, globex"), "{status}");
    }
}

#[test]
fn doctor_goes_the_whole_way() {
    for kind in kinds() {
        let env = vendor(kind);
        env.git_config("credential.https://icr.example.helper", "ghapp");
        let told = env.helper(["doctor", "https://icr.example/acme/widgets"], "");
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(told.stdout.contains("App: 101, which this API does not describe"), "{}", told.stdout);
        assert!(told.stdout.contains("icr.example accepts the token for acme/widgets"), "{}", told.stdout);
        let everything = env.helper(["doctor"], "");
        assert_eq!(everything.code, Some(0), "{everything:?}");
    }
}

#[test]
fn setup_completes_a_rule_that_describes_the_api() {
    let env = TestEnv::fresh();
    env.write_private("home/icr.pem", ACME_KEY);
    env.configure(&(rule("owners = ['acme']") + API));
    let config = || std::fs::read_to_string(env.home().join(TestEnv::CONFIG)).unwrap();
    let before = config();
    let told = env.helper(["setup", "--app-id", "101"], "").ok();
    assert!(told.contains("App 101 on icr.example, 2 installations"), "{told}");
    assert_eq!(config(), before);
    env.git(["clone", "--quiet", "https://icr.example/acme/widgets.git"]).ok();
    // Another owner is another rule for the same App, with the same API.
    let told = env.helper(["setup", "--app-id", "101", "--host", HOST, "--owner", "globex"], "").ok();
    assert!(told.contains("api = { "), "{told}");
    env.git(["clone", "--quiet", "https://icr.example/globex/gears.git"]).ok();
    env.helper(["setup", "--undo"], "").ok();
    assert_eq!(config(), before);
}

#[test]
fn statuses_are_understood_and_no_english_is_read() {
    let json = |body: &str| {
        Effect::Answer(
            403,
            vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body.as_bytes().to_vec(),
        )
    };
    let env = vendor(Vendor::default());
    // Not installed.
    let declined = env.get(HOST, "initech/tps");
    assert_eq!((declined.code, declined.stdout.as_str()), (Some(0), ""));
    assert!(declined.stderr.contains("App 101 is not installed on icr.example/initech"), "{declined:?}");
    // Installed anew under another number.
    token(&env.get(HOST, "acme/widgets"));
    env.github.world().installation(ACME_ON_ACME).id = 77;
    env.helper(["token", "acme/widgets", "--fresh"], "").ok();
    assert_eq!(env.github.world().tokens.last().unwrap().installation, 77);
    // What it says is shown, whatever the words.
    for (body, message) in [
        (
            r#"{"msg": "This installation has been suspended"}"#,
            "icr.example/api/rest returned 403: This installation has been suspended",
        ),
        (r#"{"message": "You have exceeded a rate limit"}"#, "returned 403: You have exceeded a rate limit"),
        (r#"{"error": "IP allow list"}"#, "returned 403: IP allow list"),
        ("nope", "returned 403 with an answer that is not as [app.api] describes it (application/json)"),
    ] {
        env.fault(MINT, 1, json(body));
        let failed = env.helper(["token", "acme/widgets", "--fresh"], "");
        assert!(failed.code == Some(1) && failed.stderr.contains(message), "{failed:?}");
    }
    // A rate limit by its status.
    let limited =
        Effect::Answer(429, vec![("Retry-After".to_owned(), "1000".to_owned())], b"<p>later".to_vec());
    env.fault(MINT, 1, limited);
    let failed = env.helper(["token", "acme/widgets", "--fresh"], "");
    assert!(
        failed.stderr.contains("the rate limit of App 101 on https://icr.example/api/rest is used up"),
        "{failed:?}"
    );
}

#[test]
fn a_clock_is_corrected_and_a_wrong_key_is_told_by_status() {
    let env = vendor(Vendor::default());
    env.github.world().clock_offset = 3600;
    let answer = env.get(HOST, "acme/widgets");
    token(&answer);
    assert!(
        answer.stderr.contains("this clock is 60 min behind the server's, whose time is used instead"),
        "{answer:?}"
    );
    let env = vendor(Vendor::default());
    env.write_private("home/icr.pem", GLOBEX_KEY);
    let failed = env.get(HOST, "acme/widgets");
    assert_eq!(failed.stdout, "quit=1\n");
    assert!(
        failed.stderr.contains("https://icr.example/api/rest refused the App's JWT: jeton refusé\n"),
        "{failed:?}"
    );
    // The next key of the list signs.
    let env = vendor(Vendor::default());
    env.write_private("home/old.pem", GLOBEX_KEY);
    env.configure(&(rule("").replace("'~/icr.pem'", "['~/old.pem', '~/icr.pem']") + API));
    token(&env.get(HOST, "acme/widgets"));
}

#[test]
fn an_answer_that_is_not_as_described_is_told_without_what_is_in_it() {
    for (answer, message) in [
        (
            r#"{"access_token": "ghs_secret", "expiresAt": 1900000000}"#,
            "sent an answer that is not as [app.api] describes it",
        ),
        (
            r#"{"token": "ghs_secret", "expires_at": "2030-01-01T00:00:00Z"}"#,
            "sent an answer that is not as [app.api] describes it",
        ),
        (
            r#"{"token": "ghs_secret", "expiresAt": "soon"}"#,
            "sent a token with an expiry that is not a time: \"soon\"",
        ),
        (r#"{"token": "ghs_secret", "expiresAt": 1500000000}"#, "sent a token that has expired already"),
        (
            r#"{"token": "ghs secret", "expiresAt": 1900000000}"#,
            "sent a token with characters that git's protocol does not allow",
        ),
    ] {
        let env = vendor(Vendor::default());
        let answer = Effect::Answer(200, Vec::new(), answer.as_bytes().to_vec());
        env.fault(MINT, 1, answer);
        let failed = env.get(HOST, "acme/widgets");
        assert_eq!(failed.stdout, "quit=1\n", "{failed:?}");
        assert!(failed.stderr.contains(message) && !failed.stderr.contains("secret"), "{failed:?}");
        assert!(!env.cache().join("tokens").exists());
    }
}

#[test]
fn a_token_that_may_be_wider_than_the_rule_says_is_not_used() {
    let env = vendor(Vendor::default());
    for lines in ["scope = 'repository'", "permissions = { contents = 'read' }"] {
        env.configure(&(rule(lines) + API));
        let failed = env.get(HOST, "acme/widgets");
        assert_eq!(failed.stdout, "quit=1\n");
        assert!(
            failed.stderr.contains("does not say that the token is as narrow as it was asked for"),
            "{failed:?}"
        );
    }
}

#[test]
fn what_is_wrong_in_the_table_is_told_with_its_place_and_nothing_is_sent() {
    let owner = "installation-of-owner";
    for (line, message) in [
        (
            format!("{owner} = '/x/{{org}}'"),
            format!("{owner} in [app.api]: \"/x/{{org}}\" lacks {{owner}} (~/CONFIG, line 8)"),
        ),
        (
            format!("{owner} = '/x/{{owner}}/{{org}}'"),
            "has the placeholder {org}, and there is {owner}".to_owned(),
        ),
        (format!("{owner} = 'https://evil.example/{{owner}}'"), "is not a path below api-url".to_owned()),
        (format!("{owner} = '//evil.example/{{owner}}'"), "is not a path below api-url".to_owned()),
        (format!("{owner} = '@evil.example/{{owner}}'"), "is not a path below api-url".to_owned()),
        (format!("{owner} = '/../{{owner}}'"), "is not a path below api-url".to_owned()),
        ("access-tokens = ''".to_owned(), "is not a path below api-url".to_owned()),
        ("access-tokens = '/tokens'".to_owned(), "lacks {installation}".to_owned()),
        ("installations = ''".to_owned(), "is not a path below api-url".to_owned()),
        ("username = \"a\\npassword=b\"".to_owned(), "is not a user name".to_owned()),
        ("username = 'a:b'".to_owned(), "is not a user name".to_owned()),
        ("token = ''".to_owned(), "is not the name of a field".to_owned()),
        (
            "headers = { Accept = \"x\\r\\nAuthorization: y\" }".to_owned(),
            "the value of the header Accept is not one line of ASCII".to_owned(),
        ),
        (
            "headers = { Authorization = 'Bearer x' }".to_owned(),
            "the header Authorization is not for a configuration to set".to_owned(),
        ),
        ("headers = 'Accept'".to_owned(), "expected a table: { name = \"…\" }, found text".to_owned()),
        (
            "installation = '/x'".to_owned(),
            "unknown setting `installation`, expected `installation-of-owner`, ".to_owned(),
        ),
    ] {
        let env = vendor(Vendor::default());
        env.configure(&format!("{}[app.api]\n{line}\n", rule("")));
        let failed = env.get(HOST, "acme/widgets");
        let told =
            failed.stderr.replace(&env.home().display().to_string(), "~").replace(TestEnv::CONFIG, "CONFIG");
        assert!(
            failed.code == Some(1) && told.contains(&message) && told.contains("hint: "),
            "{line}: {told}"
        );
        assert_eq!(env.github.log(), [""; 0]);
    }
    let env = vendor(Vendor::default());
    env.configure("[[app]]\nid = '1'\nprivate-key = '~/icr.pem'\napi = 7\n");
    assert!(
        env.get("github.com", "a/b")
            .stderr
            .contains("expected a table that begins with [app.api], found a number")
    );
    env.configure("[[app]]\nid = '1'\nprivate-key = '~/icr.pem'\ninstallation-id = 'inst-7'\n");
    assert!(env.get("github.com", "a/b").stderr.contains("\"inst-7\" is not a number ("));
}

#[test]
fn an_installation_with_a_name_may_be_pinned() {
    let env = vendor(Vendor { named: true, expiry: Expiry::Iso });
    env.configure(&(rule("installation-id = 'inst-4201'") + API));
    token(&env.get(HOST, "acme/widgets"));
    assert_eq!(env.github.world().count(LOOKUP), 0);
    env.configure(&(rule("") + &API.replace("\"/app/organizations/{owner}/installation\"", "\"\"")));
    token(&env.get(HOST, "globex/gears"));
    assert_eq!(env.github.world().count("GET /app/installations"), 1);
}
