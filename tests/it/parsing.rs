//! The parse cache: whatever is edited, a load that uses it and a load that does not give the same project.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use segue::{
    diagnostic::{Diagnostics, Style, render},
    graph::Node,
    names::ResourceType,
    project::{CacheOptions, LoadOptions, Project, load},
    template::NoWarehouse,
};

/// What an invocation is called with.
#[derive(Clone)]
struct Call {
    env: HashMap<String, String>,
    vars: Option<String>,
    started: DateTime<Utc>,
    program: String,
}

impl Call {
    fn new() -> Self {
        Self { env: HashMap::new(), vars: None, started: DateTime::UNIX_EPOCH, program: "one".into() }
    }

    fn options(&self, root: &Path, cached: bool) -> LoadOptions {
        let env = self.env.clone();
        LoadOptions {
            env: Arc::new(move |name| env.get(name).cloned()),
            vars: self.vars.clone(),
            invocation_id: format!("run {}", self.started),
            run_started_at: self.started,
            cache: cached.then(|| CacheOptions { program: self.program.clone(), target: None }),
            ..LoadOptions::new(root)
        }
    }
}

fn shown(faults: &Diagnostics) -> String {
    faults.0.iter().map(|d| render(d, Style::Plain)).collect::<Vec<_>>().join("\n")
}

/// All that a project is, as text.
fn described(loaded: Result<Project, Diagnostics>) -> String {
    let project = match loaded {
        Ok(project) => project,
        Err(faults) => return format!("faults\n{}", shown(&faults)),
    };
    let mut out = String::new();
    let mut say = |line: std::fmt::Arguments<'_>| writeln!(out, "{line}").expect("a string");
    for node in project.graph.nodes().chain(&project.disabled) {
        let Node { id, kind, name, package, fqn, path, original_file_path, file, raw_code, patch, description, columns, config, .. } = node;
        say(format_args!("{id} {kind} {name} {package} {fqn:?} {path:?} {original_file_path:?} {:?} {raw_code:?}", file.path));
        say(format_args!("  {patch:?} {description:?} {columns:?} {config:?}"));
        let Node { tags, meta, relation, this, alias, refs, sources, functions, depends_on, test, source, extra, .. } = node;
        say(format_args!("  {tags:?} {meta:?} {relation:?} {this:?} {alias:?} {refs:?} {sources:?} {functions:?}"));
        say(format_args!("  {depends_on:?} {test:?} {source:?} {extra:?}"));
        if !matches!(kind, ResourceType::Seed | ResourceType::Source | ResourceType::Exposure | ResourceType::UnitTest) && config.enabled {
            match project.compile(id, &NoWarehouse) {
                Ok(compiled) => say(format_args!("  {}", compiled.sql)),
                Err(faults) => say(format_args!("  {}", shown(&faults))),
            }
        }
    }
    say(format_args!("{:?}\n{:?}\n{:?}\n{:?}", project.graph.order(), project.groups, project.semantic, project.macros));
    say(format_args!("{}", shown(&project.warnings)));
    out
}

fn check(root: &Path, call: &Call, what: &str) -> bool {
    let plain = described(load(&call.options(root, false)));
    for round in 0..2 {
        let cached = described(load(&call.options(root, true)));
        assert_eq!(cached, plain, "{what}, round {round}");
    }
    !plain.starts_with("faults")
}

/// A project as the contents of its files.
type Tree = BTreeMap<PathBuf, String>;

struct Maker {
    rng: ChaCha8Rng,
    next: usize,
}

impl Maker {
    fn one_in(&mut self, n: u32) -> bool {
        self.rng.random_ratio(1, n)
    }

    fn model(&mut self, tree: &Tree) -> String {
        let others: Vec<String> = models(tree);
        let mut text = String::new();
        if self.one_in(3) {
            let config = [
                "materialized='table'",
                "tags=['a', 'b']",
                "enabled=var('on', true)",
                "alias='x_' ~ model.name",
                "meta={'k': env_var('KEY', 'none')}",
            ];
            write!(text, "{{{{ config({}) }}}}\n", config.choose(&mut self.rng).expect("some")).expect("a string");
        }
        let from = match others.choose(&mut self.rng) {
            Some(other) if !self.one_in(4) => format!("{{{{ ref('{other}') }}}}"),
            _ => "{{ source('raw', 'events') }}".to_owned(),
        };
        let column = ["1", "{{ cents('a') }}", "'{{ run_started_at }}'", "{{ var('n', 1) }}", "'{{ flags.FULL_REFRESH }}'"];
        write!(text, "select {} as c{} from {from}\n", column.choose(&mut self.rng).expect("some"), self.rng.random_range(0..9))
            .expect("a string");
        text
    }

    fn yaml(&mut self, tree: &Tree) -> String {
        let mut names = models(tree);
        names.push(format!("m{}", self.next));
        let mut text = "models:\n".to_owned();
        let count = self.rng.random_range(1..4);
        for name in names.choose_multiple(&mut self.rng, count).cloned().collect::<Vec<_>>() {
            let description = ["plain", "\"{{ doc('about') }}\"", "\"{{ var('n', 1) }}\""].choose(&mut self.rng).expect("some").to_string();
            write!(
                text,
                "- name: {name}\n  description: {description}\n  columns:\n  - name: c1\n    data_tests: [not_null, unique, positive]\n"
            )
            .expect("a string");
            if self.one_in(4) {
                text.push_str("  config: {materialised: view}\n");
            }
        }
        if self.one_in(3) {
            let name = names.choose(&mut self.rng).expect("some");
            write!(text, "exposures:\n- name: e{}\n  type: dashboard\n  owner: {{name: me}}\n  depends_on: [ref('{name}')]\n", self.next)
                .expect("a string");
        }
        if self.one_in(4) {
            text.push_str("macros:\n- name: cents\n  description: In cents\n");
        }
        text
    }

    /// One edit, and what it was.
    fn edit(&mut self, tree: &mut Tree, call: &mut Call) -> String {
        let models: Vec<PathBuf> = tree.keys().filter(|p| is_model(p)).cloned().collect();
        let yaml: Vec<PathBuf> =
            tree.keys().filter(|p| p.starts_with("models") && p.extension().is_some_and(|e| e == "yml")).cloned().collect();
        self.next += 1;
        let new = |n: usize, end: &str| PathBuf::from(format!("models/f{}/m{n}.{end}", n % 3));
        match self.rng.random_range(0..13) {
            0 | 1 => {
                let (path, text) = (new(self.next, "sql"), self.model(tree));
                tree.insert(path.clone(), text);
                format!("added {path:?}")
            }
            2 | 3 => {
                let (path, text) = (new(self.next, "yml"), self.yaml(tree));
                tree.insert(path.clone(), text);
                format!("added {path:?}")
            }
            4 | 5 => {
                let text = self.model(tree);
                let Some(path) = models.choose(&mut self.rng) else { return "nothing".into() };
                tree.insert(path.clone(), text);
                format!("changed {path:?}")
            }
            6 => {
                let text = self.yaml(tree);
                let Some(path) = yaml.choose(&mut self.rng) else { return "nothing".into() };
                tree.insert(path.clone(), text);
                format!("changed {path:?}")
            }
            7 => {
                let all: Vec<PathBuf> = models.into_iter().chain(yaml).collect();
                let Some(path) = all.choose(&mut self.rng) else { return "nothing".into() };
                tree.remove(path);
                format!("removed {path:?}")
            }
            8 => {
                let Some(path) = models.choose(&mut self.rng) else { return "nothing".into() };
                let text = tree.remove(path).unwrap_or_default();
                tree.insert(new(self.next, "sql"), text);
                format!("renamed {path:?}")
            }
            9 => {
                let divisor = self.rng.random_range(1..100);
                tree.insert("macros/m.sql".into(), macros(divisor));
                "changed a macro".into()
            }
            10 => {
                call.env.insert("KEY".into(), self.next.to_string());
                "changed a variable of the environment".into()
            }
            11 => {
                call.vars = self.rng.random_bool(0.5).then(|| format!("{{n: {}, on: {}}}", self.next % 4, self.next % 5 != 0));
                "changed --vars".into()
            }
            _ => {
                let text = format!("{{% docs about %}}Text {}{{% enddocs %}}\n", self.next % 3);
                tree.insert("models/docs.md".into(), text);
                "changed docs".into()
            }
        }
    }
}

fn is_model(path: &Path) -> bool {
    path.starts_with("models") && path.extension().is_some_and(|e| e == "sql")
}

fn models(tree: &Tree) -> Vec<String> {
    tree.keys().filter(|p| is_model(p)).filter_map(|p| Some(p.file_stem()?.to_string_lossy().into_owned())).collect()
}

fn macros(divisor: u32) -> String {
    format!(
        "{{% macro cents(c) %}}{{{{ c }}}} / {divisor}{{% endmacro %}}\n\
         {{% test positive(model, column_name) %}}select * from {{{{ model }}}} where {{{{ column_name }}}} <= {divisor}{{% endtest %}}\n"
    )
}

fn base() -> Tree {
    let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
    Tree::from([
        file("dbt_project.yml", "name: p\nprofile: p\nmodels:\n  p:\n    f1: {+tags: [one]}\n"),
        file("profiles.yml", "p:\n  outputs:\n    default: {type: datafusion, database: d, schema: \"{{ env_var('KEY', 's') }}\"}\n"),
        file(
            "models/sources.yml",
            "sources:\n- name: raw\n  tables:\n  - name: events\n    columns:\n    - {name: a, data_tests: [not_null]}\n",
        ),
        file("models/docs.md", "{% docs about %}Text{% enddocs %}\n"),
        file("macros/m.sql", &macros(100)),
        file("seeds/s.csv", "a\n1\n"),
        file(
            "snapshots/h.sql",
            "{% snapshot h %}{{ config(strategy='check', check_cols='all', unique_key='a') }}select * from {{ ref('s') }}{% endsnapshot %}",
        ),
        file("tests/t.sql", "select * from {{ ref('s') }} where a < {{ var('n', 0) }}"),
    ])
}

fn write(root: &Path, tree: &Tree, before: &Tree) {
    for path in before.keys().filter(|p| !tree.contains_key(*p)) {
        fs::remove_file(root.join(path)).expect("removed");
    }
    for (path, text) in tree.iter().filter(|(p, t)| before.get(*p) != Some(t)) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
}

#[test]
fn a_load_with_the_cache_is_a_load_without() {
    let mut sound = 0;
    for seed in 0..6 {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut maker, mut call) = (Maker { rng: ChaCha8Rng::seed_from_u64(seed), next: 0 }, Call::new());
        let mut tree = base();
        write(folder.path(), &tree, &Tree::new());
        let mut history = vec![tree.clone()];
        let mut told = vec![];
        for _ in 0..40 {
            call.started += TimeDelta::seconds(1);
            let before = tree.clone();
            if maker.one_in(5) {
                tree = history.choose(&mut maker.rng).expect("some").clone();
                told.push("went back".to_owned());
            } else {
                told.push(maker.edit(&mut tree, &mut call));
            }
            write(folder.path(), &tree, &before);
            let what = format!("seed {seed}: {told:#?}");
            if check(folder.path(), &call, &what) {
                sound += 1;
                history.push(tree.clone());
            } else if maker.one_in(2) {
                // faults are worth a look, and then mended
                let mended = history.last().expect("some").clone();
                write(folder.path(), &mended, &tree);
                tree = mended;
                told.push("mended".to_owned());
            }
        }
    }
    assert!(sound > 60, "most projects are sound: {sound}");
}

fn cache(root: &Path) -> PathBuf {
    root.join("target/parse_cache.bin")
}

#[test]
fn a_damaged_cache_is_as_good_as_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tree = base();
    tree.insert("models/a.sql".into(), "select 1 as c1".into());
    tree.insert("models/a.yml".into(), "models:\n- name: a\n  columns:\n  - {name: c1, data_tests: [unique]}\n".into());
    write(folder.path(), &tree, &Tree::new());
    let call = Call::new();
    assert!(check(folder.path(), &call, "whole"));
    let whole = fs::read(cache(folder.path())).expect("a cache");
    for at in (0..whole.len()).step_by(whole.len() / 40 + 1) {
        let mut torn = whole.clone();
        torn[at] ^= 0x55;
        fs::write(cache(folder.path()), &torn).expect("written");
        check(folder.path(), &call, &format!("byte {at} changed"));
        fs::write(cache(folder.path()), &whole[..at]).expect("written");
        check(folder.path(), &call, &format!("cut at {at}"));
    }
    fs::remove_file(cache(folder.path())).expect("removed");
    check(folder.path(), &call, "removed");
    let other = Call { program: "two".into(), ..call };
    check(folder.path(), &other, "another program");
}

#[test]
fn a_change_that_keeps_size_and_time_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tree = base();
    tree.insert("models/a.sql".into(), "select 1 as a".into());
    write(folder.path(), &tree, &Tree::new());
    let call = Call::new();
    check(folder.path(), &call, "first");
    let path = folder.path().join("models/a.sql");
    let time = fs::metadata(&path).and_then(|m| m.modified()).expect("a time");
    fs::write(&path, "select 2 as a").expect("written");
    fs::File::options().write(true).open(&path).and_then(|f| f.set_modified(time)).expect("set back");
    let project = load(&call.options(folder.path(), true)).expect("sound");
    let node = project.graph.nodes().find(|n| n.name == "a").expect("there");
    assert_eq!(node.raw_code, "select 2 as a");
}

#[test]
fn nothing_is_written_when_nothing_changed_and_secrets_never() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tree = base();
    tree.insert(
        "models/more.yml".into(),
        "sources:\n- name: web\n  tables:\n  - name: hits\n    adapter: {type: lastfm, api_key: \"{{ env_var('DBT_ENV_SECRET_KEY') }}\", method: chart.gettoptracks}\n".into(),
    );
    write(folder.path(), &tree, &Tree::new());
    let mut call = Call::new();
    call.env.insert("DBT_ENV_SECRET_KEY".into(), "hush-hush-hush".into());
    let load = |call: &Call| described(load(&call.options(folder.path(), true)));
    let first = load(&call);
    // what was read as soon as it was written is read once more
    std::thread::sleep(std::time::Duration::from_millis(150));
    load(&call);
    let bytes = fs::read(cache(folder.path())).unwrap_or_else(|e| panic!("{e}\n{first}"));
    assert!(!bytes.windows(9).any(|w| w == b"hush-hush"), "a secret was written");
    let time = || fs::metadata(cache(folder.path())).and_then(|m| m.modified()).expect("a time");
    let before = time();
    assert_eq!(load(&call), first);
    assert_eq!(time(), before);
}

#[test]
fn loads_at_once_agree() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut tree = base();
    for n in 0..50 {
        tree.insert(format!("models/a{n}.sql").into(), format!("select {n} as a"));
    }
    write(folder.path(), &tree, &Tree::new());
    let call = Call::new();
    let expect = described(load(&call.options(folder.path(), false)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(described(load(&call.options(folder.path(), true))), expect);
                    // whoever deletes it meanwhile costs time only
                    let _ = fs::remove_file(cache(folder.path()));
                }
            });
        }
    });
}
