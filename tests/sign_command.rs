//! `sign-command`: the private key is where this machine cannot read it, and a command signs.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::{ACME_APP, REQUEST, Ran, TestEnv, has, run, skip};
use github_simulator::{ACME_KEY, ROGUE_KEY};

/// What signs in these scenarios, from a place that the helper is not told.
const SIGN: &str = "openssl dgst -sha256 -sign \"$HOME/vault/acme.pem\"";

/// A home whose key only the command reads, with the shell script that signs and these lines in the rule. `None` without
/// openssl.
fn with_script(script: &str, lines: &str) -> Option<TestEnv> {
    if !has("openssl") {
        skip("openssl is not installed");
        return None;
    }
    let env = TestEnv::bare();
    for (name, key) in [("acme", ACME_KEY), ("rogue", ROGUE_KEY)] {
        let path = env.write_private(&format!("home/vault/{name}.pem"), key);
        let public = env.home().join(format!("{name}.pub.pem"));
        let mut openssl = env.command("openssl");
        run(openssl.args(["rsa", "-pubout", "-in"]).arg(path).arg("-out").arg(public), b"").ok();
    }
    let command = format!("['sh', '-c', '''\necho signed >>\"$HOME/calls\"\n{script}''']");
    let command = if script.is_empty() { String::new() } else { format!("sign-command = {command}") };
    env.configure(&format!("[[app]]\nid = '{ACME_APP}'\n{command}\n{lines}\n"));
    Some(env)
}

fn calls(env: &TestEnv) -> usize {
    std::fs::read_to_string(env.home().join("calls")).unwrap_or_default().lines().count()
}

fn token(ran: &Ran) -> &str {
    ran.attribute("password").unwrap_or_else(|| panic!("{ran:#?}"))
}

#[test]
fn one_signature_serves_a_cold_call_and_a_warm_one_needs_none() {
    let Some(env) = with_script(SIGN, "public-key = '~/acme.pub.pem'") else { return };
    use_unique_app(&env);
    let env = env.with("GHAPP_CACHE", "auto").with("GHAPP_TRACE", "1");
    let first = env.get("github.com", "acme/widgets");
    if first.stderr.contains("not cached") {
        return skip("the kernel's keyring cannot be used here");
    }
    // A lookup and a mint.
    assert_eq!((env.lookups_and_mints(), calls(&env)), ((1, 1), 1), "{first:?}");
    let again = env.get("github.com", "acme/widgets");
    assert_eq!((token(&again), calls(&env)), (token(&first), 1));
    assert!(!again.stderr.contains("sign-command"), "{again:?}");
    env.helper(["erase"], format!("{REQUEST}password={}\n", token(&first))).ok();
}

#[test]
fn a_signature_may_be_bytes_or_base64_or_as_vault_writes_it() {
    for (how, public) in [
        (SIGN.to_owned(), true),
        (SIGN.to_owned(), false),
        (format!("{SIGN} | base64"), true),
        (format!("{SIGN} | base64 -w0 | tr '+/' '-_' | tr -d '='"), true),
        (format!("echo \"vault:v3:$({SIGN} | base64 -w0)\""), false),
    ] {
        let line = if public { "public-key = '~/acme.pub.pem'" } else { "" };
        let Some(env) = with_script(&how, line) else { return };
        token(&env.get("github.com", "acme/widgets"));
    }
}

#[test]
fn what_is_not_a_signature_of_the_app_is_told_before_anything_is_sent() {
    let acme = "public-key = '~/acme.pub.pem'";
    let rsa1024 = "openssl genrsa 1024 2>/dev/null >k && openssl dgst -sha256 -sign k";
    let pss = format!("{SIGN} -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest");
    let rogue = SIGN.replace("acme", "rogue");
    let hint = "it must print the signature alone, RSASSA-PKCS1-v1_5 with SHA-256";
    for (script, line, message) in [
        ("no-such-signer", acme, "sh ended with exit code 127"),
        ("exit 2", acme, "sh ended with exit code 2"),
        (":", acme, "sh printed nothing"),
        ("head -c 10000000 /dev/zero", "", "sh printed more than 64 KiB"),
        ("cat \"$HOME/vault/acme.pem\"", "", "sh printed PEM, where a signature belongs"),
        ("echo '{\"Signature\": \"AAAA\"}'", "", "and a signature of an RSA key has 256, 384 or 512"),
        ("echo AAAA", acme, "sh printed 3 bytes, and a signature of its public key has 256"),
        (rsa1024, "", "sh printed 128 bytes, and a signature of an RSA key has 256, 384 or 512"),
        (&rogue, acme, "sh printed a signature that its public key does not verify"),
        (&pss, acme, "sh printed a signature by RSASSA-PSS, which GitHub refuses"),
    ] {
        let Some(env) = with_script(script, line) else { return };
        let env = env.with("GHAPP_TRACE", "1");
        let failed = env.get("github.com", "acme/widgets");
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{failed:?}");
        assert!(failed.stderr.contains("error: sign-command ("), "{failed:?}");
        assert!(failed.stderr.contains(message), "{message}\n{failed:?}");
        assert!(failed.stderr.contains(hint) || failed.stderr.contains("hint: try it by hand"), "{failed:?}");
        assert!(!failed.stderr.contains("eyJ") && !failed.stderr.contains(ACME_KEY.lines().nth(5).unwrap()));
        assert_eq!(env.github.log(), [""; 0], "{script}");
        assert!(!env.cache().join("tokens").exists() && !env.cache().join("routes").exists(), "{script}");
    }
}

#[test]
fn without_a_public_key_githubs_refusal_says_what_a_signer_may_do_wrong() {
    for script in [SIGN.replace("acme", "rogue"), format!("{SIGN} -sigopt rsa_padding_mode:pss")] {
        let Some(env) = with_script(&script, "") else { return };
        let failed = env.get("github.com", "acme/widgets");
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert!(failed.stderr.contains("error: https://api.github.com refused the App's JWT"), "{failed:?}");
        assert!(failed.stderr.contains("public-key") && failed.stderr.contains("PSS"), "{failed:?}");
    }
}

#[test]
fn public_keys_that_are_none_are_named() {
    for (content, message) in [
        (None, "cannot read the public key ~/key.pub (~/CONFIG, line"),
        (Some("hello".to_owned()), "is not a public key in PEM format"),
        (Some(ACME_KEY.to_owned()), "holds a private key, which belongs where the command has it"),
    ] {
        let Some(env) = with_script(SIGN, "public-key = '~/key.pub'") else { return };
        if let Some(content) = content {
            env.write("home/key.pub", content);
        }
        let failed = env.get("github.com", "acme/widgets");
        let told =
            failed.stderr.replace(&env.home().display().to_string(), "~").replace(TestEnv::CONFIG, "CONFIG");
        assert!(told.contains(message) && told.contains("hint: "), "{told}");
        assert_eq!(calls(&env), 0);
    }
    let Some(env) = with_script("", "private-key = '~/vault/acme.pem'\npublic-key = '~/acme.pub.pem'") else {
        return;
    };
    let failed = env.get("github.com", "acme/widgets");
    assert!(failed.stderr.contains("public-key is of use only beside sign-command"), "{failed:?}");
}

#[test]
fn a_signer_that_fails_does_not_take_away_a_token_that_still_works() {
    let Some(env) = with_script(&format!("[ ! -e broken ] && {SIGN}"), "") else { return };
    use_unique_app(&env);
    let env = env.with("GHAPP_CACHE", "auto");
    env.github.world().token_lifetime = 200;
    let first = env.get("github.com", "acme/widgets");
    if first.stderr.contains("not cached") {
        return skip("the kernel's keyring cannot be used here");
    }
    env.write("home/broken", "");
    let again = env.get("github.com", "acme/widgets");
    assert_eq!(token(&again), token(&first));
    assert!(again.stderr.contains("sh ended with exit code 1"), "{again:?}");
    env.helper(["erase"], format!("{REQUEST}password={}\n", token(&first))).ok();
}

#[test]
fn a_sealed_file_is_sealed_under_one_signature_that_the_keyring_keeps() {
    let Some(env) = with_script(SIGN, "") else { return };
    use_unique_app(&env);
    let first = env.get("github.com", "acme/widgets");
    if first.stderr.contains("not cached") {
        return skip("the kernel's keyring cannot be used here");
    }
    // The JWT, and the secret that the file is sealed under.
    assert_eq!((calls(&env), first.stderr.as_str()), (2, ""));
    assert_eq!(std::fs::read_dir(env.cache().join("tokens")).unwrap().count(), 1);
    let again = env.get("github.com", "acme/widgets");
    assert_eq!((token(&again), calls(&env)), (token(&first), 2));
    // The machine restarts: the keyring is empty, and another signature gives the same secret.
    forget_secrets(&env);
    let restarted = env.get("github.com", "acme/widgets");
    assert_eq!((token(&restarted), calls(&env)), (token(&first), 3), "{restarted:?}");
    assert_eq!(env.lookups_and_mints(), (1, 1));
    forget_secrets(&env);
}

#[test]
fn uninstall_leaves_no_signature_in_the_keyring() {
    if std::path::Path::new("/etc/git-credential-ghapp").exists() {
        return skip("this machine is set up itself");
    }
    let Some(env) = with_script(SIGN, "") else { return };
    use_unique_app(&env);
    if env.get("github.com", "acme/widgets").stderr.contains("not cached") {
        return skip("the kernel's keyring cannot be used here");
    }
    let told = env.helper(["uninstall", "--yes"], "").ok();
    assert!(told.contains("removed 1 token, revoked 1\n"), "{told}");
    let before = calls(&env);
    env.get("github.com", "acme/widgets");
    // The JWT, and what the file is sealed under.
    assert_eq!(calls(&env), before + 2);
    env.helper(["uninstall", "--yes"], "").ok();
}

/// Configures an App of a number that no other scenario and no other run has: keyrings outlive a test.
fn use_unique_app(env: &TestEnv) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = u64::from(std::process::id()) * 1000 + NEXT.fetch_add(1, Ordering::Relaxed);
    {
        let mut world = env.github.world();
        world.add_app(id, &format!("Iv{id}"), "acme-signs", ACME_KEY);
        world.install(id, id, "acme");
    }
    let config = std::fs::read_to_string(env.home().join(TestEnv::CONFIG)).unwrap();
    env.configure(&config.replace(ACME_APP, &id.to_string()));
}

/// Drops the secrets of this helper from the keyring.
fn forget_secrets(env: &TestEnv) {
    let script = "for key in $(keyctl rlist \"$(keyctl get_persistent @s)\"); do
        keyctl rdescribe $key | grep -q git-credential-ghapp:seal- && keyctl invalidate $key; done; true";
    run(env.command("keyctl").args(["session", "-", "sh", "-c", script]), b"").ok();
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_keyring_there_is_no_sealed_file_and_doctor_says_so() {
    let Some(env) = with_script(SIGN, "public-key = '~/acme.pub.pem'") else { return };
    let without_keyring = |arguments: &[&str]| {
        use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
        let calls = [libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key];
        let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
        let (allow, refuse) = (SeccompAction::Allow, SeccompAction::Errno(libc::EPERM.unsigned_abs()));
        let filter = SeccompFilter::new(rules, allow, refuse, std::env::consts::ARCH.try_into().unwrap());
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        let mut command = env.command(env!("CARGO_BIN_EXE_git-credential-ghapp"));
        command.args(arguments);
        std::thread::spawn(move || {
            seccompiler::apply_filter(&program).unwrap();
            run(&mut command, REQUEST.as_bytes())
        })
        .join()
        .unwrap()
    };
    let why = "no keyring keeps the secret that it is sealed under: the kernel does not permit it, as in many containers";
    let answer = without_keyring(&["get"]);
    token(&answer);
    assert!(
        answer
            .stderr
            .contains(&format!("the token is not cached, so the next call mints again: sealed file: {why}"))
    );
    assert!(!env.cache().join("tokens").exists());
    assert_eq!(calls(&env), 1);
    let told = without_keyring(&["doctor", "acme/widgets"]).stdout;
    assert!(told.contains(&format!("sealed file does not work, so every call mints: {why}")), "{told}");
}

#[test]
fn setup_writes_it_doctor_signs_once_and_undo_takes_it_back() {
    if !has("openssl") {
        return skip("openssl is not installed");
    }
    let env = TestEnv::fresh();
    let key = env.write_private("home/vault/acme.pem", ACME_KEY);
    run(env.command("openssl").args(["rsa", "-pubout", "-out", "pub.pem", "-in"]).arg(&key), b"").ok();
    let command = "openssl dgst -sha256 -sign 'vault/acme.pem'";
    let arguments = ["setup", "--app-id", ACME_APP, "--sign-command", command, "--public-key", "pub.pem"];
    env.helper(arguments, "").ok();
    let config = || std::fs::read_to_string(env.home().join(TestEnv::CONFIG)).unwrap_or_default();
    let public = env.home().join("pub.pem").display().to_string();
    assert!(
        config()
            .contains("sign-command = [\"openssl\", \"dgst\", \"-sha256\", \"-sign\", \"vault/acme.pem\"]")
    );
    assert!(config().contains(&format!("public-key = \"{public}\"")), "{}", config());
    env.git(["ls-remote", common::WIDGETS]).ok();
    let told = env.helper(["doctor", "acme/widgets"], "").stdout;
    let line = told.lines().find(|line| line.contains("sign command")).unwrap();
    assert!(
        line.starts_with("ok       sign command: openssl signs in ") && line.contains("SHA256:"),
        "{line}"
    );
    let with_key = env.helper(["doctor", "--private-key", "vault/acme.pem", "acme/widgets"], "").stdout;
    let fingerprint = |text: &str| text.split("SHA256:").nth(1).unwrap()[..44].to_owned();
    assert_eq!(fingerprint(line), fingerprint(&with_key));
    let told = env.helper(["setup", "--app-id", ACME_APP], "").ok();
    assert!(told.contains("everything is set up already"), "{told}");
    env.helper(["setup", "--undo"], "").ok();
    assert_eq!(config(), "");
    std::fs::remove_file(env.home().join("vault/acme.pem")).unwrap();
    let failed = env.helper(arguments, "");
    assert!(failed.code == Some(1) && failed.stderr.contains("error: sign-command ("), "{failed:?}");
    assert_eq!(config(), "");
}
