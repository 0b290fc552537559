//! `man`: the manual page, from the one definition of the command line.

use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::output::Output;
use crate::config::SETTINGS;
use crate::error::{Error, Result, cause};

const CONFIGURATION: &[&str] = &[
    "Each [[app]] in the configuration file is a rule: an App, and what it answers for. The most specific rule \
     answers: one that names the repository, then one that names the owner, then one for every owner of the host.",
    "Setting by setting, the environment wins over the file, and a flag on git's helper line wins over the environment. \
     An App that a variable or a flag names comes before all rules of the file for its host.",
];

const FILES: &[(&str, &str)] = &[
    ("~/.config/git-credential-ghapp/config.toml", "the user's configuration"),
    ("/etc/git-credential-ghapp/config.toml", "the machine's configuration; on Windows in %ProgramData%"),
    ("~/.config/git-credential-ghapp/setup.json", "what setup wrote, for setup --undo"),
    ("~/.config/git-credential-ghapp/register.json", "an App that register made and did not set up yet"),
    ("~/.config/git-credential-ghapp/keys/", "private keys that register made, and those that setup moved"),
    (
        "~/.cache/git-credential-ghapp/",
        "remembered installations, locks, and sealed files with tokens; all of it can be deleted at any time",
    ),
];

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "success, or nothing is configured for what git asked"),
    ("1", "something failed; stderr says what, and what to do about it"),
    ("2", "the command line has a mistake"),
    (
        "126, 127",
        "exec: the command cannot be run, or was not found; otherwise exec has the exit status of the command",
    ),
];

const EXAMPLES: &[(&str, &str)] = &[
    (
        "git-credential-ghapp setup --app-id Iv23liExample --private-key acme.pem",
        "Set up an App for github.com.",
    ),
    ("git-credential-ghapp doctor https://github.com/acme/widgets", "Find out why a clone fails."),
    (
        "git-credential-ghapp exec --for acme -- gh api installation/repositories",
        "Use gh with the App's identity.",
    ),
    (
        "curl -H \"Authorization: Bearer $(git-credential-ghapp token --app)\" https://api.github.com/app",
        "Call GitHub's API as the App itself.",
    ),
    ("GHAPP_TRACE=1 git fetch", "See each decision and request."),
];

pub(super) fn man(mut definition: Command, output: &mut Output<'_>) -> Result<()> {
    definition.build();
    let mut page = Vec::new();
    render(&definition, &mut page)
        .map_err(|e| Error::new(format!("cannot make the manual page: {}", cause(&e))))?;
    output.write(&page)
}

fn render(definition: &Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let man = Man::new(definition.clone()).manual("Git Manual");
    man.render_title(page)?;
    man.render_name_section(page)?;
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    let name = definition.get_name();
    roff.text([bold(name), roman(" [SETTINGS] get|store|erase|capability")]);
    roff.control("br", []);
    roff.text([bold(name), roman(" [SETTINGS] COMMAND")]);
    roff.control("SH", ["DESCRIPTION"]);
    let about = definition.get_long_about().map(ToString::to_string).unwrap_or_default();
    for paragraph in about.split("\n\n").skip(1) {
        paragraph_of(&mut roff, paragraph);
    }
    roff.control("SH", ["COMMANDS"]);
    for command in definition.get_subcommands().filter(|it| !it.is_hide_set()) {
        describe(&mut roff, command);
    }
    roff.control("SH", ["CONFIGURATION"]);
    for paragraph in CONFIGURATION {
        paragraph_of(&mut roff, paragraph);
    }
    roff.control("SH", ["SETTINGS"]);
    for setting in SETTINGS {
        let name = if setting.flag.is_empty() { setting.key } else { setting.flag };
        item(&mut roff, &format!("{name} {}", setting.placeholder));
        roff.text([roman(setting.help)]);
        roff.control("br", []);
        roff.text([italic("file: "), roman(setting.key), italic("; environment: "), roman(setting.variable)]);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, text) in [
        ("GHAPP_PRIVATE_KEY", "the private key itself: PEM, PEM with \\n written out, or PEM in base64"),
        ("GHAPP_SHARED_CACHE_PASSWORD", "the password of the shared cache"),
        ("GHAPP_CONFIG", "the configuration file, instead of the user's; the flag is --config"),
        (
            "GHAPP_TRACE",
            "1: show each decision and request on stderr; an absolute path: append them to that file",
        ),
        (
            "GHAPP_SOCKET",
            "the socket of serve: git is answered by whoever serves there, and nothing else is read",
        ),
        ("NO_COLOR", "no colours, even on a terminal"),
    ] {
        item(&mut roff, name);
        roff.text([roman(text)]);
    }
    for (section, items) in [("FILES", FILES), ("EXIT STATUS", EXIT_STATUS)] {
        roff.control("SH", [section]);
        for (name, text) in items {
            item(&mut roff, name);
            roff.text([roman(*text)]);
        }
    }
    roff.control("SH", ["EXAMPLES"]);
    for (command, text) in EXAMPLES {
        roff.text([roman(*text)]);
        roff.control("RS", ["4"]);
        roff.control("nf", []);
        roff.text([roman(*command)]);
        roff.control("fi", []);
        roff.control("RE", []);
        roff.control("PP", []);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([
        bold("gitcredentials"),
        roman("(7), "),
        bold("git-credential"),
        roman("(1), "),
        bold("gh"),
        roman("(1)"),
    ]);
    roff.to_writer(page)
}

/// A paragraph; one that is indented is shown as it is.
fn paragraph_of(roff: &mut Roff, text: &str) {
    if text.starts_with("    ") {
        roff.control("RS", ["4"]);
        roff.control("nf", []);
        roff.text([roman(text.trim())]);
        roff.control("fi", []);
        roff.control("RE", []);
    } else {
        roff.control("PP", []);
        roff.text([roman(text.replace('\n', " "))]);
    }
}

fn item(roff: &mut Roff, name: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
}

/// A command, its arguments and flags.
fn describe(roff: &mut Roff, command: &Command) {
    let shown = |argument: &&Arg| !argument.is_global_set() && argument.get_id() != "help";
    let positionals = command.get_positionals().map(|argument| match argument.is_required_set() {
        true => format!(" {}", value(argument)),
        false => format!(" [{}]", value(argument)),
    });
    let heading = format!("{}{}", command.get_name(), positionals.collect::<String>());
    roff.control("SS", [heading.as_str()]);
    let about = command.get_long_about().or(command.get_about());
    for paragraph in about.map(ToString::to_string).unwrap_or_default().split("\n\n") {
        paragraph_of(roff, paragraph);
    }
    for argument in command.get_arguments().filter(shown) {
        let name = match argument.get_long() {
            Some(long) if argument.get_action().takes_values() => format!("--{long} {}", value(argument)),
            Some(long) => format!("--{long}"),
            None => value(argument),
        };
        item(roff, &name);
        let help = argument.get_long_help().or(argument.get_help());
        let possible: Vec<String> =
            argument.get_possible_values().iter().map(|it| it.get_name().to_owned()).collect();
        let choice = match possible.as_slice() {
            _ if !argument.get_action().takes_values() => String::new(),
            [] => String::new(),
            possible => format!(": {}", possible.join(", ")),
        };
        roff.text([roman(format!("{}{choice}", help.map(ToString::to_string).unwrap_or_default()))]);
    }
}

fn value(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
