//! What people read, as they read it, so that a change of it is seen in the diff. `SNAPSHOTS=overwrite cargo test --test golden`
//! writes `golden/` anew. What differs from run to run has a name in brackets there.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a scenario that cannot be set up has failed")]

mod common;

use common::fresh::Fresh;
use common::registering::{Registering, post};
use common::served::Served;
use common::{
    ACME_APP, ACME_ON_ACME, ACME_ON_GLOBEX, GLOBEX_APP, LOOKUP, MINT, PROBE, REQUEST, Ran, TestEnv, WIDGETS,
    has, run, skip,
};
use github_simulator::{Effect, GLOBEX_KEY, ROGUE_KEY, Selection};
use snapbox::{assert_data_eq, file};

const PROGRAM: &str = env!("CARGO_BIN_EXE_git-credential-ghapp");

/// A session at a shell's prompt: what was typed, and all that was printed.
#[derive(Default)]
struct Session(String);

impl Session {
    /// A line of explanation.
    fn note(&mut self, text: &str) {
        let blank = if self.0.is_empty() { "" } else { "\n" };
        self.0 += &format!("{blank}# {text}\n");
    }

    fn run<'a>(&mut self, env: &TestEnv, arguments: impl IntoIterator<Item = &'a str>) {
        let arguments: Vec<&str> = arguments.into_iter().collect();
        let ran = env.helper(arguments.iter().copied(), "");
        self.add(env, &format!("git-credential-ghapp {}", arguments.join(" ")), &ran);
    }

    /// What git is told when it needs a credential for acme/widgets.
    fn get(&mut self, env: &TestEnv) {
        let ran = env.helper(["get"], REQUEST);
        self.add(env, "git-credential-ghapp get", &ran);
    }

    fn add(&mut self, env: &TestEnv, line: &str, ran: &Ran) {
        let text = format!("$ {line}\n{}{}", ran.stdout, ran.stderr);
        self.0 += &stable(env, &text);
        if ran.code != Some(0) {
            self.0 += &format!("[exit status {}]\n", ran.code.unwrap());
        }
    }
}

/// The text with a name for each part that differs from run to run.
fn stable(env: &TestEnv, text: &str) -> String {
    let home = env.home().display().to_string();
    let simulator = env.folder.path().display().to_string();
    let proxy = env.github.proxy().trim_start_matches("http://").to_owned();
    let text = text.replace(PROGRAM, "[PROGRAM]").replace(&home, "[HOME]").replace(&simulator, "[FOLDER]");
    let version = concat!("git-credential-ghapp ", env!("CARGO_PKG_VERSION"));
    let text = text.replace(&proxy, "[PROXY]").replace(version, "git-credential-ghapp [VERSION]");
    text.lines().map(|line| stable_line(line) + "\n").collect()
}

fn stable_line(line: &str) -> String {
    // What is said of git depends on its version.
    if let Some((before, _)) = line.split_once("git: git version ") {
        return format!("{before}git: [GIT]");
    }
    if line.starts_with("password=") || line.starts_with("  \"token\": ") {
        return format!("{}[TOKEN]", &line[..line.find(['=', ':']).unwrap() + 1]);
    }
    if let Some(expiry) = line.strip_prefix("password_expiry_utc=") {
        assert!(expiry.parse::<u64>().is_ok());
        return "password_expiry_utc=[TIME]".to_owned();
    }
    if let Some((before, _)) = line.split_once(", expected `id`, ") {
        return format!("{before}, expected [A SETTING]");
    }
    // `2026-11-25T13:00:00Z` in any text, and times that are near.
    let shape =
        |word: &str| word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for index in 0..words.len() {
        if shape(&words[index]).contains("0000-00-00T00:00:00Z") {
            words[index] = shape(&words[index]).replace("0000-00-00T00:00:00Z", "[TIME]");
        }
        let is_number = words[index].parse::<u32>().is_ok();
        let unit =
            words.get(index + 1).map(|word| word.trim_end_matches([',', ':', ';'])).unwrap_or_default();
        if is_number && ["min", "s", "ms"].contains(&unit) && words[index] != "30" {
            words[index] = "[N]".to_owned();
        }
    }
    words.join(" ")
}

/// The names of the commands in a help text.
fn commands(help: &str) -> Vec<&str> {
    let list = help.split_once("\nCommands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    list.lines().map(|line| line.split_whitespace().next().unwrap()).collect()
}

#[test]
fn help_of_the_program_and_of_each_command() {
    const SETTINGS: &str = "\nSettings, each also in the configuration file:\n";
    let env = TestEnv::bare();
    let help = env.helper(["--help"], "").ok();
    assert_data_eq!(&help, file!["golden/help.txt"].raw());
    let settings = help.split_once(SETTINGS).unwrap().1.split_once("\n\ngit itself").unwrap().0;
    let mut session = Session::default();
    for command in commands(&help) {
        let help = env.helper([command, "--help"], "").ok();
        assert!(help.contains(settings), "{command}");
        let own = help.replace(&format!("{SETTINGS}{settings}"), "\n[the settings, as in help.txt]");
        session.0 += &format!("$ git-credential-ghapp {command} --help\n{own}\n");
    }
    assert_data_eq!(session.0, file!["golden/help_of_commands.txt"].raw());
    assert_data_eq!(env.helper(["-h"], "").ok(), file!["golden/help_summary.txt"].raw());
}

#[test]
fn doctor_where_all_is_well() {
    let env = TestEnv::new();
    let mut session = Session::default();
    session.note("nothing is remembered yet");
    session.run(&env, ["doctor", WIDGETS]);
    session.note("a token is cached, and an owner is named");
    session.run(&env, ["doctor", "acme"]);
    session.note("everything");
    session.run(&env, ["doctor"]);
    assert_data_eq!(session.0, file!["golden/doctor.txt"].raw());
}

#[test]
fn doctor_where_something_is_wrong() {
    let mut session = Session::default();
    let mut scene = |what: &str, change: &dyn Fn(&TestEnv)| {
        let env = TestEnv::new();
        change(&env);
        session.note(what);
        let ran = env.helper(["doctor", WIDGETS], "");
        let mut problem = false;
        let told: Vec<&str> = ran
            .stdout
            .lines()
            .filter(|line| {
                let is_hint = line.starts_with(' ');
                problem = if is_hint { problem } else { !line.starts_with("ok ") };
                problem
            })
            .collect();
        session.add(
            &env,
            "git-credential-ghapp doctor | grep -v ^ok",
            &Ran { stdout: told.join("\n") + "\n", ..ran },
        );
    };
    scene("no App", &|env| env.configure(""));
    scene("a mistake in the configuration", &|env| env.configure("[[app]]\nid = 1\nprivate-kay = 'x'\n"));
    scene("a missing key", &|env| std::fs::remove_file(env.folder.path().join("keys/acme.pem")).unwrap());
    scene("another App's key", &|env| {
        env.write_private("keys/acme.pem", ROGUE_KEY);
    });
    scene("git does not know the helper", &|env| {
        env.git(["config", "--global", "--unset", "credential.helper"]).ok();
    });
    scene("git asks another helper first, which keeps tokens", &|env| {
        env.git_config("credential.https://github.com.helper", "store");
        env.git(["config", "--global", "--add", "credential.https://github.com.helper", ""]).ok();
        env.git(["config", "--global", "--add", "credential.https://github.com.helper", "store"]).ok();
        env.git(["config", "--global", "--add", "credential.https://github.com.helper", "ghapp"]).ok();
    });
    scene("git does not say which repository", &|env| env.git_config("credential.useHttpPath", "false"));
    scene("a credential in .netrc", &|env| {
        env.write("home/.netrc", "machine github.com login x password y\n");
    });
    scene("a header of a workflow", &|env| {
        env.git_config("http.https://github.com/.extraheader", "AUTHORIZATION: basic eDp5");
    });
    scene("a rewritten URL", &|env| env.git_config("url.git@github.com:.insteadOf", "https://github.com/"));
    scene("not installed", &|env| {
        env.github.world().installations.retain(|it| it.id != ACME_ON_ACME);
    });
    scene("not installed on this repository", &|env| {
        env.github.world().installation(ACME_ON_ACME).selection = Selection::Selected(Vec::new());
    });
    scene("suspended", &|env| env.github.world().installation(ACME_ON_ACME).suspended = true);
    scene("without the permission", &|env| {
        env.github.world().installation(ACME_ON_ACME).permissions.remove("contents");
    });
    scene("a wrong clock", &|env| env.github.world().clock_offset = 3600);
    scene("an address by SSH, and a user name", &|env| {
        env.git_config("url.ssh://git@github.com/.insteadOf", "https://github.com/");
    });
    assert_data_eq!(session.0, file!["golden/doctor_problems.txt"].raw());
}

#[test]
fn setup_from_the_plan_to_the_end_and_back() {
    let fresh = Fresh::new();
    let env = &fresh.env;
    let setup = ["setup", "--app-id", ACME_APP, "--private-key", "acme.pem"];
    let with = |more: &[&'static str]| setup.iter().chain(more).copied().collect::<Vec<&str>>();
    let mut session = Session::default();
    session.note("a dry run, with everything");
    session
        .run(env, with(&["--dry-run", "--identity", "--rewrite-ssh", "--proactive", "--move-key", "folder"]));
    session.note("as most people call it");
    session.run(env, setup);
    session.note("again");
    session.run(env, setup);
    session.note("with another key");
    env.write_private("home/new.pem", ROGUE_KEY);
    env.github.world().add_key(101, ROGUE_KEY);
    session.run(env, ["setup", "--rotate-key", "new.pem"]);
    session.note("and back");
    session.run(env, ["setup", "--undo", "--dry-run"]);
    session.run(env, ["setup", "--undo"]);
    session.run(env, ["setup", "--undo"]);
    session.note("where git asks another helper");
    env.git_config("credential.helper", "store");
    session.run(env, with(&["--dry-run"]));
    session.run(env, with(&["--dry-run", "--owner", "acme", "--owner", "umbrella"]));
    session.run(env, with(&["--dry-run", "--all-owners"]));
    session.run(env, with(&["--dry-run", "--keep-other-helpers"]));
    assert_data_eq!(session.0, file!["golden/setup.txt"].raw());
}

#[test]
fn register_from_the_page_to_the_end() {
    if !has("curl") {
        return skip("curl is not installed");
    }
    let fresh = Fresh::new();
    let env = &fresh.env;
    let mut session = Session::default();
    for mistake in [
        ["--name", "a name that is much too long for an App"],
        ["--organization", "https://github.com/acme"],
        ["--permission", "contents"],
        ["--host", "https://ghe.example"],
        ["--yes", "--keyring"],
    ] {
        session.run(env, std::iter::once("register").chain(mistake));
    }
    let register = Registering::start(env, &["--organization", "acme", "--no-browser"]);
    let (page, port) = (register.address.clone(), register.port().to_string());
    let location = register.agreed(env, "acme's tools");
    post(env, "https://github.com/apps/acme-s-tools/installations", &[]);
    register.bring(&location);
    session.add(env, "git-credential-ghapp register --organization acme --no-browser", &register.ended());
    session.0 = session.0.replace(&page, "[PAGE]").replace(&port, "[PORT]");
    assert_data_eq!(session.0, file!["golden/register.txt"].raw());
}

#[test]
fn setup_with_a_person() {
    let fresh = Fresh::new();
    fresh.env.git_config("credential.helper", "store");
    let typed = ["4711", "acme.pem", ACME_APP, "acme.pem", "nobody!", "ACME", "FOLDER", "YES"];
    let Some(ran) = fresh.env.at_a_terminal("setup", &(typed.join("\n") + "\n")) else { return };
    let mut session = Session::default();
    // The terminal shows what is typed at any time.
    let printed = ran.stdout.replace('\r', "");
    let stdout = typed.iter().fold(printed, |text, line| text.replacen(&format!("{line}\n"), "", 1));
    let ran = Ran { stdout, ..ran };
    session.add(&fresh.env, "git-credential-ghapp setup", &ran);
    assert_data_eq!(session.0, file!["golden/setup_with_a_person.txt"].raw());
}

#[test]
fn setup_that_cannot_work() {
    let fresh = Fresh::new();
    let env = &fresh.env;
    let mut session = Session::default();
    session.run(env, ["setup"]);
    session.run(env, ["setup", "--app-id", ACME_APP]);
    session.run(env, ["setup", "--app-id", ACME_APP, "--private-key", "no.pem"]);
    session.run(env, ["setup", "--app-id", "4711", "--private-key", "acme.pem"]);
    env.write_private("home/rogue.pem", ROGUE_KEY);
    session.run(env, ["setup", "--app-id", ACME_APP, "--private-key", "rogue.pem"]);
    session.run(
        env,
        ["setup", "--app-id", ACME_APP, "--private-key", "acme.pem", "--all-owners", "--owner", "acme"],
    );
    session.run(env, ["setup", "--undo", "--identity"]);
    session.note("nothing is installed");
    env.github.world().installations.clear();
    session.run(env, ["setup", "--app-id", ACME_APP, "--private-key", "acme.pem", "--dry-run"]);
    session.note("the journal is damaged");
    let journal = fresh.beside("setup.json");
    std::fs::create_dir_all(journal.parent().unwrap()).unwrap();
    std::fs::write(journal, "[{").unwrap();
    session.run(env, ["setup", "--undo"]);
    assert_data_eq!(session.0, file!["golden/setup_mistakes.txt"].raw());
}

#[test]
fn uninstall_after_setup() {
    let fresh = Fresh::new();
    let env = &fresh.env;
    let mut session = Session::default();
    session.run(env, ["uninstall", "--yes"]);
    fresh.setup(&["--move-key", "folder"]).ok();
    session.note("after setup");
    session.run(env, ["uninstall"]);
    session.run(env, ["uninstall", "--dry-run"]);
    session.run(env, ["uninstall", "--yes"]);
    assert_data_eq!(session.0, file!["golden/uninstall.txt"].raw());
}

/// Two Apps, of which one token each is cached.
fn two_apps() -> TestEnv {
    let env = TestEnv::new();
    let globex = env.write_private("keys/globex.pem", GLOBEX_KEY);
    env.configure(&format!(
        "[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\nowners = ['acme']\n\n\
         [[app]]\nid = '{GLOBEX_APP}'\nprivate-key = '{}'\nowners = ['globex']\n",
        env.folder.path().join("keys/acme.pem").display(),
        globex.display()
    ));
    for owner in ["acme", "globex"] {
        env.helper(["token", owner], "").ok();
    }
    env
}

#[test]
fn lists_of_what_there_is() {
    let env = two_apps();
    let mut session = Session::default();
    for command in ["status", "installations", "repositories"] {
        session.run(&env, [command]);
    }
    session.note("one of them is suspended, and the other's key was deleted");
    {
        let mut world = env.github.world();
        world.installation(ACME_ON_ACME).suspended = true;
        world.delete_key(102, GLOBEX_KEY);
    }
    for command in ["status", "installations", "repositories"] {
        session.run(&env, [command]);
    }
    session.note("nothing is configured");
    let bare = TestEnv::bare();
    for command in ["status", "installations", "repositories", "logout"] {
        session.run(&bare, [command]);
    }
    assert_data_eq!(session.0, file!["golden/lists.txt"].raw());
}

#[test]
fn inside_of_a_sandbox() {
    let env = TestEnv::new();
    let mut session = Session::default();
    {
        let served = Served::start(&env, &["--allow", "acme/widgets", "--permissions", "contents=write"]);
        let mut inside = |note: &str, arguments: &[&str]| {
            session.note(note);
            let line = format!("git-credential-ghapp {}", arguments.join(" "));
            session.add(&env, &line, &run(served.inside(PROGRAM).args(arguments), b""));
        };
        inside("who serves, and what", &["status"]);
        inside("the way that git goes", &["doctor"]);
        inside("a repository that is not allowed", &["doctor", "acme/machine"]);
        inside("what needs the App itself", &["installations"]);
    }
    let socket = env.folder.path().join("run/socket").display().to_string();
    let env = env.with("GHAPP_SOCKET", socket);
    for command in ["status", "doctor"] {
        session.note("nobody serves any more");
        session.run(&env, [command]);
    }
    assert_data_eq!(session.0, file!["golden/inside.txt"].raw());
}

#[test]
fn tokens_given_and_taken_away() {
    let env = two_apps();
    let mut session = Session::default();
    session.run(&env, ["token", "acme", "--json"]);
    session.run(&env, ["token"]);
    session.run(&env, ["logout", "acme"]);
    session.run(&env, ["logout", "umbrella"]);
    session.run(&env, ["logout", "--keep-remote"]);
    session.run(&env, ["logout"]);
    session.note("GitHub cannot be reached");
    env.helper(["token", "acme"], "").ok();
    let offline = env.with("HTTPS_PROXY", "http://127.0.0.1:1").with("GHAPP_DEADLINE", "1");
    offline.git(["config", "--global", "--unset", "http.proxy"]).ok();
    session.run(&offline, ["logout"]);
    session.note("tokens of an App that is not configured any more");
    let env = two_apps();
    env.configure("");
    session.run(&env, ["status"]);
    session.run(&env, ["logout"]);
    session.run(&env, ["logout", "--all"]);
    assert_data_eq!(session.0, file!["golden/tokens.txt"].raw());
}

#[test]
fn mistakes_on_the_command_line_and_in_the_configuration() {
    let env = TestEnv::new();
    let mut session = Session::default();
    for line in [
        "",
        "logot acme",
        "status acme",
        "token --fresch",
        "token --app --fresh",
        "token --app --expires-in 3600",
        "token --app --expires-in soon",
        "register --port x",
        "register --port 70000",
        "register --port -1",
        "register --port=",
        "setup --move-key drawer",
        "exec",
        "exec no-such-program",
        "token gitlab.example/acme/widgets",
        "token not/a/repository",
        "--host https://github.com token acme",
        "--scope everything token acme",
        "--deadline soon token acme",
        "--min-fresh 99999999999999999999 token acme",
    ] {
        session.run(&env, line.split(' ').filter(|word| !word.is_empty()));
    }
    for toml in [
        "[[app]\n",
        "[app]\nid = 1\n",
        "[[app]]\nprivate-key = 'x'\n",
        "[[app]]\nid = 1\n",
        "[[app]]\nid = 1\nprivate-key = 'x'\nsign-command = 'y'\n",
        "[[app]]\nid = 1\nprivate-key = 'x'\nowner = 'acme'\n",
        "[[app]]\nid = 1\nprivate-key = 'x'\nowners = 'acme'\nhost = 'https://x/'\n",
        "[[app]]\nid = 1\nprivate-key = 'x'\npermissions = { contents = 'rw' }\n",
        "cache = 'disk'\n",
        "[[app]]\nid = 1\nprivate-key = 'x'\n[[app]]\nid = 2\nprivate-key = 'x'\n",
        "[[app]]\nid = 1\nprivate-key = 'x'\n",
    ] {
        env.configure(toml);
        session.note(&format!("config.toml: {}", toml.trim().replace('\n', "; ")));
        session.run(&env, ["token", "acme"]);
    }
    for key in [("GHAPP_SCOPES", "repository"), ("GHAPP_SCOPE", "everything"), ("GHAPP_PRIVATE_KEY", "x")] {
        session.note(&format!("{}={}", key.0, key.1));
        let env = TestEnv::new().with(key.0, key.1);
        session.run(&env, ["token", "acme"]);
    }
    assert_data_eq!(session.0, file!["golden/mistakes.txt"].raw());
}

#[test]
fn git_gets_no_token() {
    let mut session = Session::default();
    let mut scene = |what: &str, change: &dyn Fn(&TestEnv)| {
        let env = TestEnv::new();
        change(&env);
        session.note(what);
        session.get(&env);
    };
    scene("all is well", &|_| ());
    scene("no App is configured", &|env| env.configure(""));
    scene("not installed", &|env| {
        env.github.world().installations.retain(|it| it.id == ACME_ON_GLOBEX);
    });
    scene("not installed, although the rule names the owner", &|env| {
        env.github.world().installations.retain(|it| it.id == ACME_ON_GLOBEX);
        let key = env.folder.path().join("keys/acme.pem");
        let key = key.display();
        env.configure(&format!("[[app]]\nid = '{ACME_APP}'\nprivate-key = '{key}'\nowners = ['acme']\n"));
    });
    scene("suspended", &|env| env.github.world().installation(ACME_ON_ACME).suspended = true);
    scene("another App's key", &|env| {
        env.write_private("keys/acme.pem", ROGUE_KEY);
    });
    scene("no key", &|env| {
        env.write_private("keys/acme.pem", "nothing\n");
    });
    scene("a key that others can read", &|env| {
        use std::os::unix::fs::PermissionsExt as _;
        let key = env.folder.path().join("keys/acme.pem");
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o644)).unwrap();
    });
    scene("an App that does not exist", &|env| {
        let key = env.folder.path().join("keys/acme.pem");
        env.configure(&format!("[[app]]\nid = 4711\nprivate-key = '{}'\n", key.display()));
    });
    scene("without the permission", &|env| {
        env.github.world().installation(ACME_ON_ACME).permissions.remove("contents");
    });
    scene("the rate limit", &|env| {
        let headers = [("x-ratelimit-remaining", "0"), ("retry-after", "1800")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        env.fault(
            LOOKUP,
            9,
            Effect::Answer(403, headers, b"{\"message\": \"API rate limit exceeded\"}".to_vec()),
        );
    });
    scene("an answer from somebody else", &|env| {
        env.fault(MINT, 9, Effect::Answer(200, Vec::new(), b"<html>Welcome</html>".to_vec()));
    });
    scene("git's server refuses the token", &|env| {
        let key = env.folder.path().join("keys/acme.pem");
        env.configure(&format!(
            "deadline = 1\n[[app]]\nid = '{ACME_APP}'\nprivate-key = '{}'\n",
            key.display()
        ));
        env.fault(PROBE, 99, Effect::Answer(403, Vec::new(), Vec::new()));
    });
    let env = TestEnv::new().with("HTTPS_PROXY", "http://127.0.0.1:1").with("GHAPP_DEADLINE", "1");
    env.git(["config", "--global", "--unset", "http.proxy"]).ok();
    session.note("no network");
    session.get(&env);
    let env = TestEnv::new();
    env.git(["config", "--global", "--unset", "http.sslCAInfo"]).ok();
    session.note("a CA that is not trusted");
    session.get(&env);
    session.note("a path is missing");
    let env = TestEnv::new();
    let ran = env.helper(["get"], "protocol=https\nhost=github.com\n");
    session.add(&env, "git-credential-ghapp get", &ran);
    assert_data_eq!(session.0, file!["golden/get.txt"].raw());
}

/// The rest of the manual is the help of commands and settings.
#[test]
fn the_manual_beside_the_help() {
    let roff = TestEnv::bare().helper(["man"], "").ok();
    let sections = roff.split(".SH ").skip(1);
    let own = sections.filter(|it| !["COMMANDS", "SETTINGS"].contains(&it.lines().next().unwrap()));
    assert_data_eq!(own.collect::<String>(), file!["golden/manual.txt"].raw());
}
