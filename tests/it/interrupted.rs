//! A build that is ended from outside: in order by a first signal, at any moment by `kill -9`.

use std::{
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::sandbox::Sandbox;

/// Rows enough that a build takes a while, in several tables that depend on each other.
fn project() -> Sandbox {
    let sandbox = Sandbox::new(
        "-- file: models/numbers.sql
{{ config(materialized='table') }}
select n, mod(n, 97) as k from (select row_number() over (order by 1) as n from table(generator(rowcount => 300000)))
-- file: models/sums.sql
{{ config(materialized='table') }}
select k, sum(n) as total, count(*) as items from {{ ref('numbers') }} group by k
-- file: models/grown.sql
{{ config(materialized='incremental', unique_key='k') }}
select k, total from {{ ref('sums') }}
-- file: models/schema.yml
models:
  - name: sums
    columns:
      - name: k
        data_tests: [unique, not_null]
",
    );
    sandbox.write("seeds/items.csv", "id,name\n1,a\n2,b\n");
    sandbox
}

const TABLES: [&str; 3] = [
    "select count(*) as c, sum(n) as s from dev.numbers",
    "select k, total, items from dev.sums order by k",
    "select k, total from dev.grown order by k",
];

fn contents(sandbox: &Sandbox) -> Vec<Value> {
    TABLES.iter().map(|sql| sandbox.rows(sql)).collect()
}

fn start(sandbox: &Sandbox) -> Child {
    sandbox.command(&["build"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

#[test]
fn killed_at_any_moment_and_run_again_gives_the_same_tables() {
    let undisturbed = project();
    let begun = Instant::now();
    undisturbed.run(&["build"]).expect_code(0);
    let whole = begun.elapsed();
    let expected = contents(&undisturbed);

    let killed = project();
    // spread over the build's length in steps that are prime to each other: as good as random, and the same every time
    for i in 0..20_u32 {
        let mut process = start(&killed);
        std::thread::sleep(whole * (i * 7 % 20 + 1) / 22);
        // it may be done already; then it was not disturbed
        let _ = process.kill();
        process.wait().expect("it ends");
    }
    killed.run(&["build"]).expect_code(0);
    assert_eq!(contents(&killed), expected);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_build_in_order() {
    let sandbox = project();
    let mut process = start(&sandbox);
    // before its first table it may not listen yet
    let begun = Instant::now();
    while !sandbox.path().join("warehouse/SHOP").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is built");
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &process.id().to_string()]).status().expect("kill runs");
    assert!(kill.success());
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = process.try_wait().expect("it can be asked") {
            break status.code();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    };
    // quick machines may have finished
    assert!(matches!(code, Some(0 | 130)), "{code:?}");
    sandbox.run(&["build"]).expect_code(0);
}

/// Years, so that no build runs over the end of an interval.
const AUDITED: &str = "-- file: seeds/events.csv
at,n
2020-05-01 10:00:00,1
2021-05-01 10:00:00,2
2022-05-01 10:00:00,3
-- file: seeds/schema.yml
seeds: [{name: events, config: {event_time: at, audit: true}, columns: [{name: n, data_tests: [unique]}]}]
-- file: models/yearly.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='at', begin='2020-01-01', batch_size='year') }}
select at, n from {{ ref('events') }}
-- file: models/together.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='at', begin='2020-01-01', batch_size='year', audit=true) }}
select at, n from {{ ref('events') }}
-- file: models/checked.sql
{{ config(materialized='table', audit=true) }}
select a.n, count(*) as c from {{ ref('yearly') }} a cross join table(generator(rowcount => 100000)) group by a.n
-- file: models/shown.sql
{{ config(materialized='view', audit=true) }}
select n, c from {{ ref('checked') }}
-- file: models/schema.yml
models:
  - name: together
    columns: [{name: n, data_tests: [unique, not_null]}]
  - name: checked
    columns: [{name: n, data_tests: [unique, not_null]}, {name: c, data_tests: [not_null]}]
  - name: shown
    columns: [{name: n, data_tests: [unique]}]
";

#[test]
fn killed_between_staging_audit_and_batches_gives_the_same_tables() {
    const ALL: [&str; 4] = [
        "select year(at) as y, n from dev.yearly order by n",
        "select year(at) as y, n from dev.together order by n",
        "select n, c from dev.checked order by n",
        "select n, c from dev.shown order by n",
    ];
    let contents = |sandbox: &Sandbox| -> Vec<Value> { ALL.iter().map(|sql| sandbox.rows(sql)).collect() };
    let undisturbed = Sandbox::new(AUDITED);
    let begun = Instant::now();
    undisturbed.run(&["build"]).expect_code(0);
    let whole = begun.elapsed();
    let expected = contents(&undisturbed);

    let killed = Sandbox::new(AUDITED);
    for i in 0..14_u32 {
        // another version each time, of which nothing may be left in the end
        let last = if i % 2 == 0 { "3" } else { "7" };
        killed.write("seeds/events.csv", &format!("at,n\n2020-05-01 10:00:00,1\n2021-05-01 10:00:00,2\n2022-05-01 10:00:00,{last}\n"));
        let mut process = start(&killed);
        std::thread::sleep(whole * (i * 5 % 14 + 1) / 15);
        let _ = process.kill();
        process.wait().expect("it ends");
    }
    killed.write("seeds/events.csv", &undisturbed.read("seeds/events.csv"));
    killed.run(&["build"]).expect_code(0);
    assert_eq!(contents(&killed), expected);
    killed.run(&["build"]).expect_code(0);
    let results = killed.json("target/run_results.json");
    let stale = results["results"].as_array().expect("a list").iter().filter(|r| r["message"].as_str() != Some("fresh"));
    assert_eq!(stale.count(), 0, "{results}");
    // a build that stages something has removed what the killed ones left
    killed.run(&["build", "--force"]).expect_code(0);
    let left = std::fs::read_dir(killed.path().join("warehouse/.staged")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "staged leftovers");
}
