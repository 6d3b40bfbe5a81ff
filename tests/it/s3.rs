//! Through a bucket: every format, exactly once, changed objects, faults of the service, kills.

use std::{io::Write, process::Stdio, sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};

use crate::{bucket::Bucket, sandbox::Sandbox};

fn project(bucket: &Bucket, settings: &str) -> Sandbox {
    let sandbox = Sandbox::new("");
    configure(&sandbox, &format!("{}, {}, {settings}", bucket.settings(), bucket.keys()));
    sandbox
}

fn configure(sandbox: &Sandbox, settings: &str) {
    let adapter = format!("{{type: s3, {settings}}}");
    sandbox.write(
        "sources.yml",
        &format!("version: 2\nsources:\n  - name: raw\n    schema: RAW\n    tables: [{{name: plays, adapter: {adapter}}}]\n"),
    );
}

fn count(sandbox: &Sandbox) -> Value {
    sandbox.rows("select count(*) as c, count(distinct n) as d from raw.plays")[0].clone()
}

fn numbers(range: std::ops::Range<u64>) -> String {
    range.map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

#[test]
fn every_format_lands_with_its_folders_as_columns() {
    let bucket = Bucket::new();
    let columns = "path: 's3://data/in', columns: {n: integer, name: varchar, at: timestamp, tags: array}, \
                   partition_columns: {day: date}, partition_by: [day]";
    let sandbox = project(&bucket, columns);
    bucket.put("in/day=2025-02-01/a.csv", "n,name,at,tags\n1,a,2025-02-01 10:00:00,\"[1]\"\nx,b,,\n");
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(b"{\"n\":2,\"name\":\"b\",\"tags\":[\"t\"]}\n").expect("packed");
    bucket.put("in/day=2025-02-02/b.jsonl.gz", gzip.finish().expect("packed"));
    bucket.put("in/day=2025-02-03/c.json.zst", zstd::encode_all(&b"[{\"n\":3,\"name\":\"c\"}]"[..], 1).expect("packed"));
    let schema = apache_avro::Schema::parse_str(
        r#"{"type":"record","name":"r","fields":[{"name":"n","type":"long"},{"name":"name","type":["null","string"]},
            {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#,
    )
    .expect("a schema");
    let mut avro = apache_avro::Writer::new(&schema, vec![]);
    let mut record = apache_avro::types::Record::new(&schema).expect("a record");
    record.put("n", 4i64);
    record.put("name", Some("d"));
    record.put("at", apache_avro::types::Value::TimestampMillis(1_738_404_000_000));
    avro.append(record).expect("written");
    bucket.put("in/day=2025-02-04/d.avro", avro.into_inner().expect("a file"));
    sandbox.run(&["sql", "create table dev.p as select 5 as n, 'e' as name, '2025-02-05 01:02:03'::timestamp as at"]).expect_code(0);
    let parquet = walkdir::WalkDir::new(sandbox.path().join("warehouse"))
        .into_iter()
        .filter_map(Result::ok)
        .find(|e| e.path().extension().is_some_and(|e| e == "parquet"))
        .expect("a file of the table");
    bucket.put("in/day=2025-02-05/e.parquet", std::fs::read(parquet.path()).expect("read"));
    bucket.put("in/day=2025-02-05/broken.parquet", "PAR1 and nothing");
    bucket.put("in/day=2025-02-05/broken.avro", "Obj and nothing");
    bucket.put("in/day=2025-02-05/cut.csv.zst", &zstd::encode_all(&b"n,name,at,tags\n1,2,,\n"[..], 1).expect("packed")[..12]);
    bucket.put("in/day=2025-02-05/what.bin", "?");
    bucket.put("in/_tmp/day=2025-02-05/a.csv", "n,name\n9,z\n");
    bucket.put("other/a.csv", "n,name\n9,z\n");
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["5 rows, 5 rejected"]);
    let rows = sandbox.rows("select n, name, at, tags, day, split_part(_file, '/', -1) as f, _line from raw.plays order by n");
    assert_eq!(
        rows,
        json!([
            {"N": 1, "NAME": "a", "AT": "2025-02-01 10:00:00.000", "TAGS": [1], "DAY": "2025-02-01", "F": "a.csv", "_LINE": 2},
            {"N": 2, "NAME": "b", "AT": null, "TAGS": ["t"], "DAY": "2025-02-02", "F": "b.jsonl.gz", "_LINE": 1},
            {"N": 3, "NAME": "c", "AT": null, "TAGS": null, "DAY": "2025-02-03", "F": "c.json.zst", "_LINE": 1},
            {"N": 4, "NAME": "d", "AT": "2025-02-01 10:00:00.000", "TAGS": null, "DAY": "2025-02-04", "F": "d.avro", "_LINE": 1},
            {"N": 5, "NAME": "e", "AT": "2025-02-05 01:02:03.000", "TAGS": null, "DAY": "2025-02-05", "F": "e.parquet", "_LINE": 1},
        ])
    );
    let reasons = sandbox.rows("select position, reason from raw.plays__rejected order by position");
    let reasons: Vec<String> = reasons.as_array().expect("rows").iter().map(|r| format!("{}: {}", r["POSITION"], r["REASON"])).collect();
    for (reason, expect) in reasons.iter().zip(["a.csv:3", "broken.avro", "broken.parquet", "cut.csv.zst", "what.bin"]) {
        assert!(reason.contains(expect), "{reasons:#?}");
    }
    // nothing new is nothing done: one listing, no object read
    bucket.take("", "");
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["nothing new"]);
    assert_eq!(bucket.take("GET", "/data/in/"), 0);
}

#[test]
fn objects_land_once_and_changed_ones_as_the_policy_says() {
    let bucket = Bucket::new();
    let sandbox = project(&bucket, "bucket: data, prefix: in, glob: '*.jsonl', columns: {n: integer}, requester_pays: true");
    for part in 0..40 {
        bucket.put(&format!("in/{part:03}.jsonl"), numbers(part * 10..part * 10 + 10));
    }
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["400 rows"]);
    assert_eq!(count(&sandbox), json!({"C": 400, "D": 400}));
    let asked = std::mem::take(&mut *bucket.asked.lock());
    assert_eq!(asked.iter().filter(|a| a.contains("list-type=2")).count(), 1, "one listing for all");
    assert!(asked.iter().all(|a| a.ends_with(" requester")), "{asked:?}");
    // one that changed replaces its rows, one that came is added, one that went keeps its rows
    bucket.put("in/007.jsonl", numbers(1000..1003));
    bucket.put("in/zzz.jsonl", numbers(2000..2001));
    std::fs::remove_file(bucket.path("in/000.jsonl")).expect("removed");
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["4 rows"]);
    assert_eq!(count(&sandbox), json!({"C": 394, "D": 394}));
    assert_eq!(
        sandbox.rows("select count(*) as c, count(distinct file) as f, max(sequence) as s from raw.plays__files"),
        json!([{"C": 42, "F": 41, "S": 2}])
    );
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["nothing new"]);
    let policy = |on_overwrite: &str| {
        let settings = format!("bucket: data, prefix: in, columns: {{n: integer}}, on_overwrite: {on_overwrite}");
        configure(&sandbox, &format!("{}, {}, {settings}", bucket.settings(), bucket.keys()));
    };
    bucket.put("in/008.jsonl", numbers(3000..3001));
    policy("ignore");
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["nothing new"]);
    // a build's flag is for models: objects that went keep their rows
    sandbox.run(&["build", "--full-refresh"]).expect_code(0);
    assert_eq!(count(&sandbox), json!({"C": 394, "D": 394}));
    policy("fail");
    sandbox.run(&["ingest"]).expect_code(1).expect_all(&["`s3://data/in/008.jsonl` has landed and was changed since", "on_overwrite"]);
    assert_eq!(count(&sandbox), json!({"C": 394, "D": 394}));
    // dropped tables are taken in anew
    policy("reingest");
    sandbox.run(&["sql", "drop table raw.plays"]).expect_code(0);
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["375 rows"]);
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["nothing new"]);
    sandbox.run(&["ingest", "--full-refresh"]).expect_code(0).expect_all(&["375 rows"]);
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["nothing new"]);
}

#[test]
fn ordered_keys_are_listed_from_the_last_one() {
    let bucket = Bucket::new();
    let sandbox = project(&bucket, "path: s3://data, ordered: true, columns: {n: integer}");
    for part in 0..5 {
        bucket.put(&format!("{part}.jsonl"), numbers(part..part + 1));
    }
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["5 rows"]);
    bucket.put("7.jsonl", numbers(7..8));
    bucket.take("", "");
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["1 row"]);
    assert!(bucket.asked.lock().iter().any(|a| a.contains("start-after=4.jsonl")), "{:?}", bucket.asked.lock());
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["nothing new"]);
}

#[test]
fn columns_grow_as_the_policy_says() {
    let bucket = Bucket::new();
    let sandbox = project(&bucket, "path: s3://data, columns: infer, on_schema_change: evolve");
    bucket.put("a.csv", "n,code,day,amount\n1,007,2025-02-01,1.5\n2,008,2025-02-02,2\n");
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["2 rows"]);
    bucket.put("b.csv", "n,code,day,amount,extra\n3,009,2025-02-03,3,x\n");
    bucket.put("c.jsonl", "{\"n\":4,\"more\":{\"k\":1}}\n{\"n\":5}\n");
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["3 rows"]);
    assert_eq!(
        sandbox.rows("select n, code, day, amount, extra, more from raw.plays order by n"),
        json!([
            {"N": 1, "CODE": "007", "DAY": "2025-02-01", "AMOUNT": 1.5, "EXTRA": null, "MORE": null},
            {"N": 2, "CODE": "008", "DAY": "2025-02-02", "AMOUNT": 2.0, "EXTRA": null, "MORE": null},
            {"N": 3, "CODE": "009", "DAY": "2025-02-03", "AMOUNT": 3.0, "EXTRA": "x", "MORE": null},
            {"N": 4, "CODE": null, "DAY": null, "AMOUNT": null, "EXTRA": null, "MORE": {"k": 1}},
            {"N": 5, "CODE": null, "DAY": null, "AMOUNT": null, "EXTRA": null, "MORE": null},
        ])
    );
    // frozen columns that the project no longer lets grow
    let strict = Bucket::new();
    let sandbox = project(&strict, "path: s3://data, columns: {n: integer}, on_schema_change: reject");
    strict.put("a.jsonl", "{\"n\":1}\n{\"n\":2,\"m\":1}\n");
    strict.put("b.csv", "n,m\n3,1\n");
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["1 row, 2 rejected", "the field `m` has no column"]);
}

#[test]
fn faults_of_the_service_are_told() {
    let bucket = Bucket::new();
    bucket.put("a.jsonl", numbers(0..3));
    let sandbox = Sandbox::new("");
    let with =
        |sandbox: &Sandbox, settings: &str| configure(sandbox, &format!("{}, columns: {{n: integer}}, {settings}", bucket.settings()));
    with(&sandbox, "bucket: data, access_key_id: key, secret_access_key: wrong");
    sandbox.run(&["ingest"]).expect_code(1).expect_all(&["ingest/access-denied", "`s3://data` cannot be listed", "SignatureDoesNotMatch"]);
    with(&sandbox, "bucket: data, access_key_id: nobody, secret_access_key: wrong");
    sandbox.run(&["ingest"]).expect_code(1).expect_all(&["ingest/access-denied"]);
    with(&sandbox, "bucket: nowhere, access_key_id: key, secret_access_key: secret");
    sandbox.run(&["ingest"]).expect_code(1).expect_all(&["ingest/no-bucket", "`s3://nowhere` cannot be listed"]);
    with(&sandbox, "bucket: data, profile: lab");
    sandbox.run(&["ingest"]).expect_code(1).expect_all(&["there is no profile `lab`"]);
    configure(
        &sandbox,
        "bucket: data, endpoint: 'http://127.0.0.1:1', allow_http: true, retries: 0, timeout_s: 1, access_key_id: k, secret_access_key: s",
    );
    sandbox.run(&["ingest"]).expect_code(1).expect_all(&["ingest/unreachable", "`s3://data` cannot be listed"]);
    // keys of the environment and of a profile's file
    with(&sandbox, "bucket: data");
    let sandbox = sandbox.with_env("AWS_ACCESS_KEY_ID", "key").with_env("AWS_SECRET_ACCESS_KEY", "secret");
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["3 rows"]);
    let sandbox = Sandbox::new("");
    with(&sandbox, "bucket: data, profile: lab");
    sandbox.write(
        "home/.aws/credentials",
        "[default]\naws_access_key_id = no\n[lab]\naws_access_key_id = key\naws_secret_access_key = secret\n",
    );
    sandbox.run(&["ingest"]).expect_code(0).expect_all(&["3 rows"]);
}

#[test]
fn a_large_object_lands_in_pieces_and_survives_kills_and_a_lost_network() {
    const ROWS: u64 = 60_000;
    let bucket = Bucket::new();
    let wide: String = (0..ROWS).map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(100))).collect();
    bucket.put("large.jsonl", &wide);
    for part in 0..30 {
        bucket.put(&format!("small/{part:02}.jsonl"), numbers(ROWS + part * 10..ROWS + part * 10 + 10));
    }
    let sandbox = project(&bucket, "path: s3://data, columns: {n: integer, pad: varchar}, batch_mb: 1");
    let mut killed = 0;
    for round in 0..12u64 {
        // the plug is pulled after a while in every other round
        bucket.left.store(if round % 2 == 0 { 3 + round as i64 } else { i64::MAX }, Ordering::SeqCst);
        let mut process =
            sandbox.command(&["ingest"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let begun = std::time::Instant::now();
        let moment = Duration::from_millis(400 + 250 * round);
        while process.try_wait().expect("it can be asked").is_none() && begun.elapsed() < moment {
            std::thread::sleep(Duration::from_millis(5));
        }
        if process.try_wait().expect("it can be asked").is_none() {
            process.kill().expect("it can be killed");
            killed += 1;
        }
        process.wait().expect("it ends");
    }
    bucket.left.store(i64::MAX, Ordering::SeqCst);
    assert!(killed > 0, "no ingest was disturbed");
    sandbox.run(&["ingest"]).expect_code(0);
    assert_eq!(count(&sandbox), json!({"C": ROWS + 300, "D": ROWS + 300}));
    let commits = sandbox.rows("select max(sequence) as s from raw.plays__files")[0]["S"].as_u64().expect("a number");
    assert!(commits > 3, "the large object landed in {commits} commits");
}

#[test]
fn exports_are_files_for_readers_that_know_no_tables() {
    let bucket = Bucket::new();
    let sandbox = Sandbox::new("");
    let place = format!("{}, {}", bucket.settings(), bucket.keys());
    sandbox.write(
        "models/schema.yml",
        &format!(
            "models:\n  - name: chart\n    config:\n      materialized: table\n      export: {{to: 's3://data/raw/chart_{{date}}.csv', names: lower, \
             order_by: [rank], {place}}}\n  - name: events\n    config:\n      materialized: table\n      \
             export: 'out/year={{at:%Y}}/month={{at:%m}}/day={{at:%d}}/events.jsonl'\n"
        ),
    );
    let chart = |second: &str| {
        let sql = format!(
            "select * from (values (1, 'a, \"b\"', '2025-02-27'::date), (2, null, '2025-02-27'::date), (1, '{second}', '2025-02-28'::date)) v(rank, title, \"DATE\")"
        );
        sandbox.write("models/chart.sql", &sql);
    };
    chart("c");
    sandbox.write(
        "models/events.sql",
        "select 1 as n, '2025-02-27 10:00:00'::timestamp as at, parse_json('{\"k\": [1]}') as v union all select 2, '2025-03-01 00:00:00'::timestamp, null",
    );
    sandbox.run(&["build"]).expect_code(0).expect_all(&["2 files exported"]);
    let read = |key: &str| std::fs::read_to_string(bucket.path(key)).expect("an object");
    assert_eq!(read("raw/chart_2025-02-27.csv"), "rank,title,date\n1,\"a, \"\"b\"\"\",2025-02-27\n2,,2025-02-27\n");
    assert_eq!(read("raw/chart_2025-02-28.csv"), "rank,title,date\n1,c,2025-02-28\n");
    assert_eq!(
        sandbox.read("out/year=2025/month=02/day=27/events.jsonl"),
        "{\"N\":1,\"AT\":\"2025-02-27 10:00:00.000\",\"V\":{\"k\":[1]}}\n"
    );
    assert_eq!(sandbox.read("out/year=2025/month=03/day=01/events.jsonl").lines().count(), 1);
    // what has not changed is not written again; what has, replaces the file
    bucket.take("", "");
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(bucket.take("PUT", ""), 0);
    chart("d");
    // a failed export fails its node and is made up for
    bucket.left.store(0, Ordering::SeqCst);
    sandbox.run(&["build"]).expect_code(1).expect_all(&["`s3://data/raw/chart_2025-02-27.csv` cannot be written"]);
    bucket.left.store(i64::MAX, Ordering::SeqCst);
    assert_eq!(read("raw/chart_2025-02-28.csv"), "rank,title,date\n1,c,2025-02-28\n");
    sandbox.run(&["build"]).expect_code(0);
    assert_eq!(read("raw/chart_2025-02-28.csv"), "rank,title,date\n1,d,2025-02-28\n");
    sandbox.write("models/schema.yml", "models:\n  - name: chart\n    config: {export: 'out/{dat}.csv'}\n");
    sandbox.run(&["build", "--select", "chart"]).expect_code(1).expect_all(&["names `dat`, which is no column", "did you mean `DATE`"]);
}
