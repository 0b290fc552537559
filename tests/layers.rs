//! The flow has one direction: a module imports only what stands below it in the list in `src/lib.rs`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a source that cannot be read is a failure")]

use std::path::{Path, PathBuf};

/// The modules, in the order of the list.
fn order() -> Vec<String> {
    let source = std::fs::read_to_string("src/lib.rs").unwrap();
    let list = source.lines().filter(|line| line.starts_with("//! - "));
    let named =
        list.flat_map(|line| line.split("[`").skip(1).map(|rest| rest.split('`').next().unwrap().to_owned()));
    named.filter(|name| !name.contains("::")).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let inside = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    inside.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

#[test]
fn modules_import_only_what_stands_below_them() {
    let order = order();
    let position = |module: &str| {
        order
            .iter()
            .position(|name| name == module)
            .unwrap_or_else(|| panic!("{module} is not in the list of src/lib.rs"))
    };
    let everywhere = position("terminal");
    let mut wrong = Vec::new();
    let mut imports = 0;
    for path in sources(Path::new("src")) {
        let inside = path.strip_prefix("src").unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        // Tests beside the code may use what they need.
        let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
        if inside.ends_with("tests.rs") {
            continue;
        }
        for used in code.split("crate::").skip(1) {
            let used = used.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
            imports += 1;
            if used != module && position(used) < position(&module).min(everywhere) {
                wrong.push(format!("{} imports {used}", path.display()));
            }
        }
    }
    assert!(imports > 30, "the test does not find the imports any more");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_rest_api_is_built_in_one_direction_too() {
    let order = ["mod", "transport", "failures", "reply"];
    for (position, file) in order.iter().enumerate() {
        let source = std::fs::read_to_string(format!("src/github/{file}.rs")).unwrap();
        for above in &order[..=position] {
            let imports = source.contains(&format!("super::{above}::"));
            assert!(!imports, "{file} imports {above}");
        }
        let of_mod = source.lines().filter(|line| line.starts_with("use super::"));
        let of_mod: Vec<&str> = of_mod.filter(|line| line.matches("::").count() < 2).collect();
        assert!(of_mod.is_empty(), "{file}: {of_mod:?}");
    }
}

#[test]
fn neither_program_nor_library_may_hold_unsafe_code() {
    for root in ["src/main.rs", "src/lib.rs"] {
        assert!(std::fs::read_to_string(root).unwrap().contains("\n#![forbid(unsafe_code)]\n"), "{root}");
    }
}
