//! The recipes for containers in docs/coding-agents.md, with the real docker, where `GHAPP_TESTS_IMAGE` names an image that has
//! git.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::served::HELPER;
use common::{Ran, TestEnv, WIDGETS, has, note, run, variable};
use serde_json::Value;

/// The block of the page that this stands in.
fn recipe(has: &str) -> String {
    let page = std::fs::read_to_string("docs/coding-agents.md").unwrap();
    let blocks: Vec<&str> = page.split("```").skip(1).step_by(2).collect();
    let block = blocks.iter().find(|it| it.contains(has)).unwrap_or_else(|| panic!("no recipe has {has}"));
    block.split_once('\n').unwrap().1.to_owned()
}

/// The same where the tests are: no terminal, the program that is tested, and the simulator in place of GitHub.
fn here(env: &TestEnv, recipe: &str, image: &str, more: &str) -> Ran {
    let (proxy, ca) = (env.github.proxy(), env.github.ca_file().display().to_string());
    let way = format!(
        "--network host -v {ca}:{ca}:ro -e HTTPS_PROXY={proxy} -e GIT_SSL_CAINFO={ca} {more} {image}"
    );
    let inside = format!(
        "sh -ec 'git clone -q {WIDGETS} /tmp/widgets; cat /tmp/widgets/README; \
         ! git clone -q https://github.com/acme/machine /tmp/machine; git-credential-ghapp status >&2'"
    );
    let line = recipe
        .replacen("/usr/local/bin/git-credential-ghapp:", &format!("{HELPER}:"), 1)
        .replace(" -it ", " ")
        .replace("IMAGE", &format!("{way} {inside}"));
    let mut shell = env.command("sh");
    shell.envs(variable("DOCKER_HOST").map(|socket| ("DOCKER_HOST", socket)));
    run(shell.args(["-ec", &line]), b"")
}

#[test]
fn an_agent_in_a_container_of_docker_works_as_whatever_user_it_is() {
    let Some(image) = variable("GHAPP_TESTS_IMAGE") else { return note("GHAPP_TESTS_IMAGE is not set") };
    let env = TestEnv::for_several_users().unwrap();
    let recipe = recipe("docker run");
    for user in ["", "--user 1234:1234"] {
        let ran = here(&env, &recipe, &image, user);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "widgets\n"), "{user}: {ran:#?}");
        assert!(ran.stderr.contains("https://github.com/acme/machine is not allowed"), "{ran:#?}");
        assert!(ran.stderr.contains(" serves at "), "{ran:#?}");
    }
}

#[test]
fn an_agent_in_a_dev_container_works() {
    let Some(image) = variable("GHAPP_TESTS_IMAGE") else { return note("GHAPP_TESTS_IMAGE is not set") };
    if !has("devcontainer") {
        return note("devcontainer is not installed");
    }
    let env = TestEnv::for_several_users().unwrap();
    let mut settings: Value = serde_json::from_str(&recipe("\"mounts\"")).unwrap();
    let ca = env.github.ca_file().display().to_string();
    let mounts = settings["mounts"].as_array_mut().unwrap();
    mounts[1] = mounts[1].as_str().unwrap().replacen("/usr/local/bin/git-credential-ghapp", HELPER, 1).into();
    mounts.push(format!("source={ca},target={ca},type=bind,readonly").into());
    settings["image"] = image.into();
    settings["runArgs"] = serde_json::json!(["--network=host"]);
    settings["containerEnv"]["HTTPS_PROXY"] = env.github.proxy().into();
    settings["containerEnv"]["GIT_SSL_CAINFO"] = ca.into();
    env.write("home/project/.devcontainer/devcontainer.json", settings.to_string());
    let script = format!(
        "trap 'docker rm -f $(docker ps -q --filter \"label=devcontainer.local_folder=$PWD/project\") >/dev/null' EXIT
         devcontainer up --workspace-folder project >&2
         inside() {{ devcontainer exec --workspace-folder project \"$@\"; }}
         inside git clone -q {WIDGETS} /tmp/widgets
         inside cat /tmp/widgets/README
         ! inside git clone -q https://github.com/acme/machine /tmp/machine"
    );
    let mut serve = env.command(HELPER);
    serve.args(["serve", "--socket", ".ghapp/socket", "--allow", "acme/widgets", "--", "sh", "-ec", &script]);
    serve.envs(variable("DOCKER_HOST").map(|socket| ("DOCKER_HOST", socket)));
    let ran = run(&mut serve, b"");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "widgets\n"), "{ran:#?}");
    assert!(ran.stderr.contains("https://github.com/acme/machine is not allowed"), "{ran:#?}");
}
