//! `segue maintain`: fewer files, the same rows, nothing stale, readers and builds undisturbed.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::sandbox::Sandbox;

const GROWING: &str = "-- file: models/grown.sql
{{ config(materialized='incremental') }}
select {{ var('n', 0) }} as n, 'x' as t
-- file: models/total.sql
{{ config(materialized='table') }}
select sum(n) as s, count(*) as c from {{ ref('grown') }}
";

/// Data files of a table, newest version or not.
fn files(sandbox: &Sandbox, table: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()) {
            match entry.is_dir() {
                true => walk(&entry, found),
                false => found.push(entry),
            }
        }
    }
    let mut found = vec![];
    walk(&sandbox.path().join("warehouse/SHOP/DEV").join(table), &mut found);
    found.retain(|p| p.extension().is_some_and(|e| e == "parquet") && !p.to_string_lossy().contains("_delta_log"));
    found
}

fn fresh(sandbox: &Sandbox) -> Vec<bool> {
    let results = sandbox.json("target/run_results.json");
    let all = results["results"].as_array().expect("a list");
    all.iter().map(|r| r["message"].as_str().is_some_and(|m| m.starts_with("fresh"))).collect()
}

#[test]
fn files_are_put_together_and_nothing_is_stale() {
    let sandbox = Sandbox::new(GROWING);
    sandbox.run(&["build"]).expect_code(0);
    let inserts: Vec<String> = (1..=12).map(|n| format!("insert into dev.grown values ({n}, null);")).collect();
    sandbox.run(&["sql", &inserts.join("\n")]).expect_code(0);
    sandbox.run(&["build"]).expect_code(0);
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(fresh(&sandbox), [true, true]);
    let rows = || sandbox.rows("select n, t from dev.grown order by n, t");
    let (before, count) = (rows(), files(&sandbox, "GROWN").len());
    assert!(count > 12, "{count} small files");

    sandbox.run(&["maintain", "--dry-run"]).expect_code(0).expect_all(&["SHOP.DEV.GROWN: ", "would be put together into 1"]);
    assert_eq!(files(&sandbox, "GROWN").len(), count, "nothing is done");
    sandbox.run(&["maintain", "--select", "total"]).expect_code(0);
    assert_eq!(files(&sandbox, "GROWN").len(), count, "another table was chosen");

    sandbox.run(&["maintain"]).expect_code(0).expect_all(&["put together into 1"]);
    assert_eq!(files(&sandbox, "GROWN").len(), count + 1, "older versions stay readable");
    assert_eq!(rows(), before);
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(fresh(&sandbox), [true, true], "other files, the same rows");
    sandbox.run(&["maintain", "--retention", "0 seconds"]).expect_code(0).expect_all(&["that nothing needs removed"]);
    assert_eq!(files(&sandbox, "GROWN").len(), 1);
    assert_eq!(rows(), before);
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(fresh(&sandbox), [true, true]);
    sandbox.run(&["maintain", "--retention", "0 seconds"]).expect_code(0).expect_all(&["nothing to do"]);

    // the next change is one
    sandbox.run(&["sql", "insert into dev.grown values (100, 'y')"]).expect_code(0);
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(fresh(&sandbox), [false, false]);
    assert_eq!(sandbox.rows("select max(n) as n, count(t) as t from dev.grown"), json!([{"N": 100, "T": 4}]));
}

#[test]
fn the_log_gets_shorter_and_is_still_the_table() {
    let sandbox = Sandbox::new(GROWING);
    sandbox.run(&["build"]).expect_code(0);
    let inserts: Vec<String> = (1..=30).map(|n| format!("insert into dev.grown values ({n}, 'a');")).collect();
    sandbox.run(&["sql", &inserts.join("\n")]).expect_code(0);
    let log = || {
        let folder = std::fs::read_dir(sandbox.path().join("warehouse/SHOP/DEV/GROWN/_delta_log")).expect("a log");
        folder.filter(|e| e.as_ref().is_ok_and(|e| e.path().extension().is_some_and(|e| e == "json"))).count()
    };
    let before = log();
    sandbox.run(&["maintain", "--retention", "0 seconds"]).expect_code(0).expect_all(&["checkpoint written", "entries of the log removed"]);
    assert!(log() < before, "{} of {before} entries", log());
    assert_eq!(sandbox.rows("select count(*) as c, sum(n) as s from dev.grown"), json!([{"C": 31, "S": 465}]));
    sandbox.run(&["build"]).expect_code(0);
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(fresh(&sandbox), [true, true]);
}

#[test]
fn a_wrong_length_of_time_is_told() {
    let sandbox = Sandbox::new(GROWING);
    sandbox.run(&["maintain", "--retention", "soon"]).expect_code(2).expect_all(&["cli/retention", "`12 hours`"]);
    sandbox.run(&["maintain"]).expect_code(0).expect_all(&["no tables to look after"]);
}
