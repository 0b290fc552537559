//! What the documentation says about messages, settings and other pages is true. (`docs.rs` runs its commands.)

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a page that cannot be read is a failure")]

mod common;

use std::path::{Path, PathBuf};

use common::TestEnv;

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path.as_ref()).unwrap()
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let inside = entries.flat_map(|path| match path.is_dir() {
        true => files(path.to_str().unwrap(), extension),
        false => vec![path],
    });
    inside.filter(|path| path.extension().is_some_and(|it| it == extension)).collect()
}

/// The literals in the code of a source file, without its tests. A `{…}` of a format string is cut out: each literal is
/// given as the pieces between them.
fn literals(source: &str) -> Vec<Vec<String>> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    let mut rest = code.replace("'\"'", "").replace("b'\"'", "");
    while let Some((_, after)) = rest.split_once('"') {
        let mut text = String::new();
        let mut characters = after.chars();
        while let Some(character) = characters.next() {
            match character {
                '"' => break,
                '\\' => match characters.next() {
                    Some('\n') => characters = characters.as_str().trim_start().chars(),
                    Some(escaped) => text.push(escaped),
                    None => {}
                },
                other => text.push(other),
            }
        }
        found.push(pieces(&text));
        rest = characters.as_str().to_owned();
    }
    found
}

fn pieces(literal: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut inside = false;
    for character in literal.chars() {
        match character {
            '{' => inside = true,
            '}' if inside => {
                inside = false;
                pieces.push(String::new());
            }
            _ if inside => {}
            other => pieces.last_mut().unwrap().push(other),
        }
    }
    pieces
}

/// How many bytes of a text the pieces have word for word, if it can come of them with something in between.
fn verbatim(text: &str, pieces: &[String]) -> Option<usize> {
    let Some((first, others)) = pieces.split_first() else { return text.is_empty().then_some(0) };
    if first.starts_with(text) {
        return Some(text.len());
    }
    let rest = text.strip_prefix(first.as_str())?;
    let gaps = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    let best = gaps.filter_map(|gap| match others {
        [] => (gap == 0 && rest.is_empty()).then_some(0),
        _ if gap == rest.len() => Some(0),
        _ => verbatim(&rest[gap..], others),
    });
    best.max().map(|length| first.len() + length)
}

/// Whether a part of a message stands in a literal: most of it word for word.
fn stands_in(part: &str, pieces: &[String]) -> bool {
    let starts = (0..pieces.len()).flat_map(|index| {
        let ends = pieces[index].char_indices().map(move |(at, _)| (index, at));
        ends.chain([(index, pieces[index].len())])
    });
    starts
        .filter_map(|(index, at)| {
            let mut tail = pieces[index..].to_vec();
            tail[0] = tail[0].split_off(at);
            verbatim(part, &tail)
        })
        .any(|length| length * 2 > part.len())
}

#[test]
fn every_message_in_troubleshooting_is_one_of_the_programs() {
    let sources = files("src", "rs").into_iter().filter(|path| !path.ends_with("tests.rs"));
    let literals: Vec<_> = sources.flat_map(|path| literals(&read(path))).collect();
    let page = read("docs/troubleshooting.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let messages: Vec<&str> = rows.flat_map(|cell| cell.trim_end_matches('`').split("`, `")).collect();
    assert!(messages.len() > 20, "{messages:?}");
    let of_git = |message: &&&str| message.starts_with("fatal: ");
    for message in messages.iter().filter(|message| !of_git(message)) {
        // The cause follows a colon, and often comes from elsewhere.
        let parts = message.split('…').flat_map(|part| part.split(": ")).map(str::trim);
        for part in parts.filter(|part| part.len() > 2) {
            let known = literals.iter().any(|pieces| stands_in(part, pieces));
            assert!(known, "no message says {part:?} of {message:?}");
        }
    }
}

#[test]
fn every_setting_is_in_the_configuration_page() {
    let page = read("docs/configuration.md");
    let help = TestEnv::bare().helper(["--help"], "").ok();
    let lines: Vec<&str> = help.lines().map(str::trim).collect();
    let settings = lines.iter().zip(lines.iter().skip(1)).filter_map(|(flag, help)| {
        let variable = help.strip_suffix(']')?.rsplit_once('[')?.1;
        Some((flag.split(' ').next()?, variable))
    });
    let settings: Vec<_> = settings.filter(|(flag, _)| flag.starts_with("--")).collect();
    assert!(settings.len() > 10, "{settings:?}");
    for (flag, variable) in settings {
        let row =
            |line: &&str| line.contains(&format!("`{flag}`")) && line.contains(&format!("`{variable}`"));
        assert!(page.lines().any(|line| row(&line)), "{flag} and {variable} are not in one row");
    }
}

#[test]
fn the_files_in_the_configuration_page_are_valid() {
    let page = read("docs/configuration.md");
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let env = TestEnv::bare();
        env.configure(example);
        let declined = env.get("gitlab.example", "acme/widgets");
        assert_eq!((declined.code, &*declined.stdout, &*declined.stderr), (Some(0), "", ""), "{example}");
    }
}

#[test]
fn the_tests_that_pages_name_exist() {
    let mut count = 0;
    for page in files("docs", "md") {
        for name in read(&page).split("`tests/").skip(1).filter_map(|rest| rest.split('`').next()) {
            let Some((file, test)) = name.split_once("::") else { continue };
            let exists = read(format!("tests/{file}")).contains(&format!("\nfn {test}()"));
            assert!(exists, "{}: {name}", page.display());
            count += 1;
        }
    }
    assert!(count > 10);
}

#[test]
fn links_lead_to_files_that_exist() {
    for page in files("docs", "md").into_iter().chain(["README.md", "CONTRIBUTING.md"].map(PathBuf::from)) {
        let folder = page.parent().unwrap();
        for target in read(&page).split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let is_elsewhere = target.starts_with("https://") || target.is_empty();
            assert!(is_elsewhere || folder.join(target).exists(), "{}: {target}", page.display());
        }
    }
}

#[test]
fn the_address_of_the_repository_is_the_same_everywhere() {
    let manifest = read("Cargo.toml");
    let named = |key: &str| manifest.lines().find_map(|line| line.strip_prefix(key)?.split('"').nth(1));
    let address = named("repository = ").unwrap();
    assert_eq!(named("homepage = "), Some(address));
    let name = address.rsplit('/').next().unwrap();
    let outside =
        ["README.md", "SECURITY.md", "Containerfile", "install.sh", ".github/ISSUE_TEMPLATE/config.yml"];
    for file in files("docs", "md").into_iter().chain(outside.map(PathBuf::from)) {
        // The image is named after the repository.
        for found in
            read(&file).replace("ghcr.io/", "https://github.com/").split("https://github.com/").skip(1)
        {
            let its = found.split(['/', ' ', ':', '\n', '`', ')']).take(2).collect::<Vec<_>>().join("/");
            let is_this = its.ends_with(&format!("/{name}"));
            assert!(!is_this || address.ends_with(&its), "{}: {its} is not {address}", file.display());
        }
    }
}
