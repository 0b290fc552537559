//! The GitHub Action, run by node as a runner runs it: a step, later steps with what it left them, and its post step.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::job::{Checkout, Job, MACHINE, OF_THE_JOB, PROGRAM, masked};
use common::{ACME_APP, GLOBEX_APP, has, run, skip};
use github_simulator::{ACME_KEY, Effect, GLOBEX_KEY};

/// A commit and its push, from a clone.
const PUSH: &str = "git -c user.name=T -c user.email=t@example.com commit --quiet --allow-empty -m X
    git push --quiet origin HEAD:refs/heads/from-the-job";

#[test]
fn submodules_of_two_organisations_are_cloned_in_one_step_and_all_is_gone_after_the_job() {
    let Some(mut job) = Job::new() else { return };
    let step = job.usual_step(&[]);
    assert_eq!((step.ran.code, step.ran.stderr.as_str()), (Some(0), ""), "{:?}", step.ran);
    job.sh(&format!("git clone --quiet --recurse-submodules {MACHINE}; cd machine; cat gears/teeth; {PUSH}"))
        .ok();
    job.sh("git-credential-ghapp exec --for globex -- sh -c 'test -n \"$GH_TOKEN\"'").ok();
    assert_eq!(job.env.lookups_and_mints().1, 2, "one token for each owner: {:#?}", job.env.github.log());
    assert_eq!(job.valid_tokens(), 2);

    assert_eq!(job.post(&step).code, Some(0));
    assert_eq!((job.left().len(), job.valid_tokens()), (0, 0));
    assert_eq!(
        fs::read_dir(job.env.home()).unwrap().count(),
        1,
        "the home folder has nothing but the workspace"
    );
    assert_ne!(job.sh(&format!("git ls-remote {MACHINE}")).code, Some(0), "git uses the App no longer");
}

#[test]
fn the_header_that_checkout_leaves_is_out_of_the_way_for_the_apps_owners_and_stays_for_others() {
    for version in [Checkout::V4, Checkout::V7] {
        let Some(mut job) = Job::new() else { return };
        job.check_out(version);
        let submodules = "git submodule update --init --quiet; cat gears/teeth";
        assert_ne!(job.sh(submodules).code, Some(0), "the job's own token reaches one repository");
        job.usual_step(&[]).ran.ok();
        let from = job.env.github.log().len();
        job.sh(&format!("{submodules}; {PUSH}; git fetch --quiet; git -C gears fetch --quiet")).ok();
        for (owner, installation) in [("acme", 4201), ("globex", 4202)] {
            assert_eq!(
                job.askers(owner, from),
                ["-".to_owned(), format!("token of installation {installation}")]
            );
        }
        assert_ne!(job.sh("git ls-remote https://github.com/umbrella/virus").code, Some(0));
        assert_eq!(job.askers("umbrella", from), [format!("token of installation {OF_THE_JOB}")]);
    }
}

#[test]
fn lfs_in_a_checkout_uses_the_app() {
    let Some(mut job) = Job::new() else { return };
    if !has("git-lfs") {
        return skip("git-lfs is not installed");
    }
    job.check_out(Checkout::V4);
    job.usual_step(&[]).ran.ok();
    let from = job.env.github.log().len();
    job.sh(&format!(
        "git lfs install --local; git lfs track '*.bin'; echo large > large.bin; git add .; {PUSH}
         GIT_LFS_SKIP_SMUDGE=1 git clone --quiet --branch from-the-job {MACHINE} again; cd again
         git lfs install --local; git lfs pull; grep large large.bin"
    ))
    .ok();
    assert!(!job.askers("acme", from).contains(&format!("token of installation {OF_THE_JOB}")));
}

#[test]
fn a_checkout_after_the_step_gets_the_submodules_of_all_owners() {
    let Some(mut job) = Job::new() else { return };
    job.usual_step(&[]).ran.ok();
    // As actions/checkout does it: with a home folder of its own, where the header is global.
    let file = job.temp().join("git-credentials-0b8a6c1e.config").display().to_string();
    let mut sh = job.command("sh");
    sh.env("file", file).env("HOME", job.temp().join("2f7b")).args(["-euc", &format!(
        "mkdir \"$HOME\"; git config --file \"$file\" http.https://github.com/.extraheader 'AUTHORIZATION: basic eDp5'
         git config --global include.path \"$file\"
         git init --quiet; git remote add origin {MACHINE}; git fetch --quiet --depth=1 origin main
         git checkout --quiet -B main origin/main; git submodule sync --recursive
         git -c protocol.version=2 submodule update --init --force --depth=1 --recursive; cat gears/teeth"
    )]);
    run(&mut sh, b"").ok();
    assert_eq!(
        job.env.lookups_and_mints().1,
        2,
        "the tokens of the step are used: {:#?}",
        job.env.github.log()
    );
}

#[test]
fn every_token_of_the_step_is_masked_and_the_key_is_in_one_file_for_the_runners_user() {
    let Some(mut job) = Job::new() else { return };
    // A program that notes what it is given, and does its work.
    let notes = job.env.folder.path().join("notes");
    let program = job.env.write(
        "program",
        format!(
            "#!/bin/sh\n{{ printf '%s\\n' \"$@\"; env; }} >> '{}'\nexec {PROGRAM} \"$@\"\n",
            notes.display()
        ),
    );
    let step = job.usual_step(&[("program", program.to_str().unwrap())]);
    let tokens: Vec<String> = job.env.github.world().tokens.iter().map(|token| token.text.clone()).collect();
    assert_eq!(tokens.len(), 2);
    let masks = masked(&step.ran);
    for token in &tokens {
        let in_header = STANDARD.encode(format!("x-access-token:{token}"));
        assert!(masks.contains(&token.as_str()) && masks.contains(&in_header.as_str()), "{masks:?}");
    }
    let others = step.ran.stdout.lines().filter(|line| !line.starts_with("::add-mask::")).count();
    assert_eq!((others, step.ran.stderr.as_str()), (0, ""));

    let secrets: Vec<&str> =
        tokens.iter().map(String::as_str).chain([ACME_KEY.lines().nth(3).unwrap()]).collect();
    let noted = fs::read_to_string(notes).unwrap();
    assert!(noted.contains("installations") && noted.contains("RUNNER_TEMP="), "{noted}");
    let shown = format!("{noted}{:?}{:?}{:?}", job.variables, job.paths, step.state);
    assert!(
        secrets.iter().all(|secret| !shown.contains(secret)) && !noted.contains("for-actions-only"),
        "{shown}"
    );
    let folder = PathBuf::from(&step.state["folder"]);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let holds = |path: &Path| {
        fs::read(path)
            .is_ok_and(|it| secrets.iter().any(|secret| String::from_utf8_lossy(&it).contains(secret)))
    };
    let found: Vec<PathBuf> = below(&folder).into_iter().filter(|path| holds(path)).collect();
    assert_eq!(found, [folder.join("key.pem")]);
    assert_eq!(fs::metadata(&found[0]).unwrap().permissions().mode() & 0o777, 0o600);
    let post = job.post(&step);
    assert_eq!((post.code, post.stdout.as_str(), post.stderr.as_str()), (Some(0), "", ""));
}

/// All files below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

#[test]
fn owners_and_repositories_are_those_that_the_workflow_names() {
    let Some(mut job) = Job::new() else { return };
    job.env.github.world().add_repository("acme", "other", &[("README", "other\n")]);
    let step = job.usual_step(&[
        ("owners", "GLOBEX"),
        ("repositories", "acme/Widgets\nacme/machine"),
        ("permissions", "contents: read\nmetadata: read"),
    ]);
    step.ran.ok();
    let ask = |url: &str| job.sh(&format!("git ls-remote https://github.com/{url}")).code == Some(0);
    for url in ["acme/widgets", "acme/Widgets.git", "acme/machine", "globex/gears", "GLOBEX/gears"] {
        assert!(ask(url), "{url}");
    }
    let from = job.env.github.log().len();
    assert!(!ask("acme/other"), "the App is installed there, but the workflow does not name it");
    assert_eq!(job.askers("acme", from), ["-"], "git does not even ask for a token");
    for token in &job.env.github.world().tokens {
        let permissions: Vec<_> =
            token.permissions.iter().map(|(name, level)| (name.as_str(), level.as_str())).collect();
        assert_eq!(permissions, [("contents", "read"), ("metadata", "read")]);
        let count = token.repositories.as_ref().map(Vec::len);
        assert_eq!(count, (token.installation == 4201).then_some(2), "{token:?}");
    }
}

#[test]
fn settings_that_the_job_has_already_stay_and_two_apps_go_beside_each_other() {
    let Some(mut job) = Job::new() else { return };
    let of_job = [("COUNT", "1"), ("KEY_0", "alias.mine"), ("VALUE_0", "version")];
    let of_job = of_job.map(|(name, value)| (format!("GIT_CONFIG_{name}"), value.to_owned()));
    job.variables.extend(of_job);
    let acme = job.usual_step(&[("owners", "acme")]);
    let globex =
        [("app-id", GLOBEX_APP), ("private-key", GLOBEX_KEY), ("owners", "globex"), ("program", PROGRAM)];
    let globex = job.step(&globex);
    job.sh(&format!("git mine; git clone --quiet --recurse-submodules {MACHINE}")).ok();
    let installations: Vec<u64> =
        job.env.github.world().tokens.iter().map(|token| token.installation).collect();
    assert_eq!(installations, [4201, 4301]);

    job.post(&globex);
    job.sh(&format!("git mine; git ls-remote {MACHINE}")).ok();
    assert_ne!(job.sh("git ls-remote https://github.com/globex/gears").code, Some(0));
    job.post(&acme);
    job.sh("git mine").ok();
    assert_eq!(job.valid_tokens(), 0);
}

#[test]
fn where_the_jobs_folder_is_not_to_be_seen_git_does_what_it_did_before() {
    let Some(mut job) = Job::new() else { return };
    job.check_out(Checkout::V4);
    job.usual_step(&[]).ran.ok();
    // In a Docker container action. The runner puts there what begins as its temporary folder does.
    let of_git = job.variables.iter().filter(|(name, _)| name.starts_with("GIT_"));
    let moved = of_git.filter(|(_, value)| value.starts_with(job.temp().to_str().unwrap())).count();
    assert_eq!(moved, 0, "{:?}", job.variables);
    fs::rename(job.temp(), job.env.folder.path().join("elsewhere")).unwrap();
    let from = job.env.github.log().len();
    job.sh("git fetch --quiet").ok();
    assert_eq!(job.askers("acme", from), [format!("token of installation {OF_THE_JOB}")]);
}

#[test]
fn the_end_of_a_job_does_not_depend_on_github() {
    let Some(mut job) = Job::new() else { return };
    let step = job.usual_step(&[]);
    job.env.fault("DELETE /installation/token", 100, Effect::Answer(404, Vec::new(), Vec::new()));
    let post = job.post(&step);
    let warnings: Vec<&str> = post.stdout.lines().collect();
    let [warning] = warnings.as_slice() else { panic!("{post:?}") };
    assert!(
        warning.starts_with("::warning::not all tokens could be revoked") && post.code == Some(0),
        "{post:?}"
    );
    assert_eq!(job.left().len(), 0);
}

#[test]
fn a_step_that_is_killed_leaves_nothing_after_the_job() {
    let Some(mut job) = Job::new() else { return };
    // Once the first token is there, and masked, it is at an end with the step.
    let program = job.env.write(
        "program",
        format!("#!/bin/sh\n{PROGRAM} \"$@\" && case $* in *' token '*) kill -9 $PPID;; esac\n"),
    );
    let step = job.usual_step(&[("program", program.to_str().unwrap())]);
    assert_eq!((step.ran.code, job.variables.len(), job.valid_tokens()), (None, 0, 1), "{:?}", step.ran);
    assert_eq!(job.post(&step).code, Some(0));
    assert_eq!((job.left().len(), job.variables.len(), job.valid_tokens()), (0, 0, 0));
}

#[test]
fn an_enterprise_server_is_the_host_of_its_workflows() {
    let Some(mut job) = Job::new() else { return };
    let host = job.env.github.host().to_owned();
    job.env = job.env.with("NO_PROXY", "localhost").with("GITHUB_SERVER_URL", format!("https://{host}"));
    job.usual_step(&[("owners", "acme\nglobex")]).ran.ok();
    job.sh(&format!(
        "git clone --quiet --recurse-submodules https://{host}/acme/machine; git-credential-ghapp token acme"
    ))
    .ok();
    assert_eq!(job.env.lookups_and_mints().1, 2);
}

#[test]
fn a_git_that_keeps_its_settings_from_some_submodules_is_a_warning() {
    let Some(mut job) = Job::new() else { return };
    let git = job.sh("command -v git").ok();
    let old = format!(
        "#!/bin/sh\n[ \"$1\" != --version ] || exec echo git version 2.34.1\nexec {} \"$@\"\n",
        git.trim()
    );
    let script = job.env.write("git.sh", old);
    let old = job.env.install(script, "old/git");
    job.path = format!("{}:{}", old.parent().unwrap().display(), job.path);
    let told = job.usual_step(&[]).ran.ok();
    assert!(told.contains("::warning::git version 2.34.1 does not use the App for all submodules"), "{told}");
}

#[test]
fn doctor_finds_nothing_wrong_in_a_checkout_of_the_job() {
    let Some(mut job) = Job::new() else { return };
    job.check_out(Checkout::V7);
    let wrong = job.sh(&format!("{PROGRAM} doctor --app-id {ACME_APP} --private-key /nowhere")).stdout;
    assert!(wrong.contains("git sends an Authorization header of its own"), "{wrong}");
    job.usual_step(&[]).ran.ok();
    let report = job.sh("git-credential-ghapp doctor").ok();
    assert!(report.contains("0 failures, 0 warnings"), "{report}");
}

#[test]
fn what_is_wrong_is_one_line_and_nothing_is_left_of_it() {
    let Some(mut job) = Job::new() else { return };
    for (inputs, cause, hint) in [
        (&[("private-key", "")][..], "the input private-key is empty", "forks"),
        (&[("app-id", " ")], "the input app-id is empty", "vars.APP_ID"),
        (&[("private-key", "hunter2")], "the private key", ""),
        (&[("private-key", GLOBEX_KEY)], "refused the App's JWT", ""),
        (&[("owners", "https://github.com/acme")], "is not an owner", "acme"),
        (&[("repositories", "widgets")], "is not a repository", "OWNER/REPO"),
        (&[("permissions", "contents")], "is not a permission and a level", "contents=read"),
        (&[("permissions", "contents=read=write")], "is not a permission and a level", "contents=read"),
        (&[("permissions", "contents=everything")], "", ""),
        (&[("host", "https://github.com")], "is not a host", "without https://"),
        (&[("program", "/nowhere")], "/nowhere is not there", "leave the input out"),
        (&[("program", "/bin/true")], "is no git-credential-ghapp", ""),
        // The first owner's token was minted by then.
        (&[("owners", "acme, umbrella")], "umbrella", ""),
        (&[("repositories", "acme/nothing")], "nothing", ""),
        (&[("program", "")], "belongs to no release", "the input program"),
    ] {
        let step = job.usual_step(inputs);
        job.assert_fails(&step, cause, hint);
        assert!(!step.ran.stdout.contains("hunter2"), "{:?}", step.ran);
    }
    job.variables.insert("GIT_CONFIG_COUNT".to_owned(), "many".to_owned());
    let step = job.usual_step(&[]);
    job.variables.clear();
    job.assert_fails(&step, "bogus count in GIT_CONFIG_COUNT", "");
    for (git, cause) in [
        ("echo git version 2.30.2", "git version 2.30.2 reads no settings from the environment"),
        ("exit 1", "git does not run"),
    ] {
        let script = job.env.write("git.sh", format!("#!/bin/sh\n{git}\n"));
        let old = job.env.install(script, "old/git");
        let usual = job.path.clone();
        job.path = format!("{}:{usual}", old.parent().unwrap().display());
        let step = job.usual_step(&[]);
        job.assert_fails(&step, cause, "");
        job.path = usual;
    }
    {
        let mut world = job.env.github.world();
        world.installation(4201).suspended = true;
        world.installation(4202).suspended = true;
    }
    let step = job.usual_step(&[]);
    job.assert_fails(&step, "the App is suspended wherever it is installed", "installations/4201");
}

#[test]
fn a_temporary_folder_that_is_not_there_is_one_line() {
    let Some(mut job) = Job::new() else { return };
    fs::remove_dir(job.temp()).unwrap();
    let ran = job.usual_step(&[]).ran;
    assert!(
        ran.stdout.starts_with("::error::ENOENT: no such file or directory") && ran.code == Some(1),
        "{ran:?}"
    );
    assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, ""));
}

#[test]
fn where_a_file_of_the_runner_is_missing_no_folder_is_left() {
    let Some(mut job) = Job::new() else { return };
    let main = Path::new("action/main.mjs").canonicalize().unwrap();
    for file in ["GITHUB_STATE", "GITHUB_ENV", "GITHUB_PATH"] {
        let more = [
            ("INPUT_APP-ID", ACME_APP),
            ("INPUT_PRIVATE-KEY", ACME_KEY),
            ("INPUT_PROGRAM", PROGRAM),
            (file, ""),
        ];
        let (ran, _) = job.node(&main, &more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stdout.contains(&format!("::error::{file} is not set%0Ahint: ")), "{ran:?}");
        assert_eq!(job.left(), Vec::<PathBuf>::new(), "{file}");
        assert_eq!(job.valid_tokens(), 0, "{file}");
    }
}

#[test]
fn an_app_that_is_installed_nowhere_or_on_too_many_is_one_line() {
    let Some(mut job) = Job::new() else { return };
    for owner in 0..21 {
        job.env.github.world().install(5000 + owner, 101, &format!("owner-{owner}"));
    }
    let step = job.usual_step(&[]);
    job.assert_fails(&step, "the App is installed on 23 owners", "owners");
    job.env.github.world().installations.clear();
    let step = job.usual_step(&[]);
    job.assert_fails(&step, "the App is not installed anywhere on github.com", "install it");
}

#[test]
fn the_parts_of_the_action_do_what_they_say() {
    let Some(job) = Job::new() else { return };
    let file = Path::new("action/action.test.mjs").canonicalize().unwrap();
    run(job.command("node").arg("--test").arg(file), b"").ok();
}

#[test]
fn the_inputs_are_those_that_the_code_reads_and_the_page_describes() {
    let declared = fs::read_to_string("action.yml").unwrap();
    let inputs = declared.split("inputs:\n").nth(1).unwrap().split("runs:\n").next().unwrap();
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let inputs: Vec<&str> =
        inputs.lines().filter(is_name).map(|line| line.trim().trim_end_matches(':')).collect();
    assert_eq!(inputs.len(), 7, "{inputs:?}");
    let code = fs::read_to_string("action/inputs.mjs").unwrap();
    let page = fs::read_to_string("docs/containers-and-ci.md").unwrap();
    for input in inputs {
        assert!(code.contains(&format!("'{input}'")) && page.contains(&format!("| `{input}` |")), "{input}");
    }
    for script in declared.lines().filter_map(|line| line.trim().split_once(": action/")) {
        assert!(Path::new("action").join(script.1).exists(), "{script:?}");
    }
}
