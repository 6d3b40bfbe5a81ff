//! Building again: what has not changed is not built, what has is, and the end is always that of a build from nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Stdio,
};

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::sandbox::Sandbox;

/// Names of the nodes of the last run that were not fresh.
fn built(sandbox: &Sandbox) -> BTreeSet<String> {
    let results = sandbox.json("target/run_results.json");
    let all = results["results"].as_array().expect("a list");
    let stale = all.iter().filter(|r| !r["message"].as_str().is_some_and(|m| m.starts_with("fresh")));
    stale.map(|r| r["unique_id"].as_str().expect("an id").split('.').nth(2).expect("a name").to_owned()).collect()
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|n| (*n).to_owned()).collect()
}

const SHOP: &str = "-- file: seeds/prices.csv
id,price
1,10
2,20
-- file: models/staged.sql
{{ config(materialized='view') }}
select id, price * {{ var('factor', 1) }} as price from {{ ref('prices') }}
-- file: models/total.sql
{{ config(materialized='table') }}
select {{ summed('price') }} as total from {{ ref('staged') }}
-- file: models/seen.sql
{{ config(materialized='incremental', unique_key='id') }}
select id, price from {{ ref('staged') }}
{% if is_incremental() %} where id >= (select max(id) from {{ this }}) {% endif %}
-- file: models/apart.sql
{{ config(materialized='table') }}
select 1 as a
-- file: macros/m.sql
{% macro summed(column) %}sum({{ column }}){% endmacro %}
-- file: models/schema.yml
models:
- name: total
  description: the sum
  columns:
  - name: total
    data_tests: [not_null]
";

#[test]
fn only_what_a_change_touches_is_built() {
    let sandbox = Sandbox::new(SHOP);
    let build = |args: &[&str]| {
        let all: Vec<&str> = ["build"].iter().chain(args).copied().collect();
        sandbox.run(&all).expect_code(0);
        built(&sandbox)
    };
    let test = "not_null_total_total";
    let everything = names(&["prices", "staged", "total", "seen", "apart", test]);
    assert_eq!(build(&[]), everything);
    assert_eq!(build(&[]), names(&[]), "nothing has changed");
    assert_eq!(build(&["--force"]), everything);
    assert_eq!(build(&[]), names(&[]), "nothing has changed since it was forced");

    sandbox.write("models/apart.sql", "-- what for?\n{{ config(materialized='table') }}\n  select   1 as a /* one */\n");
    sandbox.write("macros/m.sql", "{% macro added(column) %}sum({{ column }}){% endmacro %}\n");
    sandbox
        .write("models/total.sql", "{{ config(materialized='table') }}\nselect {{ added('price') }} as total from {{ ref('staged') }}\n");
    let yml = sandbox.read("models/schema.yml").replace("the sum", "the sum of all prices");
    sandbox.write("models/schema.yml", &yml);
    assert_eq!(build(&[]), names(&[]), "comments, white space, descriptions, names of macros");

    sandbox.write("models/apart.sql", "{{ config(materialized='table') }}\nselect 2 as a\n");
    assert_eq!(build(&[]), names(&["apart"]));
    sandbox.write("seeds/prices.csv", "id,price\n1,10\n2,20\n3,30\n");
    assert_eq!(build(&[]), names(&["prices", "total", "seen", test]), "a view is read anew, not made anew");
    assert_eq!(build(&["--vars", "{factor: 2}"]), names(&["staged", "total", "seen", test]));
    assert_eq!(build(&["--vars", "{factor: 2}"]), names(&[]));
    sandbox.write("macros/m.sql", "{% macro added(column) %}max({{ column }}){% endmacro %}\n");
    assert_eq!(build(&["--vars", "{factor: 2}"]), names(&["total", test]));
    assert_eq!(sandbox.rows("select total from dev.total")[0]["TOTAL"], 60);

    // a change by hand is mended
    sandbox.run(&["sql", "update dev.total set total = 0"]).expect_code(0);
    assert_eq!(build(&["--vars", "{factor: 2}"]), names(&["total", test]));
    assert_eq!(sandbox.rows("select total from dev.total")[0]["TOTAL"], 60);
    sandbox.run(&["sql", "drop table dev.apart; create table dev.apart as select 5 as a"]).expect_code(0);
    assert_eq!(build(&["--vars", "{factor: 2}"]), names(&["apart"]));

    // artifacts are no state: without them, and from another clone of the project, the same is fresh
    fs::remove_dir_all(sandbox.path().join("target")).expect("target");
    assert_eq!(build(&["--vars", "{factor: 2}"]), names(&[]));
}

#[test]
fn volatile_and_due() {
    let sandbox = Sandbox::new(
        "-- file: seeds/s.csv
a
1
-- file: models/now.sql
{{ config(materialized='table') }}
select current_timestamp() as t
-- file: models/then.sql
{{ config(materialized='table', volatile=false) }}
select current_timestamp() as t
-- file: models/always.sql
{{ config(materialized='table', volatile=true) }}
select 1 as a
-- file: models/daily.sql
{{ config(materialized='table', freshness={'build_after': {'count': 1, 'period': 'day'}}) }}
select * from {{ ref('s') }}
-- file: models/branch.sql
{{ config(materialized='incremental', unique_key='a') }}
{% if is_incremental() %}select 2 as a{% else %}select 1 as a{% endif %}
",
    );
    let build = || {
        sandbox.run(&["build"]).expect_code(0);
        built(&sandbox)
    };
    build();
    assert_eq!(build(), names(&["now", "always", "branch"]), "the branch of an incremental model is another query");
    assert_eq!(build(), names(&["now", "always"]));
    sandbox.write("seeds/s.csv", "a\n2\n");
    assert_eq!(build(), names(&["now", "always", "s"]), "daily is not due");
    sandbox.write(
        "models/daily.sql",
        "{{ config(materialized='table', freshness={'build_after': {'count': 1, 'period': 'day'}}) }}\nselect a, 1 as b from {{ ref('s') }}\n",
    );
    assert_eq!(build(), names(&["now", "always", "daily"]), "other SQL does not wait");
}

#[test]
fn a_plan_tells_reasons_and_does_nothing() {
    let sandbox = Sandbox::new(SHOP);
    let reasons = |args: &[&str]| -> BTreeMap<String, String> {
        let all: Vec<&str> = ["plan", "--output", "json"].iter().chain(args).copied().collect();
        let plan: Value = serde_json::from_str(&sandbox.run(&all).expect_code(0).out).expect("JSON");
        let nodes = plan["nodes"].as_array().expect("a list").iter();
        nodes
            .filter(|n| n["fresh"] == false)
            .map(|n| {
                let why: Vec<&str> = n["reasons"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
                (n["unique_id"].as_str().expect("an id").split('.').nth(2).expect("a name").to_owned(), why.join("; "))
            })
            .collect()
    };
    let first = reasons(&[]);
    assert_eq!(first["prices"], "first run");
    assert!(!sandbox.path().join("warehouse/SHOP").exists(), "a plan makes nothing");
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(reasons(&[]), BTreeMap::new());
    sandbox.write("seeds/prices.csv", "id,price\n1,11\n2,20\n");
    sandbox.write("models/apart.sql", "{{ config(materialized='table') }}\nselect 2 as a\n");
    let told = reasons(&[]);
    assert_eq!(told["apart"], "SQL changed");
    assert_eq!(told["total"], "input SHOP.DEV.STAGED has changed");
    assert_eq!(told["prices"], "SQL changed");
    assert!(!told.contains_key("staged"), "{told:?}");
    assert_eq!(reasons(&["--force"])["staged"], "forced");
    let text = sandbox.run(&["plan"]).expect_code(0).out;
    assert!(text.contains("- select 1 as a") && text.contains("+ select 2 as a"), "{text}");
    let explained = sandbox.run(&["explain", "total"]).expect_code(0).out;
    assert!(
        explained.contains("SHOP.DEV.STAGED  has changed") && explained.contains("seed SHOP.PRICES") | explained.contains("PRICES"),
        "{explained}"
    );
    let unknown = sandbox.run(&["explain", "totl"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
}

#[test]
fn two_builds_at_once_end_as_one_after_the_other() {
    let sandbox = Sandbox::new(SHOP);
    let start =
        || sandbox.command(&["build", "--target-path", "target/b"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
    let second = start();
    sandbox.run(&["build"]).expect_code(0);
    let done = second.wait_with_output().expect("ends");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(sandbox.rows("select count(*) as n from dev.seen")[0]["N"], 2);
    assert_eq!(sandbox.rows("select total from dev.total")[0]["TOTAL"], 30);
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(built(&sandbox), names(&[]));
}

#[test]
fn another_clone_of_the_project_builds_nothing_again() {
    const EVENTS: &str = "-- file: seeds/events.csv
at,n
2020-05-01 10:00:00,1
-- file: seeds/schema.yml
seeds: [{name: events, config: {event_time: at}}]
-- file: models/yearly.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='at', begin='2020-01-01', batch_size='year', audit=true) }}
select at, n from {{ ref('events') }}
-- file: models/audited.sql
{{ config(materialized='table', audit=true) }}
select n from {{ ref('yearly') }}
-- file: models/events.yml
models: [{name: audited, columns: [{name: n, data_tests: [not_null]}]}]
";
    let first = Sandbox::new(&format!("{SHOP}{EVENTS}"));
    let second = Sandbox::new(&format!("{SHOP}{EVENTS}"));
    let profile = first.read("profiles.yml").replace("path: warehouse", &format!("path: '{}'", first.path().join("warehouse").display()));
    second.write("profiles.yml", &profile);
    first.run(&["build"]).expect_code(0);
    second.run(&["build"]).expect_code(0);
    assert_eq!(built(&second), names(&[]));
    // what the one changes the other goes on from
    for sandbox in [&first, &second] {
        sandbox.write("seeds/prices.csv", "id,price\n1,10\n2,25\n");
    }
    second.run(&["build"]).expect_code(0);
    assert!(built(&second).contains("total"));
    first.run(&["build"]).expect_code(0);
    assert_eq!(built(&first), names(&[]));
}

/// A project of random shape, as data.
#[derive(Clone)]
struct Made {
    /// Rows of the seeds.
    seeds: Vec<Vec<(i64, i64)>>,
    models: Vec<Model>,
    factor: i64,
    macro_sum: i64,
}

#[derive(Clone)]
struct Model {
    name: String,
    kind: &'static str,
    /// Seeds and models before it.
    parents: Vec<String>,
    add: i64,
    uses_var: bool,
    uses_macro: bool,
    comment: u32,
}

const KINDS: [&str; 4] = ["table", "view", "ephemeral", "incremental"];

impl Made {
    fn random(rng: &mut ChaCha8Rng, kinds: &[&'static str]) -> Self {
        let mut known: Vec<String> = vec!["seed_0".into(), "seed_1".into()];
        let seeds = (0..2).map(|_| (0..rng.random_range(1..5)).map(|i| (i, rng.random_range(0..9))).collect()).collect();
        let models = (0..6)
            .map(|i| {
                let count = rng.random_range(1..=2);
                let parents = known.choose_multiple(rng, count).cloned().collect();
                let model = Model {
                    name: format!("model_{i}"),
                    kind: kinds.choose(rng).expect("some"),
                    parents,
                    add: rng.random_range(0..5),
                    uses_var: rng.random_bool(0.4),
                    uses_macro: rng.random_bool(0.4),
                    comment: 0,
                };
                known.push(model.name.clone());
                model
            })
            .collect();
        Self { seeds, models, factor: 1, macro_sum: 0 }
    }

    fn write(&self, sandbox: &Sandbox) {
        let _ = fs::remove_dir_all(sandbox.path().join("models"));
        for (i, rows) in self.seeds.iter().enumerate() {
            let lines: String = rows.iter().map(|(k, v)| format!("{k},{v}\n")).collect();
            sandbox.write(&format!("seeds/seed_{i}.csv"), &format!("k,v\n{lines}"));
        }
        sandbox.write("macros/m.sql", &format!("{{% macro more() %}}{}{{% endmacro %}}\n", self.macro_sum));
        for model in &self.models {
            let branches: Vec<String> = model.parents.iter().map(|p| format!("select k, v from {{{{ ref('{p}') }}}}")).collect();
            let var = if model.uses_var { " * {{ var('factor') }}" } else { "" };
            let more = if model.uses_macro { " + {{ more() }}" } else { "" };
            // every row is computed anew from what is above: whatever the order of builds, the end is decided
            let key = if model.kind == "incremental" { ", unique_key='k', incremental_strategy='delete+insert'" } else { "" };
            sandbox.write(
                &format!("models/{}.sql", model.name),
                &format!(
                    "{{{{ config(materialized='{}'{key}) }}}}\n-- {}\nselect k, sum(v){var} + {}{more} as v from (\n{}\n) group by k\n",
                    model.kind,
                    model.comment,
                    model.add,
                    branches.join("\nunion all\n")
                ),
            );
        }
    }

    /// One edit; `true` when it must build nothing.
    fn edit(&mut self, rng: &mut ChaCha8Rng, kinds: &[&'static str], deletes: bool) -> bool {
        let at = rng.random_range(0..self.models.len());
        match rng.random_range(0..8) {
            0 => self.models[at].add += 1,
            1 => {
                self.models[at].comment += 1;
                return true;
            }
            2 => self.factor += 1,
            3 => self.macro_sum += 1,
            4 => {
                let rows = &mut self.seeds[at % 2];
                let row = rng.random_range(0..rows.len());
                rows[row].1 += 1;
            }
            5 if deletes && self.seeds[at % 2].len() > 1 => drop(self.seeds[at % 2].pop()),
            5 => {
                let rows = &mut self.seeds[at % 2];
                let next = rows.iter().map(|r| r.0).max().unwrap_or_default() + 1;
                rows.push((next, 1));
            }
            6 => {
                let old = self.models[at].name.clone();
                let new = format!("{old}x");
                for model in &mut self.models {
                    model.parents.iter_mut().filter(|p| **p == old).for_each(|p| *p = new.clone());
                }
                self.models[at].name = new;
            }
            _ => self.models[at].kind = kinds.choose(rng).expect("some"),
        }
        false
    }

    fn contents(&self, sandbox: &Sandbox) -> Vec<String> {
        let tables: Vec<&Model> = self.models.iter().filter(|m| m.kind != "ephemeral").collect();
        let statements: Vec<String> =
            tables.iter().map(|m| format!("select '{}' as m, k, v from dev.{} order by k", m.name, m.name)).collect();
        let ran = sandbox.run(&["sql", "--output", "jsonl", &statements.join(";\n")]).expect_code(0);
        ran.out.lines().map(str::to_owned).collect()
    }
}

#[test]
fn any_edits_end_where_a_build_from_nothing_ends() {
    // an incremental table keeps rows whose source has gone, as it should: where there are such tables nothing goes
    for (seed, kinds, deletes) in [(11, &KINDS[..], false), (12, &KINDS[..3], true)] {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut made = Made::random(&mut rng, kinds);
        let (kept, anew) = (Sandbox::new(""), Sandbox::new(""));
        let build = |sandbox: &Sandbox, made: &Made| {
            sandbox.run(&["build", "--quiet", "--vars", &format!("{{factor: {}}}", made.factor)]).expect_code(0);
        };
        made.write(&kept);
        build(&kept, &made);
        let mut earlier = vec![made.clone()];
        for step in 0..7 {
            let without_effect = match rng.random_bool(0.15) {
                true => {
                    let seeds = made.seeds.clone();
                    made = earlier.choose(&mut rng).expect("some").clone();
                    if !deletes {
                        made.seeds = seeds;
                    }
                    false
                }
                false => made.edit(&mut rng, kinds, deletes),
            };
            earlier.push(made.clone());
            made.write(&kept);
            build(&kept, &made);
            if without_effect {
                assert_eq!(built(&kept), names(&[]), "seed {seed}, step {step}");
            }
            made.write(&anew);
            let _ = fs::remove_dir_all(anew.path().join("warehouse"));
            build(&anew, &made);
            assert_eq!(made.contents(&kept), made.contents(&anew), "seed {seed}, step {step}");
        }
    }
}
