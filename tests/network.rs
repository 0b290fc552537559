//! Whoever can clone through a corporate proxy with a private CA can mint through it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a scenario that cannot be set up has failed"
)]

mod common;

use common::TestEnv;

/// Removes git's own settings of proxy and CA.
fn without_git_settings() -> TestEnv {
    let env = TestEnv::new();
    env.git(["config", "--global", "--unset", "http.proxy"]).ok();
    env.git(["config", "--global", "--unset", "http.sslCAInfo"]).ok();
    env
}

#[test]
fn proxy_and_ca_may_come_from_the_environment() {
    for ca in ["GIT_SSL_CAINFO", "SSL_CERT_FILE"] {
        for proxy in ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
            let env = without_git_settings();
            let (file, address) = (env.github.ca_file(), env.github.proxy().to_owned());
            let env = env.with(ca, file.to_str().unwrap()).with(proxy, address);
            let answer = env.get("github.com", "acme/widgets");
            assert!(answer.attribute("password").is_some(), "{ca} {proxy}: {answer:?}");
        }
    }
}

#[test]
fn a_folder_of_ca_certificates_is_used() {
    let env = TestEnv::new();
    env.git(["config", "--global", "--unset", "http.sslCAInfo"]).ok();
    let folder = env.write("cas/any-name.pem", std::fs::read(env.github.ca_file()).unwrap());
    env.write("cas/README", "not a certificate");
    env.git_config("http.sslCAPath", folder.parent().unwrap().to_str().unwrap());
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
}

#[test]
fn settings_for_the_apis_address_only_are_found() {
    let env = without_git_settings();
    env.git_config("http.https://api.github.com/.proxy", env.github.proxy());
    env.git_config("http.https://api.github.com.sslCAInfo", env.github.ca_file().to_str().unwrap());
    env.git_config("http.https://github.com.proxy", "http://127.0.0.1:1");
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
}

#[test]
fn a_certificate_that_is_not_trusted_is_told_with_the_next_step() {
    let env = TestEnv::new();
    env.git(["config", "--global", "--unset", "http.sslCAInfo"]).ok();
    let failed = env.get("github.com", "acme/widgets");
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
    assert!(
        failed
            .stderr
            .starts_with("git-credential-ghapp: error: the certificate of api.github.com is not signed by a known authority\n"),
        "{failed:?}"
    );
    assert!(failed.stderr.ends_with(
        "git-credential-ghapp: hint: name its CA: git config --global http.sslCAInfo FILE, or set SSL_CERT_FILE\n"
    ));
    assert_eq!(env.github.log(), [""; 0]);
}

#[test]
fn a_ca_file_that_is_none_is_told() {
    let env = TestEnv::new();
    for (file, why) in
        [("missing", "no such file or directory"), ("empty", "there is no certificate in PEM format in it")]
    {
        env.write("home/empty", "");
        env.git_config("http.sslCAInfo", &format!("~/{file}"));
        let failed = env.get("github.com", "acme/widgets");
        let home = env.home();
        let expected = format!("error: cannot use the CA certificates in {}/{file}: {why}\n", home.display());
        assert!(failed.stderr.contains(&expected), "{failed:?}");
    }
}

#[test]
fn checking_certificates_can_be_turned_off_as_in_git_and_is_warned_about() {
    let env = TestEnv::new();
    env.git(["config", "--global", "--unset", "http.sslCAInfo"]).ok();
    env.git_config("http.sslVerify", "false");
    let answer = env.get("github.com", "acme/widgets");
    assert!(answer.attribute("password").is_some());
    assert!(
        answer.stderr.contains("warning: the certificate of api.github.com is not checked"),
        "{answer:?}"
    );
}

#[test]
fn no_proxy_is_honoured_and_unusable_proxies_are_told_without_their_password() {
    // Without the proxy the name leads nowhere here; through it, it would lead to the simulator.
    let env = TestEnv::new().with("NO_PROXY", "localhost");
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
    let host = env.github.host().to_owned();
    let env = env.with("GHAPP_HOST", &host);
    env.git_config("http.proxy", "http://user:s3cret@127.0.0.1:1");
    assert!(env.get(&host, "acme/widgets").attribute("password").is_some());
    env.git_config("http.proxy", "gopher://user:s3cret@127.0.0.1:1");
    let failed = env.without("NO_PROXY").with("GHAPP_INSTALLATION_ID", "4202");
    let failed = failed.get(&host, "acme/widgets");
    assert!(
        failed
            .stderr
            .starts_with("git-credential-ghapp: error: the proxy address in http.proxy is not usable\n"),
        "{failed:?}"
    );
    assert!(!failed.stderr.contains("s3cret"));
}

#[test]
fn the_client_certificate_that_git_shows_is_shown_to_the_api_and_the_probe() {
    let env = TestEnv::new();
    let both = std::fs::read_to_string(env.github.client_certificate()).unwrap();
    let (certificate, key) = both.split_at(both.find("-----BEGIN PRIVATE KEY").unwrap());
    let certificate = env.write("client/certificate.pem", certificate);
    let key = env.write_private("client/key.pem", key);
    let shown = |env: &TestEnv| {
        let before = env.github.world().client_certificates;
        let answer = env.get("github.com", "acme/widgets");
        assert!(answer.attribute("password").is_some(), "{answer:?}");
        let shown = env.github.world().client_certificates - before;
        env.helper(["logout"], "").ok();
        shown
    };
    assert_eq!(shown(&env), 0);
    env.git_config("http.https://github.com.sslCert", env.github.client_certificate().to_str().unwrap());
    assert_eq!(shown(&env), 2);
    env.git_config("http.https://github.com.sslCert", certificate.to_str().unwrap());
    env.git_config("http.https://github.com.sslKey", key.to_str().unwrap());
    assert_eq!(shown(&env), 2);
    let report = env.helper(["doctor", "acme/widgets"], "").stdout;
    assert!(
        report.contains(&format!(", with the client certificate {}\n", certificate.display())),
        "{report}"
    );
    env.git(["config", "--global", "--remove-section", "http.https://github.com"]).ok();
    env.helper(["logout"], "").ok();
    let variables =
        env.with("GIT_SSL_CERT", certificate.to_str().unwrap()).with("GIT_SSL_KEY", key.to_str().unwrap());
    assert_eq!(shown(&variables), 2);
}

#[cfg(unix)]
#[test]
fn a_client_key_that_is_no_file_is_not_waited_for() {
    let env = TestEnv::new();
    env.git_config("http.sslCert", env.github.client_certificate().to_str().unwrap());
    env.git_config("http.sslKey", "/dev/null");
    let refused = env.get("github.com", "acme/widgets");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("cannot use the client certificate in /dev/null: it is not a file\n"),
        "{refused:?}"
    );
}

#[test]
fn what_git_would_check_and_this_program_cannot_ends_in_one_line_before_anything_is_sent() {
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (settings, expected) in [
        (
            &[("http.pinnedPubkey", "sha256//x")][..],
            "git is to accept one public key only (http.pinnedPubkey)",
        ),
        (&[("http.https://github.com.pinnedPubkey", "key.pem")], "git is to accept one public key only"),
        (&[("http.sslCert", "~/missing")], "cannot use the client certificate in HOME/missing: no such file"),
        (
            &[("http.sslCert", "~/certificate")],
            "cannot use the client certificate in HOME/certificate: there is no private key",
        ),
        (
            &[("http.sslCert", "~/certificate"), ("http.sslKey", "~/encrypted")],
            "cannot use the client certificate in HOME/encrypted: there is no private key",
        ),
        (
            &[("http.sslCert", "~/both"), ("http.sslCertPasswordProtected", "true")],
            "cannot use the client certificate in HOME/both: it is said to have a password",
        ),
        (
            &[("http.sslCert", "~/both"), ("http.sslCertType", "P12")],
            "cannot use the client certificate in HOME/both: it is said to be of another kind",
        ),
        (
            &[("http.proxy", "https://127.0.0.1:1"), ("http.proxySSLCAInfo", "~/both")],
            "certificates for the proxy alone (http.proxySSLCAInfo) are not supported",
        ),
    ] {
        let env = TestEnv::new();
        let both = std::fs::read_to_string(env.github.client_certificate()).unwrap();
        env.write("home/certificate", &both[..both.find("-----BEGIN PRIVATE KEY").unwrap()]);
        env.write("home/both", &both);
        env.write("home/encrypted", encrypted);
        for (key, value) in settings {
            env.git_config(key, value);
        }
        let failed = env.get("github.com", "acme/widgets");
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"), "{settings:?}");
        let expected =
            format!("git-credential-ghapp: error: {expected}").replace("HOME", env.home().to_str().unwrap());
        assert!(failed.stderr.starts_with(&expected), "{settings:?}: {failed:?}");
        assert_eq!(failed.stderr.lines().count(), 2, "{failed:?}");
        assert_eq!(env.github.log(), [""; 0]);
    }
    // An empty value takes a setting back, as in git.
    let env = TestEnv::new();
    env.git_config("http.pinnedPubkey", "");
    env.git_config("http.sslCert", "");
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
}

#[test]
fn a_proxy_that_is_reached_in_the_clear_needs_no_certificates() {
    let env = TestEnv::new();
    env.git_config("http.proxySSLCAInfo", "/missing");
    assert!(env.get("github.com", "acme/widgets").attribute("password").is_some());
}

#[test]
fn a_server_that_speaks_only_an_older_tls_than_git_is_to_accept_is_refused() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;
    if !common::has("openssl") {
        return common::skip("openssl is not installed");
    }
    let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
    let certificate = env.github.client_certificate();
    let mut command = env.command("openssl");
    command
        .args(["s_server", "-accept", "127.0.0.1:0", "-tls1_2", "-cert"])
        .arg(&certificate)
        .arg("-key")
        .arg(&certificate);
    let mut server =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let host = lines
        .map(|line| line.unwrap())
        .find_map(|line| Some(line.strip_prefix("ACCEPT ")?.to_owned()))
        .unwrap();
    let env = env.with("GHAPP_HOST", &host).with("NO_PROXY", "127.0.0.1");
    let met = env.get(&host, "acme/widgets");
    assert!(met.stderr.contains("the certificate of "), "{met:?}");
    env.git_config("http.sslVersion", "tlsv1.3");
    let refused = env.get(&host, "acme/widgets");
    assert!(refused.stderr.contains("error: no secure connection to "), "{refused:?}");
    server.kill().unwrap();
    server.wait().unwrap();
}

/// A proxy that answers every request in this way, and how often it was asked.
fn proxy_that_answers(answer: &'static str) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    _ => break,
                }
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, asked)
}

#[test]
fn a_proxy_that_refuses_is_not_asked_again_and_again() {
    for (answer, expected) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
            "error: the proxy PROXY asks for a user name and password, or refuses those that it got\n",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            "error: the proxy PROXY does not connect to api.github.com: it returned 403\n",
        ),
    ] {
        let env = TestEnv::new();
        let (proxy, asked) = proxy_that_answers(answer);
        env.git_config("http.proxy", &format!("http://user:s3cret-of-the-proxy@{proxy}"));
        let failed = env.get("github.com", "acme/widgets");
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), "quit=1\n"));
        assert!(failed.stderr.contains(&expected.replace("PROXY", &proxy)), "{failed:?}");
        assert_eq!(failed.stderr.lines().count(), 2, "{failed:?}");
        assert!(!failed.stderr.contains("s3cret"));
        // Once for the API, and once for git's server, which is connected to meanwhile.
        assert!(asked.load(std::sync::atomic::Ordering::SeqCst) <= 2);
    }
}

#[test]
fn a_proxy_that_fails_is_told_with_what_it_answered() {
    for (answer, expected) in [
        (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            "does not connect to api.github.com: it returned 502\n",
        ),
        ("", "does not connect to api.github.com: proxy server did not respond\n"),
        ("hello\r\n\r\n", "error: api.github.com, or a proxy before it, does not answer with HTTP\n"),
    ] {
        let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
        let (proxy, _) = proxy_that_answers(answer);
        env.git_config("http.proxy", &format!("http://{proxy}"));
        let failed = env.get("github.com", "acme/widgets");
        assert!(failed.stderr.contains(expected), "{failed:?}");
        assert!(failed.stderr.lines().last().unwrap().contains("hint: check "), "{failed:?}");
    }
}

#[test]
fn the_name_that_cannot_be_resolved_is_told() {
    let env = TestEnv::new().with("GHAPP_DEADLINE", "1");
    env.git_config("http.proxy", "http://proxy.invalid:3128");
    let failed = env.get("github.com", "acme/widgets");
    assert!(
        failed.stderr.contains("error: the name proxy.invalid of the proxy cannot be resolved\n"),
        "{failed:?}"
    );
    let env = env.with("GHAPP_HOST", "github.invalid");
    env.git_config("http.proxy", "");
    let failed = env.get("github.invalid", "acme/widgets");
    assert!(failed.stderr.contains("error: the name github.invalid cannot be resolved\n"), "{failed:?}");
}
