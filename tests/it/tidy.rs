//! Habits that a machine can hold: import direction, names of modules, openings of files, their sizes, and that every
//! diagnostic code is documented.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Bottom to top: a stage imports from those before it only. ARCHITECTURE.md says why.
const STAGES: [&str; 20] = [
    "names",
    "diagnostic",
    "graph",
    "template",
    "project",
    "checks",
    "plan",
    "state",
    "dialect",
    "lake",
    "engine",
    "lineage",
    "ingest",
    "simulate",
    "run",
    "typing",
    "serve",
    "editor",
    "report",
    "cli",
];

/// No async and no DataFusion: what links to neither is tested in a tenth of the time.
const FRONT: [&str; 8] = ["names", "diagnostic", "graph", "template", "project", "checks", "plan", "state"];

const BANNED: [&str; 9] = ["core", "common", "util", "utils", "helper", "helpers", "misc", "types", "manager"];

/// Modules whose name is on the list, with the reason.
const NAMED_ALL_THE_SAME: [(&str, &str); 1] = [("src/dialect/types.rs", "SQL types are its subject")];

const MOST_LINES: usize = 600;

/// Longer files, with the reason.
const LONG: [(&str, &str); 3] = [
    ("src/cli/args.rs", "every command and its help, as clap reads them"),
    ("src/engine/datafusion/information.rs", "one table of views and their columns, as Snowflake documents them"),
    ("src/template/session.rs", "the context of a template, one name after the other"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `(path from the root, text)` of every Rust file of `src/`.
fn sources() -> Vec<(PathBuf, String)> {
    let mut all: Vec<(PathBuf, String)> = walkdir::WalkDir::new(root().join("src"))
        .into_iter()
        .map(|e| e.expect("a readable folder").into_path())
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .map(|p| (p.strip_prefix(root()).expect("below the root").to_owned(), fs::read_to_string(&p).expect("UTF-8")))
        .collect();
    all.sort();
    all
}

fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|s| s == "tests" || s == "fake" || s.to_string_lossy().ends_with("_tests"))
}

/// Without the tests at its end.
fn product(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

fn stage(path: &Path) -> Option<&str> {
    path.components().nth(1).and_then(|c| c.as_os_str().to_str()).filter(|s| !s.ends_with(".rs"))
}

/// Stages that a file names after `crate::`, in paths and in grouped imports.
fn imported(text: &str) -> BTreeSet<String> {
    let word = |rest: &str| -> String { rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut found: BTreeSet<String> = text.split("crate::").skip(1).map(word).collect();
    for group in text.split("use crate::{").skip(1) {
        let mut depth = 0;
        let mut name = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.insert(word(name.trim()));
                    name.clear();
                    continue;
                }
                _ => {}
            }
            name.push(c);
        }
        found.insert(word(name.trim()));
    }
    found.retain(|name| STAGES.contains(&name.as_str()));
    found
}

#[test]
fn imports_point_down() {
    let rank = |stage: &str| STAGES.iter().position(|s| *s == stage);
    let mut faults = vec![];
    for (path, text) in sources() {
        let Some(own) = stage(&path) else { continue };
        let Some(height) = rank(own) else {
            faults.push(format!("{}: the stage `{own}` is not in the list", path.display()));
            continue;
        };
        for other in imported(&text) {
            if rank(&other).is_some_and(|other| other > height) {
                faults.push(format!("{}: `{own}` imports from `{other}`, which is above it", path.display()));
            }
        }
        for word in ["datafusion::", "tokio::", "async fn"] {
            if FRONT.contains(&own) && product(&text).contains(word) {
                faults.push(format!("{}: `{word}` in the front half", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn grouped_imports_are_seen() {
    let text = "use crate::{\n    names::{NodeId, x},\n    run::{self, event::Event},\n    graph,\n};\nfn f() { crate::plan::g(); }";
    assert_eq!(imported(text).into_iter().collect::<Vec<_>>(), ["graph", "names", "plan", "run"]);
}

#[test]
fn files_say_what_they_are_and_stay_small() {
    let mut faults = vec![];
    for (path, text) in sources() {
        let shown = path.to_string_lossy().replace('\\', "/");
        if !text.starts_with("//! ") {
            faults.push(format!("{shown}: does not open with `//!`"));
        }
        let lines = product(&text).lines().count();
        let excused = LONG.iter().any(|(long, _)| *long == shown);
        if lines > MOST_LINES && !excused && !is_test(&path) {
            faults.push(format!("{shown}: {lines} lines; split it, or give the reason in `LONG`"));
        }
        if excused && lines <= MOST_LINES {
            faults.push(format!("{shown}: is short enough now; take it from `LONG`"));
        }
        let banned = path.components().filter_map(|c| c.as_os_str().to_str()).any(|c| BANNED.contains(&c.trim_end_matches(".rs")));
        if banned && !NAMED_ALL_THE_SAME.iter().any(|(named, _)| *named == shown) {
            faults.push(format!("{shown}: name the noun, or put it beside its user"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn diagnostic_codes_are_documented() {
    let prefixes =
        ["check", "cli", "engine", "graph", "ingest", "lake", "project", "run", "seed", "simulate", "sql", "state", "template", "yaml"];
    let code = regex::Regex::new(&format!(r#""((?:{})/[a-z0-9]+(?:-[a-z0-9]+)*)""#, prefixes.join("|"))).expect("a pattern");
    let used: BTreeSet<String> = sources()
        .iter()
        .filter(|(path, _)| !is_test(path))
        .flat_map(|(_, text)| code.captures_iter(product(text)).map(|c| c[1].to_owned()).collect::<Vec<_>>())
        .collect();
    let page = fs::read_to_string(root().join("docs/diagnostics.md")).expect("docs/diagnostics.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|l| l.strip_prefix("| `"))
        .filter_map(|l| Some(l.split_once('`')?.0.to_owned()))
        .filter(|c| c.contains('/'))
        .collect();
    let missing: Vec<&String> = used.difference(&documented).collect();
    let gone: Vec<&String> = documented.difference(&used).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in docs/diagnostics.md: {missing:?}\nthere, but used nowhere: {gone:?}");
}

#[test]
fn the_readme_shows_commands_that_exist() {
    let known: Vec<String> = segue::cli::definition()
        .get_subcommands()
        .flat_map(|c| std::iter::once(c.get_name()).chain(c.get_all_aliases()).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut faults = vec![];
    for page in ["README.md", "CONTRIBUTING.md", "docs/profiles.md", "docs/sources.md", "docs/diagnostics.md", "src/cli/scaffold/README.md"]
    {
        let text = fs::read_to_string(root().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
        for line in text.lines() {
            for rest in line.split("segue ").skip(1) {
                // in running text `segue` is the subject of sentences
                let in_code = line.starts_with("    ") || line.contains(&format!("`segue {rest}"));
                let verb: String = rest.chars().take_while(|c| c.is_ascii_lowercase()).collect();
                if in_code && !verb.is_empty() && !known.contains(&verb) {
                    faults.push(format!("{page}: there is no command `{verb}`: {line}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
