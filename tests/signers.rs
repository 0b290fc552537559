//! The signers of docs/keys.md, each for real: as the page writes it, a key is imported and a command signs.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{ACME_APP, TestEnv, has, run, skip};
use github_simulator::ACME_KEY;

/// The line of the page that configures a signer, by its program.
fn recipe(program: &str) -> String {
    let page = std::fs::read_to_string("docs/keys.md").unwrap();
    let start = format!("sign-command = [\"{program}\"");
    page.lines().find(|line| line.starts_with(&start)).unwrap().to_owned()
}

/// The commands of the page that begin with a program's name, as they stand there.
fn steps(program: &str) -> Vec<String> {
    let page = std::fs::read_to_string("docs/keys.md").unwrap();
    page.lines().filter(|line| line.starts_with(program)).map(str::to_owned).collect()
}

/// A home with the key that GitHub made, and its public key.
fn machine() -> TestEnv {
    let env = TestEnv::bare().with("GHAPP_CACHE", "none").with("PIN", "1234");
    env.write_private("home/acme.pem", ACME_KEY);
    shell(&env, "openssl rsa -in acme.pem -pubout -out acme.pub.pem");
    env
}

#[track_caller]
fn shell(env: &TestEnv, line: &str) {
    let ran = run(env.command("sh").args(["-euc", line]), b"");
    assert_eq!(ran.code, Some(0), "{line}\n{ran:#?}");
}

/// A clone through a signer that signs as the page says; `doctor` tells with which key.
#[track_caller]
fn signs(env: &TestEnv, recipe: &str) {
    let public = env.home().join("acme.pub.pem").display().to_string();
    env.configure(&format!("[[app]]\nid = '{ACME_APP}'\n{recipe}\npublic-key = '{public}'\n"));
    // The key is nowhere but where it was imported.
    let _ = std::fs::remove_file(env.home().join("acme.pem"));
    let _ = std::fs::remove_file(env.home().join("acme.p8"));
    env.git(["clone", "--quiet", common::WIDGETS, "widgets"]).ok();
    let told = env.helper(["doctor", "acme/widgets"], "").stdout;
    assert!(told.contains("ok       sign command: ") && told.contains("with the key SHA256:"), "{told}");
    let fingerprint = told.split("SHA256:").nth(1).unwrap().trim_end_matches('\n');
    assert!(fingerprint.len() > 40, "{told}");
}

/// A server that ends with the scenario.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts a server and waits until it is ready.
    fn start(command: &mut Command, is_ready: impl Fn() -> bool) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn().unwrap());
        for _ in 0..600 {
            if is_ready() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the server does not answer")
    }
}

#[test]
fn openssl() {
    if !has("openssl") {
        return skip("openssl is not installed");
    }
    let env = machine();
    let key = env.write_private("vault/acme.pem", ACME_KEY).display().to_string();
    signs(&env, &recipe("openssl").replace("/root/acme.pem", &key));
}

#[test]
fn a_pkcs11_module() {
    const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
    if !has("softhsm2-util") || !has("pkcs11-tool") || !Path::new(MODULE).exists() {
        return skip("softhsm2 and opensc are not installed");
    }
    let env = machine();
    let tokens = env.home().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let config = env.write("home/softhsm2.conf", format!("directories.tokendir = {}\n", tokens.display()));
    let env = env.with("SOFTHSM2_CONF", config.display().to_string());
    shell(&env, "softhsm2-util --init-token --free --label app --pin \"$PIN\" --so-pin \"$PIN\"");
    for step in steps("openssl pkcs8").iter().chain(&steps("pkcs11-tool ")) {
        shell(&env, step);
    }
    signs(&env, &recipe("pkcs11-tool"));
}

#[test]
fn a_tpm() {
    if !has("swtpm") || !has("tpm2_sign") {
        return skip("swtpm and tpm2-tools are not installed");
    }
    let env = machine();
    let state = env.home().join("tpm");
    std::fs::create_dir(&state).unwrap();
    let socket = state.join("socket");
    let mut swtpm = env.command("swtpm");
    swtpm.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--tpmstate"]);
    swtpm.arg(format!("dir={}", state.display()));
    swtpm.arg("--server").arg(format!("type=unixio,path={}", socket.display()));
    swtpm.arg("--ctrl").arg(format!("type=unixio,path={}.ctrl", socket.display()));
    let _swtpm = Server::start(&mut swtpm, || socket.exists());
    let env = env.with("TPM2TOOLS_TCTI", format!("swtpm:path={}", socket.display()));
    let imports = steps("tpm2_");
    assert_eq!(imports.len(), 6, "{imports:?}");
    imports.iter().for_each(|step| shell(&env, step));
    shell(&env, "rm primary.ctx key.ctx key.pub key.priv");
    signs(&env, &recipe("tpm2_sign"));
}

#[test]
fn aws_kms() {
    if !has("aws") || !has("moto_server") {
        return skip("the AWS CLI and moto's server are not installed");
    }
    let env = machine();
    // Free a moment ago.
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let python = common::variable("PYENV_VERSION");
    let env = python.into_iter().fold(env, |env, version| env.with("PYENV_VERSION", version));
    let mut moto = env.command("moto_server");
    moto.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let _moto = Server::start(&mut moto, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let env = env
        .with("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .with("AWS_ACCESS_KEY_ID", "x")
        .with("AWS_SECRET_ACCESS_KEY", "x")
        .with("AWS_DEFAULT_REGION", "eu-west-1");
    // It cannot import keys, so its own one is registered at GitHub.
    shell(
        &env,
        "id=$(aws kms create-key --key-spec RSA_2048 --key-usage SIGN_VERIFY --query KeyMetadata.KeyId --output text)
        aws kms create-alias --alias-name alias/github-app --target-key-id \"$id\"
        aws kms get-public-key --key-id alias/github-app --query PublicKey --output text | base64 -d >kms.der
        openssl rsa -pubin -inform DER -in kms.der -out acme.pub.pem
        openssl rsa -pubin -inform DER -in kms.der -RSAPublicKey_out -outform DER -out pkcs1.der",
    );
    let public = std::fs::read(env.home().join("pkcs1.der")).unwrap();
    env.github.world().apps.iter_mut().find(|app| app.client_id == ACME_APP).unwrap().public_keys =
        vec![public];
    signs(&env, &recipe("aws"));
}

#[test]
fn every_file_of_the_page_is_a_valid_rule() {
    let page = std::fs::read_to_string("docs/keys.md").unwrap();
    let blocks = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let env = machine();
    for block in blocks {
        let block = if block.contains("[[app]]") {
            block.to_owned()
        } else {
            format!("[[app]]\nid = 'Iv1'\n{block}")
        };
        env.configure(&block);
        let told = env.helper(["status"], "");
        assert!(!told.stderr.contains("column"), "{block}\n{}", told.stderr);
    }
}
