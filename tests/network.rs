//! Whoever can clone through a corporate proxy with a private CA can mint through it.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

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
            .starts_with("git-credential-ghapp: error: the certificate of api.github.com is not trusted: "),
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
