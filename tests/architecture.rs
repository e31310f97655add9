//! Who may import whom: reads the `use crate::` paths of every file and compares them with the layers that
//! `src/lib.rs` describes. A lower layer never imports a higher one.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its sources has failed")]

use std::{collections::BTreeMap, fs, path::Path};

/// What each module may import, beside itself.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("clock", &[][..]),
        ("boxed", &[]),
        ("proto", &[]),
        ("rest", &[]),
        ("domain", &[]),
        ("config", &["domain"]),
        ("tokens", &["domain"]),
        ("store", &["config", "domain", "clock"]),
        ("upstream", &["config", "domain", "clock"]),
        ("telemetry", &["config", "domain", "clock"]),
        ("server", &["config", "domain", "clock"]),
        ("auth", &["domain", "clock", "config", "limits", "store"]),
        ("limits", &["domain", "clock", "config"]),
        ("prune", &["domain", "clock", "config", "tokens"]),
        ("usage", &["domain", "clock", "config", "tokens"]),
        ("chat", &["domain", "clock", "limits", "prune", "tokens", "upstream", "usage"]),
        (
            "service",
            &[
                "proto",
                "rest",
                "domain",
                "clock",
                "config",
                "auth",
                "store",
                "chat",
                "limits",
                "upstream",
                "telemetry",
            ],
        ),
        (
            "app",
            &[
                "auth",
                "boxed",
                "chat",
                "clock",
                "config",
                "domain",
                "limits",
                "proto",
                "prune",
                "rest",
                "server",
                "service",
                "store",
                "telemetry",
                "tokens",
                "upstream",
                "usage",
            ],
        ),
        ("fuzzing", &["chat", "domain", "proto", "rest", "service"]),
        ("cli", &["app", "clock", "config", "domain", "prune", "store", "telemetry"]),
    ])
}

/// Every module that a source text names by `crate::module`.
fn named(text: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => modules.push(word(rest)),
            Some(group) => {
                // The first word of each member at the outermost level of the braces.
                let mut depth = 0;
                let mut fresh = true;
                for (i, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => fresh = true,
                        c if fresh && c.is_alphanumeric() => {
                            modules.push(word(&group[i..]));
                            fresh = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    modules
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn visit(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The lines of a file before its tests: tests may reach for more (the real descriptors, a real store).
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

#[test]
fn lower_layers_never_import_higher_ones() {
    let allowed = allowed();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    visit(&source, &mut files);
    let mut offences = Vec::new();
    for (path, text) in files {
        let inside = Path::new(&path).strip_prefix(&source).unwrap();
        let module = inside.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
        if matches!(module.as_str(), "lib" | "main") || inside.to_string_lossy().contains("tests") {
            continue;
        }
        let may =
            allowed.get(module.as_str()).unwrap_or_else(|| panic!("src/{module} has no place in the layers"));
        for import in named(without_tests(&text)) {
            if import != module && !may.contains(&import.as_str()) {
                offences.push(format!("{} imports {import}", inside.display()));
            }
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn every_file_says_what_it_owns() {
    let mut files = Vec::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let silent: Vec<_> =
        files.iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn imports_are_found_in_groups_and_paths() {
    let text = "use crate::{auth::{A, store}, domain};\nlet x = crate::usage::Y;";
    assert_eq!(named(text), ["auth", "domain", "usage"]);
}
