//! The simulator is what it says: as strict as GitHub, in GitHub's words.

#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use github_simulator::{ACME_KEY, Anonymous, GLOBEX_KEY, ROGUE_KEY, Simulator};
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

const MINT: &str = "https://api.github.com/app/installations/4201/access_tokens";

struct Scene {
    folder: TempDir,
    github: Simulator,
    agent: Agent,
}

struct Reply {
    status: u16,
    headers: ureq::http::HeaderMap,
    body: Value,
}

impl Reply {
    fn message(&self) -> (u16, &str) {
        (self.status, self.body["message"].as_str().unwrap())
    }

    fn number(&self, header: &str) -> i64 {
        self.headers[header].to_str().unwrap().parse().unwrap()
    }
}

/// An App on one owner with a private and a public repository.
fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let github = Simulator::start(folder.path()).unwrap();
    {
        let mut world = github.world();
        world.add_app(101, "Iv23liAcmeCi", "acme-ci", ACME_KEY);
        world.install(4201, 101, "acme");
        world.add_repository("acme", "widgets", &[("README", "widgets\n")]);
        world.add_repository("public", "library", &[("README", "library\n")]);
        world.repositories.iter_mut().filter(|it| it.owner == "public").for_each(|it| it.private = false);
    }
    let ca = Certificate::from_pem(&std::fs::read(github.ca_file()).unwrap()).unwrap();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[ca]))
        .unversioned_rustls_crypto_provider(std::sync::Arc::new(
            tokio_rustls::rustls::crypto::ring::default_provider(),
        ))
        .build();
    let agent = Agent::config_builder()
        .tls_config(tls)
        .proxy(Some(Proxy::new(github.proxy()).unwrap()))
        .http_status_as_error(false)
        .build()
        .into();
    Scene { folder, github, agent }
}

impl Scene {
    fn request(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = self.agent.run(request.body(()).unwrap()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    /// A request of an App, with its JWT.
    fn by_app(&self, key: &str, method: &str, url: &str, headers: &[(&str, &str)]) -> Reply {
        let authorization = format!("Bearer {}", self.jwt(key));
        self.request(method, url, &[&[("Authorization", authorization.as_str())], headers].concat())
    }

    fn jwt(&self, key: &str) -> String {
        let now = self.github.world().now();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({"iss": "Iv23liAcmeCi", "iat": now - 60, "exp": now + 540});
        let signed = format!("{}.{}", part(&json!({"alg": "RS256"})), part(&claims));
        let PrivateKeyDer::Pkcs1(der) = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap() else {
            panic!()
        };
        let pair = RsaKeyPair::from_der(der.secret_pkcs1_der()).unwrap();
        let mut signature = vec![0; pair.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The token of a mint with these headers.
    fn token(&self, url: &str, headers: &[(&str, &str)]) -> String {
        let reply = self.by_app(ACME_KEY, "POST", url, headers);
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.body["token"].as_str().unwrap().to_owned()
    }

    /// `git clone`, with no credential helper, and with a header, if it is not empty.
    fn clone(&self, url: &str, header: &str) -> (Option<i32>, String) {
        let output = Command::new("git")
            .args(["-c", &format!("http.extraHeader={header}"), "clone", "--quiet", url])
            .arg(self.folder.path().join("clone"))
            .env("HOME", self.folder.path())
            .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")])
            .env("HTTPS_PROXY", self.github.proxy())
            .env("GIT_SSL_CAINFO", self.github.ca_file())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

#[test]
fn releases_are_downloaded_by_way_of_the_host_for_files() {
    let scene = scene();
    scene.github.world().release("acme/widgets", "v1.2", [("widgets.txt".to_owned(), b"widgets".to_vec())]);
    for path in ["latest/download/widgets.txt", "download/v1.2/widgets.txt"] {
        let reply = scene.request("GET", &format!("https://github.com/acme/widgets/releases/{path}"), &[]);
        assert_eq!((reply.status, reply.body), (200, json!("widgets")), "{path}");
    }
    let last = scene.github.log().pop().unwrap();
    assert!(
        last.starts_with("release-assets.githubusercontent.com GET /acme/widgets/v1.2/widgets.txt?"),
        "{last}"
    );
    for path in ["download/v1.2/gears.txt", "download/v1.3/widgets.txt"] {
        let reply = scene.request("GET", &format!("https://github.com/acme/widgets/releases/{path}"), &[]);
        assert_eq!(reply.status, 404, "{path}");
    }
}

#[test]
fn tokens_are_long_unless_the_mint_or_the_server_has_it_otherwise() {
    let scene = scene();
    let long = scene.token(MINT, &[]);
    assert!(long.starts_with("ghs_101_eyJ") && long.len() == 520 && long.matches('.').count() == 2, "{long}");
    let header = |value| ("X-GitHub-Stateless-S2S-Token", value);
    assert_eq!(scene.token(MINT, &[header("disabled")]).len(), 40);
    assert_eq!(scene.token(MINT, &[header("enabled")]).len(), 520);
    let server = "https://ghe.example/api/v3/app/installations/4201/access_tokens";
    assert_eq!(scene.token(server, &[header("enabled")]).len(), 40);
    scene.github.world().long_tokens = false;
    assert_eq!(scene.token(MINT, &[]).len(), 40);
    assert_eq!(scene.token(MINT, &[header("enabled")]).len(), 520);
}

#[test]
fn two_versions_of_the_api_are_there_and_no_others() {
    let scene = scene();
    let app = |version| {
        scene.by_app(ACME_KEY, "GET", "https://api.github.com/app", &[("X-GitHub-Api-Version", version)])
    };
    assert_eq!((app("2022-11-28").status, app("2026-03-10").status), (200, 200));
    assert_eq!(app("2024-01-01").message(), (400, "The api version provided is not supported"));
}

#[test]
fn an_app_has_several_keys_and_a_deleted_one_is_no_key() {
    let scene = scene();
    let app = |key| scene.by_app(key, "GET", "https://api.github.com/app", &[]);
    assert_eq!(app(GLOBEX_KEY).message(), (401, "A JSON web token could not be decoded"));
    scene.github.world().add_key(101, GLOBEX_KEY);
    assert_eq!((app(ACME_KEY).status, app(GLOBEX_KEY).status), (200, 200));
    scene.github.world().delete_key(101, ACME_KEY);
    assert_eq!(app(ACME_KEY).message(), (401, "A JSON web token could not be decoded"));
    assert_eq!(app(ROGUE_KEY).message(), (401, "A JSON web token could not be decoded"));
    assert_eq!(app(GLOBEX_KEY).status, 200);
}

#[test]
fn a_new_apps_first_jwts_are_refused() {
    let scene = scene();
    scene.github.world().app(101).unready = 2;
    let app = || scene.by_app(ACME_KEY, "GET", "https://api.github.com/app", &[]);
    for _ in 0..2 {
        assert_eq!(app().message(), (401, "Integration must generate a public key"));
    }
    assert_eq!(app().status, 200);
    scene.github.world().delete_key(101, ACME_KEY);
    assert_eq!(app().message(), (401, "Integration must generate a public key"));
}

#[test]
fn an_app_has_so_many_requests_an_hour_and_its_installations_have_their_own() {
    let scene = scene();
    let app = || scene.by_app(ACME_KEY, "GET", "https://api.github.com/app", &[]);
    let first = app();
    assert_eq!((first.number("x-ratelimit-limit"), first.number("x-ratelimit-remaining")), (5000, 4999));
    assert_eq!((first.number("x-ratelimit-used"), first.status), (1, 200));
    assert!((3590..=3600).contains(&(first.number("x-ratelimit-reset") - scene.github.world().now())));
    scene.github.world().rate_limit = 3;
    let token = format!("Bearer {}", scene.token(MINT, &[]));
    assert_eq!(app().number("x-ratelimit-remaining"), 0);
    let exceeded = app();
    assert_eq!(exceeded.message(), (403, "API rate limit exceeded for app ID 101."));
    assert_eq!(exceeded.number("x-ratelimit-remaining"), 0);
    assert_eq!(exceeded.number("x-ratelimit-reset"), first.number("x-ratelimit-reset"));
    let url = "https://api.github.com/installation/repositories";
    let by_token = scene.request("GET", url, &[("Authorization", &token)]);
    assert_eq!((by_token.status, by_token.number("x-ratelimit-remaining")), (200, 2));
    assert_eq!(scene.by_app(ACME_KEY, "GET", "https://ghe.example/api/v3/app", &[]).status, 200);
    scene.github.world().clock_offset = 3600;
    assert_eq!(app().number("x-ratelimit-remaining"), 2);
}

#[test]
fn a_public_repository_is_for_everybody_or_refuses_who_has_no_credential() {
    let scene = scene();
    let url = "https://github.com/public/library";
    scene.github.world().anonymous = Anonymous::Unauthorized;
    let (code, told) = scene.clone(url, "");
    assert_eq!(code, Some(128));
    assert!(told.starts_with("fatal: could not read Username for 'https://github.com'"), "{told}");
    scene.github.world().anonymous = Anonymous::Limited;
    let (code, told) = scene.clone(url, "");
    assert_eq!(code, Some(128));
    assert_eq!(
        told,
        "fatal: remote error: GitHub is temporarily limiting some unauthenticated downloads to protect the stability of \
         the platform. Please retry later or authenticate.\n"
    );
    assert!(
        scene.github.log().iter().any(|line| line.ends_with("info/refs?service=git-upload-pack [-] 200"))
    );
    // An installation that has nothing to do with the repository may read it all the same, and not write to it.
    let token = scene.token(MINT, &[]);
    let credential = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
    let authorization = format!("Basic {credential}");
    assert_eq!(scene.clone(url, &format!("Authorization: {authorization}")), (Some(0), String::new()));
    let push = "https://github.com/public/library.git/info/refs?service=git-receive-pack";
    let refused = scene.request("GET", push, &[("Authorization", &authorization)]);
    assert_eq!(refused.status, 403);
    std::fs::remove_dir_all(scene.folder.path().join("clone")).unwrap();
    scene.github.world().anonymous = Anonymous::Served;
    assert_eq!(scene.clone(url, ""), (Some(0), String::new()));
}

#[test]
fn every_host_has_a_certificate() {
    let scene = scene();
    for host in ["github.com", "api.tenant.ghe.com", "never.heard.of.it.example", "evil.example:8443"] {
        let reply = scene.request("GET", &format!("https://{host}/"), &[]);
        assert!((400..=404).contains(&reply.status), "{host}: {}", reply.status);
    }
    assert_eq!(scene.github.log().len(), 4);
}

/// What a browser does with a form: the answer's status, where it leads to, and its text.
fn post_form(scene: &Scene, url: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = ureq::http::Request::builder()
        .method("POST")
        .uri(url)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body)
        .unwrap();
    let request = scene.agent.configure_request(request).max_redirects(0).build();
    let mut response = scene.agent.run(request).unwrap();
    let location = response.headers().get("location").map_or("", |it| it.to_str().unwrap()).to_owned();
    (response.status().as_u16(), location, response.body_mut().read_to_string().unwrap())
}

#[test]
fn an_app_is_registered_from_a_manifest_once_and_within_an_hour() {
    let scene = scene();
    let manifest = |name: &str| {
        json!({"name": name, "url": "https://acme.example", "redirect_url": "http://127.0.0.1:1/made",
            "default_permissions": {"contents": "read"}})
        .to_string()
    };
    let new = "https://github.com/organizations/acme/settings/apps/new?state=s1";
    let agree = |name: &str| {
        let page = post_form(&scene, new, &[("manifest", &manifest(name))]).2;
        let token =
            page.split("name=\"authenticity_token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let fields = [("authenticity_token", token), ("name", name)];
        post_form(&scene, "https://github.com/organizations/acme/settings/apps", &fields)
    };
    for (wrong, why) in [
        ("{}", "\"url\" wasn't supplied"),
        ("[1", "not a JSON object"),
        (r#"{"url": "https://a.example", "hook_attributes": {"active": false}}"#, "\"url\" wasn't supplied"),
        (r#"{"url": "https://a.example", "colour": "red"}"#, "not a permitted key"),
        (
            r#"{"url": "https://a.example", "default_permissions": {"contents": "all"}}"#,
            "contents is not included",
        ),
    ] {
        let (status, _, page) = post_form(&scene, new, &[("manifest", wrong)]);
        assert!(status == 422 && page.replace("&quot;", "\"").contains(why), "{wrong}: {page}");
    }
    assert!(agree("Acme CI").2.contains("Name is already taken"));
    let (status, location, _) = agree("Acme git");
    assert_eq!(status, 302);
    let code =
        location.strip_prefix("http://127.0.0.1:1/made?code=").unwrap().strip_suffix("&state=s1").unwrap();
    let convert = |code: &str| {
        scene.request("POST", &format!("https://api.github.com/app-manifests/{code}/conversions"), &[])
    };
    let made = convert(code);
    assert_eq!(
        (made.status, &made.body["slug"], &made.body["owner"]["login"]),
        (201, &json!("acme-git"), &json!("acme"))
    );
    assert!(made.body["pem"].as_str().unwrap().starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert_eq!(made.body["permissions"], json!({"contents": "read", "metadata": "read"}));
    assert_eq!(convert(code).message(), (404, "Not Found"));
    // On its owner's account, or another one that there is.
    let pages = "https://github.com/apps/acme-git/installations";
    for (fields, led_to) in [(&[][..], "/acme/"), (&[("account", "public")], "/public/")] {
        let (status, location, _) = post_form(&scene, pages, fields);
        assert!(status == 302 && location.contains(led_to), "{location}");
    }
    assert_eq!(post_form(&scene, pages, &[("account", "nobody")]).0, 404);
    let (_, late, _) = agree("Acme later");
    scene.github.world().clock_offset += 3601;
    let code = late.split("code=").nth(1).unwrap().split('&').next().unwrap();
    assert_eq!(convert(code).message(), (404, "Not Found"));
    let (log, secrets) = (scene.github.log().join("\n"), scene.github.world().registrations.clone());
    assert!(secrets.iter().all(|it| !log.contains(&it.code)) && !log.contains("s1"), "{log}");
}
