//! Sources whose files are read where they lie: typed and queried as tables, nothing copied, stale when an object changes.

use std::io::Write;

use serde_json::{Value, json};

use crate::{bucket::Bucket, sandbox::Sandbox};

const MODEL: &str =
    "{{ config(materialized='table') }} select day, count(*) as plays, sum(n) as total from {{ source('raw', 'plays') }} group by day";

fn configure(sandbox: &Sandbox, adapter: &str, more: &str) {
    sandbox.write(
        "sources.yml",
        &format!(
            "version: 2\nsources:\n  - name: raw\n    schema: RAW\n    tables:\n      - name: plays\n        adapter: {{{adapter}}}\n{more}"
        ),
    );
}

fn write(sandbox: &Sandbox, path: &str, content: &[u8]) {
    let path = sandbox.path().join(path);
    std::fs::create_dir_all(path.parent().expect("below")).expect("a folder");
    std::fs::write(path, content).expect("a file");
}

/// What is in the warehouse beside logs and views: data files by table.
fn data_files(sandbox: &Sandbox, table: &str) -> usize {
    let files = sandbox.project_files();
    let below = format!("warehouse/SHOP/RAW/{table}/");
    files.iter().filter(|f| f.to_string_lossy().starts_with(&below)).count()
}

#[test]
fn a_folder_is_a_table_without_a_copy() {
    let sandbox = Sandbox::new("");
    let columns = "type: file, path: in, columns: {n: integer, name: varchar, tags: array}, partition_columns: {day: date}";
    // as a word of the table, beside the adapter
    let more = "        external: true\n        freshness: {error_after: {count: 1, period: day}}\n        \
                columns:\n          - name: n\n            data_tests: [not_null, unique]\n";
    configure(&sandbox, columns, more);
    sandbox.write("models/days.sql", MODEL);
    write(&sandbox, "in/day=2025-02-01/a.csv", b"n,name,tags\n1,a,\"[1]\"\n2,b,\n");
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(b"{\"n\":3,\"name\":\"c\",\"tags\":[\"t\"]}\n").expect("packed");
    write(&sandbox, "in/day=2025-02-02/b.jsonl.gz", &gzip.finish().expect("packed"));
    write(&sandbox, "in/day=2025-02-03/c.json.zst", &zstd::encode_all(&b"[{\"n\":4},{\"n\":5}]"[..], 1).expect("packed"));
    sandbox.run(&["sql", "create table dev.p as select 6 as n, 'f' as name, 7 as other"]).expect_code(0);
    let parquet = walkdir::WalkDir::new(sandbox.path().join("warehouse/SHOP/DEV/P")).into_iter().filter_map(Result::ok);
    let parquet = parquet.filter(|e| e.path().extension().is_some_and(|e| e == "parquet")).last().expect("a file");
    write(&sandbox, "in/day=2025-02-04/d.parquet", &std::fs::read(parquet.path()).expect("read"));
    // typed before anything was built
    sandbox.run(&["check"]).expect_code(0);
    sandbox.run(&["build"]).expect_code(0).expect_all(&["4 files in place"]);
    assert_eq!(data_files(&sandbox, "PLAYS"), 0, "nothing is copied");
    let rows = sandbox.rows("select n, name, tags, day, split_part(_file, '/', -1) as f, _line from raw.plays order by n");
    assert_eq!(
        rows,
        json!([
            {"N": 1, "NAME": "a", "TAGS": [1], "DAY": "2025-02-01", "F": "a.csv", "_LINE": 2},
            {"N": 2, "NAME": "b", "TAGS": null, "DAY": "2025-02-01", "F": "a.csv", "_LINE": 3},
            {"N": 3, "NAME": "c", "TAGS": ["t"], "DAY": "2025-02-02", "F": "b.jsonl.gz", "_LINE": 1},
            {"N": 4, "NAME": null, "TAGS": null, "DAY": "2025-02-03", "F": "c.json.zst", "_LINE": 1},
            {"N": 5, "NAME": null, "TAGS": null, "DAY": "2025-02-03", "F": "c.json.zst", "_LINE": 2},
            {"N": 6, "NAME": "f", "TAGS": null, "DAY": "2025-02-04", "F": "d.parquet", "_LINE": 1},
        ])
    );
    assert_eq!(sandbox.rows("select sum(total) as t, count(*) as c from dev.days"), json!([{"T": 21, "C": 4}]));
    assert_eq!(sandbox.rows("select count(*) as c from raw.plays where array_size(tags) = 1"), json!([{"C": 2}]));
    sandbox.run(&["show", "--select", "days"]).expect_code(0).expect_all(&["2025-02-04"]);
    sandbox.run(&["test"]).expect_code(0).expect_all(&["not_null"]);
    sandbox.run(&["source", "freshness"]).expect_code(0).expect_all(&["PASS     freshness of raw.plays"]);
    let kind = "select table_type as t from shop.information_schema.tables where table_name = 'PLAYS'";
    assert_eq!(sandbox.rows(kind), json!([{"T": "EXTERNAL TABLE"}]));
    // unchanged is nothing done; one file more is one list more, and the models are stale
    sandbox.run(&["build"]).expect_code(0).expect_all(&["nothing new, 4 files in place"]);
    let fresh = |sandbox: &Sandbox| {
        let results = sandbox.json("target/run_results.json");
        let results = results["results"].as_array().expect("a list").clone();
        results.iter().find(|r| r["unique_id"] == "model.shop.days").expect("the model")["message"] == "fresh"
    };
    assert!(fresh(&sandbox));
    write(&sandbox, "in/day=2025-02-04/e.csv", b"name,n,tags\nz,7,\n");
    sandbox.run(&["plan"]).expect_code(0);
    sandbox.run(&["build"]).expect_code(0).expect_all(&["5 files in place"]);
    assert!(!fresh(&sandbox));
    assert_eq!(sandbox.rows("select sum(total) as t from dev.days"), json!([{"T": 28}]));
    // so is one that is gone, and one with other rows
    std::fs::remove_file(sandbox.path().join("in/day=2025-02-01/a.csv")).expect("removed");
    sandbox
        .run(&["sql", "select * from raw.plays"])
        .expect_code(1)
        .expect_all(&["`in/day=2025-02-01/a.csv` is gone since the files were listed", "sources.yml:7"]);
    write(&sandbox, "in/day=2025-02-04/e.csv", b"name,n,tags\nz,70,\n");
    sandbox.run(&["build"]).expect_code(0).expect_all(&["4 files in place"]);
    assert_eq!(sandbox.rows("select sum(total) as t from dev.days"), json!([{"T": 88}]));
    // a record that does not fit fails what reads it, with its place; what leaves its file out does not
    write(&sandbox, "in/day=2025-02-05/bad.csv", b"n,name,tags\n8,x,\nnine,y,\n");
    sandbox.run(&["build"]).expect_code(1).expect_all(&["in/day=2025-02-05/bad.csv:3", "`nine` is not a whole number", "sources.yml:7"]);
    assert_eq!(sandbox.rows("select sum(n) as t from raw.plays where day < '2025-02-05'"), json!([{"T": 88}]));
    // a name that cannot be a day is told when the files are listed
    write(&sandbox, "in/day=soon/a.csv", b"n,name,tags\n");
    sandbox.run(&["build"]).expect_code(1).expect_all(&["`in/day=soon/a.csv`: its folder `day`"]);
    std::fs::remove_dir_all(sandbox.path().join("in/day=soon")).expect("removed");
    std::fs::remove_dir_all(sandbox.path().join("in/day=2025-02-05")).expect("removed");
    // from reading in place to copying and back, which would give up rows
    configure(&sandbox, columns, "");
    sandbox.run(&["build"]).expect_code(0).expect_all(&["5 rows"]);
    assert_eq!(sandbox.rows("select sum(n) as t from raw.plays"), json!([{"T": 88}]));
    configure(&sandbox, &format!("{columns}, external: true"), "");
    sandbox.run(&["build"]).expect_code(1).expect_all(&["holds rows that were copied", "drop table"]);
    sandbox.run(&["sql", "drop table raw.plays"]).expect_code(0);
    sandbox.run(&["build"]).expect_code(0).expect_all(&["4 files in place"]);
    sandbox.run(&["sql", "drop view raw.plays"]).expect_code(1);
    sandbox.run(&["sql", "drop table raw.plays"]).expect_code(0);
    sandbox.run(&["sql", "select * from raw.plays"]).expect_code(1);
}

#[test]
fn columns_are_inferred_once_and_settings_of_copies_are_refused() {
    let sandbox = Sandbox::new("");
    let adapter = "type: file, path: in, columns: infer, external: true";
    configure(&sandbox, adapter, "");
    sandbox.write("models/names.sql", "select name, n from {{ source('raw', 'plays') }}");
    // nothing is known of the columns yet, which is no fault of the model
    sandbox.run(&["check"]).expect_code(0);
    write(&sandbox, "in/1.jsonl", b"{\"n\": 1, \"name\": \"a\"}\n");
    sandbox.run(&["build"]).expect_code(0);
    write(&sandbox, "in/2.jsonl", b"{\"n\": 2, \"name\": \"b\", \"more\": true}\n");
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(sandbox.rows("select * exclude (_file, _line) from raw.plays order by n")[1], json!({"N": 2, "NAME": "b"}));
    sandbox.write("models/wrong.sql", "select nmae from {{ source('raw', 'plays') }}");
    sandbox.run(&["check"]).expect_code(1).expect_all(&["models/wrong.sql:1:8", "a column named `NAME` exists"]);
    std::fs::remove_file(sandbox.path().join("models/wrong.sql")).expect("removed");
    configure(&sandbox, &format!("{adapter}, on_schema_change: evolve"), "");
    sandbox.run(&["build"]).expect_code(0);
    let rows = sandbox.rows("select n, more from raw.plays order by n");
    assert_eq!(rows, json!([{"N": 1, "MORE": null}, {"N": 2, "MORE": true}]));
    configure(&sandbox, "type: file, path: in, columns: {n: integer, name: varchar}, external: true, on_schema_change: reject", "");
    sandbox.run(&["build"]).expect_code(0);
    sandbox.run(&["show", "--select", "names"]).expect_code(1).expect_all(&["in/2.jsonl:1", "the field `more` has no column"]);
    configure(&sandbox, &format!("{adapter}, ordered: true"), "");
    sandbox.run(&["parse"]).expect_code(2).expect_all(&["`ordered` means nothing where files are read in place", "sources.yml:7:"]);
    configure(&sandbox, "type: kafka, brokers: 'localhost:9', topic: t, external: true", "");
    sandbox.run(&["parse"]).expect_code(2).expect_all(&["the `kafka` adapter has no setting `external`"]);
    // what dbt packages of external tables keep there is no word for segue
    configure(&sandbox, "type: file, path: in, columns: {n: integer}", "        external: {location: '@stage', file_format: json}\n");
    sandbox.run(&["sql", "drop table raw.plays"]).expect_code(0);
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(sandbox.rows("select count(*) as c from raw.plays"), json!([{"C": 2}]));
}

#[test]
fn a_bucket_is_read_where_it_is() {
    let bucket = Bucket::new();
    let sandbox = Sandbox::new("");
    let adapter = format!(
        "type: s3, path: 's3://data/in', external: true, {}, {}, columns: {{n: integer}}, partition_columns: {{day: date}}",
        bucket.settings(),
        bucket.keys()
    );
    configure(&sandbox, &adapter, "");
    sandbox.write("models/days.sql", MODEL);
    for day in 1..=20u64 {
        bucket.put(
            &format!("in/day=2025-02-{day:02}/a.jsonl"),
            (0..10).map(|n| format!("{{\"n\":{}}}\n", day * 100 + n)).collect::<String>(),
        );
    }
    sandbox.run(&["build"]).expect_code(0).expect_all(&["20 files in place"]);
    assert_eq!(sandbox.rows("select count(*) as c, sum(plays) as p from dev.days"), json!([{"C": 20, "P": 200}]));
    // only what a condition on the folders leaves is asked for
    bucket.take("", "");
    let rows = sandbox.rows("select count(*) as c from raw.plays where day between '2025-02-03' and '2025-02-04' and n > 0");
    assert_eq!(rows, json!([{"C": 20}]));
    let asked: Vec<String> = std::mem::take(&mut *bucket.asked.lock());
    assert_eq!(asked.iter().filter(|a| a.contains("/in/day")).count(), 2, "{asked:#?}");
    assert!(asked.iter().all(|a| !a.contains("list-type")), "a query lists nothing: {asked:#?}");
    assert_eq!(sandbox.rows("select count(*) as c from raw.plays where _file like '%day=2025-02-07%'"), json!([{"C": 10}]));
    assert_eq!(bucket.take("GET", "/data/in/day"), 1);
    // unchanged: one listing, no object read
    sandbox.run(&["build"]).expect_code(0).expect_all(&["nothing new, 20 files in place"]);
    assert_eq!(bucket.take("GET", "/data/in/day"), 0);
    // secrets stay in the project
    for file in sandbox.project_files().iter().filter(|f| f.starts_with("warehouse") && f.extension().is_some_and(|e| e == "json")) {
        assert!(!sandbox.read(&file.to_string_lossy()).contains("secret"), "{}", file.display());
    }
    // another content under the same key
    bucket.put("in/day=2025-02-01/a.jsonl", "{\"n\":1}\n");
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(sandbox.rows("select plays, total from dev.days where day = '2025-02-01'"), json!([{"PLAYS": 1, "TOTAL": 1}]));
    // the service's own words when it refuses
    configure(&sandbox, &adapter.replace("access_key_id: key", "access_key_id: other"), "");
    sandbox.run(&["sql", "select sum(n) from raw.plays"]).expect_code(1).expect_all(&["cannot be read", "sources.yml:7"]);
}

/// Shapes that dbt's artifacts have do not change by it.
#[test]
fn the_manifest_keeps_what_the_table_says() {
    let sandbox = Sandbox::new("");
    configure(&sandbox, "type: file, path: in, columns: [n]", "        external: true\n");
    sandbox.run(&["parse"]).expect_code(0);
    let manifest: Value = sandbox.json("target/manifest.json");
    assert_eq!(manifest["sources"]["source.shop.raw.plays"]["resource_type"], "source");
}
