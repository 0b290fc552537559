//! Finds out which functions a warm `get` runs, and writes them down for the linker.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{Subject, has};
use crate::{APP, Bench};

const HEAD: &str = "\
/* What a warm get runs, for the linker to keep together: scattered over the program it would be ten times as many places
 * to load. Written by `cargo bench --bench cost -- layout`, used by build.rs. What matches nothing does no harm. */
SECTIONS
{
  .text.warm :
  {
    *(.text*8dlmalloc*)
    *memset.*o(.text*)
    *memmove.*o(.text*)
";
const TAIL: &str = "  }\n}\nINSERT BEFORE .text;\n";

impl Bench {
    /// Writes `src/warm.ld`. Another build that still has its symbols is looked at too, if `GHAPP_LAYOUT_ALSO` names it:
    /// a static one, say.
    pub(crate) fn layout(&self) {
        assert!(has("valgrind"), "the functions are found with valgrind");
        let mut calls: BTreeMap<String, usize> = BTreeMap::new();
        let also = std::env::var_os("GHAPP_LAYOUT_ALSO").map(PathBuf::from);
        for program in [Some(with_symbols()), also].into_iter().flatten() {
            let symbols = Symbols::of(&program);
            for subject in self.what_git_does(program) {
                let functions = subject.profile().unwrap().functions;
                let names = functions.iter().flat_map(|function| symbols.names(function));
                let patterns: BTreeSet<String> =
                    names.filter(|name| is_symbol(name)).map(|name| pattern(&name)).collect();
                for pattern in patterns {
                    *calls.entry(pattern).or_default() += 1;
                }
            }
        }
        // What most calls run comes first, so that few calls need all of it.
        let mut patterns: Vec<_> = calls.into_iter().collect();
        patterns.sort_by_key(|(_, count)| Reverse(*count));
        let lines = patterns.iter().map(|(pattern, _)| format!("    *(.text*.{pattern})\n"));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/warm.ld");
        std::fs::write(&file, HEAD.to_owned() + &lines.collect::<String>() + TAIL).unwrap();
        println!("{} functions in {}", patterns.len(), file.display());
    }

    /// What git calls when there is a token: with either store, as older and newer ones ask, once it was accepted, and
    /// with several rules.
    fn what_git_does(&self, program: PathBuf) -> Vec<Subject> {
        let input = |name: &str, text: &str| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let get = Subject { program, ..self.glibc.clone() };
        let request = std::fs::read_to_string(&get.input).unwrap();
        let newer = input("newer", &format!("capability[]=authtype\ncapability[]=state\n{request}"));
        // More than one rule, and every setting.
        let apps = format!(
            "[[app]]\nid = \"{APP}\"\nprivate-key = \"~/acme.pem\"\n\n\
             [[app]]\nid = 2\nprivate-key = \"~/two.pem\"\nhost = \"ghe.example\"\nowners = [\"a\", \"b\"]\n\
             repositories = [\"c/d\"]\ninstallation-id = 7\n\n\
             [[app]]\nid = \"Iv3\"\nprivate-key = \"keyring:three\"\nowners = [\"e\"]\nscope = \"repository\"\n\
             permissions = {{ contents = \"read\" }}\non-failure = \"continue\"\n"
        );
        let several = input("several.toml", &apps);
        let mut subjects = vec![self.declined(&get), get.with("GHAPP_CONFIG", several.to_str().unwrap())];
        for store in ["keyring", "file"] {
            let get = get.with("GHAPP_CACHE", store);
            let answer = get.command(&[]).stdout(Stdio::piped()).output().unwrap().stdout;
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.contains("password="), "{store}");
            let accepted = input(&format!("accepted-{store}"), &format!("{request}{answer}"));
            subjects.push(Subject { input: newer.clone(), ..get.clone() });
            subjects.push(Subject { input: accepted, arguments: vec!["store".to_owned()], ..get.clone() });
            subjects.push(get);
        }
        subjects
    }
}

/// A program's symbols. A function of the C library often has several, and its section is named after any one of them.
struct Symbols(Vec<(String, String)>);

impl Symbols {
    fn of(program: &Path) -> Self {
        let output = Command::new("nm").arg("--defined-only").arg(program).output().unwrap();
        assert!(output.status.success(), "nm {}", program.display());
        let text = String::from_utf8(output.stdout).unwrap();
        let symbol = |line: &str| {
            let (address, rest) = line.split_once(' ')?;
            Some((address.to_owned(), rest.split_once(' ')?.1.to_owned()))
        };
        Self(text.lines().filter_map(symbol).collect())
    }

    /// All names of the function that callgrind calls by one of them, or by its address.
    fn names(&self, function: &str) -> BTreeSet<String> {
        // What callgrind calls the C library's part before main.
        let wanted = if function == "(below main)" { "__libc_start_main" } else { function };
        let at: BTreeSet<&str> = match function.strip_prefix("0x") {
            Some(address) => BTreeSet::from([address]),
            None => self
                .0
                .iter()
                .filter(|(_, name)| name == wanted)
                .map(|(address, _)| address.as_str())
                .collect(),
        };
        let here = self.0.iter().filter(|(address, _)| at.contains(address.as_str()));
        here.map(|(_, name)| name.clone()).collect()
    }
}

/// The program as it is released, but with its symbol table.
fn with_symbols() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut build = Command::new(env!("CARGO"));
    build.args([
        "build",
        "--release",
        "--locked",
        "--bin",
        "git-credential-ghapp",
        "--target-dir",
        "target/symbols",
    ]);
    build.args(["--config", "profile.release.strip=\"debuginfo\""]).current_dir(root);
    assert!(build.status().unwrap().success());
    root.join("target/symbols/release/git-credential-ghapp")
}

fn is_symbol(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.$".contains(&byte))
}

/// A symbol without what differs between builds: hashes, numbers of copies, places in the name, which move with them, and
/// the crate that happened to instantiate what is generic.
fn pattern(symbol: &str) -> String {
    let copy = symbol.rfind('.').filter(|dot| symbol[dot + 1..].bytes().all(|byte| byte.is_ascii_digit()));
    let end = if symbol.starts_with("_ZN") { symbol.rfind("17h") } else { copy };
    let (mut name, mut more) = end.map_or((symbol, ""), |end| (&symbol[..end], "*"));
    if let Some(start) = name.rfind("Cs").filter(|start| is_crate(&name[*start..])) {
        (name, more) = (&name[..start], "*");
    }
    let mut pattern = String::new();
    let mut rest = name;
    while let Some(start) = rest.find(['B', 'C']).filter(|_| name.starts_with("_R")) {
        // `Cs…_` is the hash of a crate, `B…_` leads back to a place in the name.
        let (before, from) = rest.split_at(start);
        let number = from.find('_').filter(|end| from.starts_with("Cs") || *end <= 4);
        let (kept, after) = number.map_or((&from[..1], &from[1..]), |end| ("*", &from[end + 1..]));
        pattern = pattern + before + kept;
        rest = after;
    }
    pattern + rest + more
}

/// Whether this is a crate and nothing else, like `Cs4X4t9plMPHF_9addr2line`. (Rust RFC 2603)
fn is_crate(name: &str) -> bool {
    let Some((_, named)) = name.split_once('_') else { return false };
    let digits = named.bytes().take_while(u8::is_ascii_digit).count();
    let (length, identifier) = named.split_at(digits);
    length.parse() == Ok(identifier.trim_start_matches('_').len())
}
