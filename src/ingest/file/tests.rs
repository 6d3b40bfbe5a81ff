//! Folders of files, from discovery to rows.

use std::{io::Write as _, path::Path};

use datafusion::arrow::util::pretty::pretty_format_batches;
use serde_json::{Value as Json, json};

use super::*;
use crate::ingest::{FetchedContent, registry, settings::tests::config};

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        files.iter().for_each(|(path, text)| folder.write(path, text.as_bytes()));
        folder
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, content).expect("written");
    }

    fn adapter(&self, settings: Json) -> Box<dyn Adapter> {
        adapter_in(self.0.path(), settings)
    }
}

fn adapter_in(root: &Path, settings: Json) -> Box<dyn Adapter> {
    registry::adapter(&config("file", settings), &registry::AdapterEnv::new(root, None)).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn cx() -> FetchContext {
    FetchContext { now: Default::default(), keys: vec![], ..Default::default() }
}

async fn step(adapter: &dyn Adapter, position: Option<&str>) -> Option<(Parsed, String)> {
    let fetched = adapter.fetch(position, &cx()).await.unwrap_or_else(|e| panic!("{e}"))?;
    let FetchedContent::Rows(parsed) = fetched.what else { panic!("files give rows") };
    Some((parsed, fetched.position))
}

/// Rows, then rejects.
fn shown(parsed: &Parsed) -> String {
    let mut text = pretty_format_batches(&parsed.batches).expect("text").to_string();
    for reject in &parsed.rejected {
        text += format!("\n{} | {} | {}", reject.position, reject.reason, reject.record).trim_end_matches([' ', '|']);
    }
    text
}

#[tokio::test]
async fn every_format_lands_with_file_and_line() {
    let folder = Folder::with(&[
        ("in/day=2025-02-27/a.csv", "\u{feff}Title,Rank,extra\nREBEL HEART,1,x\n\"two\nlines\",2,x\nbad,one,x\nshort,4\n,5,x\n"),
        (
            "in/day=2025-02-27/b.jsonl",
            "{\"title\": \"태양\", \"RANK\": 1}\n\n{\"title\": {\"b\": 1, \"a\": 2}, \"rank\": \"2\"}\n{\"title\": \n[1]\n",
        ),
        ("in/day=__HIVE_DEFAULT_PARTITION__/c.json", "[{\"title\": \"c\", \"rank\": 3}, {\"rank\": true}]"),
        ("in/day=soon/d.csv", "title,rank\n"),
        ("in/e.csv", "title,rank\n"),
        ("in/day=2025-02-28/f.csv", "name,rank\na,1\n"),
        ("in/day=2025-02-28/g.parquet", "PAR1"),
        ("in/day=2025-02-28/h.json", "{\"title\": "),
        ("in/day=2025-02-28/.hidden.csv", "title,rank\na,1\n"),
        ("in/_tmp/day=2025-02-28/i.csv", "title,rank\na,1\n"),
    ]);
    let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gzip.write_all(b"title\trank\nz\t9\n").expect("packed");
    let packed = gzip.finish().expect("packed");
    folder.write("in/day=2025-03-01/z.tsv.gz", &packed);
    folder.write("in/day=2025-03-02/cut.tsv.gz", &packed[..packed.len() - 12]);
    folder.write("in/day=2025-03-03/latin.csv", b"title,rank\nna\xefve,1\nplain,2\n");
    let adapter = folder.adapter(json!({
        "path": "in", "columns": {"TITLE": "varchar", "RANK": "integer"}, "partition_columns": {"DAY": "date"}, "partition_by": ["day"],
    }));
    assert_eq!(adapter.partition_by(), ["DAY"]);
    let (parsed, position) = step(&*adapter, None).await.expect("rows");
    assert!(parsed.batches.iter().all(|batch| batch.schema() == adapter.schema()));
    insta::assert_snapshot!(shown(&parsed), @r##"
    +---------------+------+------------+------------------------------------------+-------+
    | TITLE         | RANK | DAY        | _FILE                                    | _LINE |
    +---------------+------+------------+------------------------------------------+-------+
    | REBEL HEART   | 1    | 2025-02-27 | in/day=2025-02-27/a.csv                  | 2     |
    | two           | 2    | 2025-02-27 | in/day=2025-02-27/a.csv                  | 3     |
    | lines         |      |            |                                          |       |
    |               | 5    | 2025-02-27 | in/day=2025-02-27/a.csv                  | 7     |
    | 태양          | 1    | 2025-02-27 | in/day=2025-02-27/b.jsonl                | 1     |
    | {"a":2,"b":1} | 2    | 2025-02-27 | in/day=2025-02-27/b.jsonl                | 3     |
    | z             | 9    | 2025-03-01 | in/day=2025-03-01/z.tsv.gz               | 2     |
    | plain         | 2    | 2025-03-03 | in/day=2025-03-03/latin.csv              | 3     |
    | c             | 3    |            | in/day=__HIVE_DEFAULT_PARTITION__/c.json | 1     |
    +---------------+------+------------+------------------------------------------+-------+
    in/day=2025-02-27/a.csv:5 | column `RANK`: `one` is not a whole number | bad,one,x
    in/day=2025-02-27/a.csv:6 | 2 fields under 3 columns | short,4
    in/day=2025-02-27/b.jsonl:4 | not JSON: EOF while parsing a value at line 1 column 9 | {"title":
    in/day=2025-02-27/b.jsonl:5 | not an object | [1]
    in/day=2025-02-28/f.csv:1 | the header has no column `TITLE` | name,rank
    in/day=2025-02-28/g.parquet | not a Parquet file: EOF: file size of 4 is less than footer
    in/day=2025-02-28/h.json:1 | not JSON: EOF while parsing a value at line 1 column 10 | {"title":
    in/day=2025-03-02/cut.tsv.gz:2 | the file breaks off: incomplete deflate stream
    in/day=2025-03-03/latin.csv:2 | not UTF-8 | na�ve,1
    in/day=__HIVE_DEFAULT_PARTITION__/c.json:2 | column `RANK`: `true` does not fit the column | {"rank":true}
    in/day=soon/d.csv | its folder `DAY`: `soon` is not a date such as 2025-02-27
    in/e.csv | its path has no folder `DAY=...`
    "##);
    assert!(parsed.replace.is_none() && parsed.error.is_none());
    assert!(step(&*adapter, Some(&position)).await.is_none());
}

#[tokio::test]
async fn files_land_exactly_once_and_changed_ones_replace_themselves() {
    let folder = Folder::with(&[("in/a.csv", "x\n1\n"), ("in/b.csv", "x\n2\n"), ("in/c.txt", "no")]);
    let adapter = folder.adapter(json!({"path": "in/", "glob": "*.csv"}));
    let files = |parsed: &Parsed| parsed.batches.iter().map(|b| b.num_rows()).sum::<usize>();
    let (parsed, first) = step(&*adapter, None).await.expect("both");
    assert_eq!(files(&parsed), 2);
    // touched, not changed
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    std::fs::File::options().write(true).open(folder.0.path().join("in/a.csv")).expect("open").set_modified(later).expect("touched");
    assert!(step(&*adapter, Some(&first)).await.is_none());
    folder.write("in/b.csv", b"x\n2\n3\n");
    folder.write("in/sub/d.csv", b"x\n4\n");
    let (parsed, second) = step(&*adapter, Some(&first)).await.expect("the changed one");
    assert_eq!((files(&parsed), parsed.replace.clone()), (2, Some(("_FILE".into(), vec!["in/b.csv".into()]))));
    // what came since the files were listed comes with the next list
    assert!(step(&*adapter, Some(&second)).await.is_none());
    folder.write("in/e.csv", b"x\n5\n");
    let (parsed, third) = step(&*adapter, Some(&second)).await.expect("the new one");
    insta::assert_snapshot!(shown(&parsed), @r##"
    +-----------+----------+-------+
    | PAYLOAD   | _FILE    | _LINE |
    +-----------+----------+-------+
    | {"x":"5"} | in/e.csv | 2     |
    +-----------+----------+-------+
    "##);
    assert!(step(&*adapter, Some(&third)).await.is_none());
}

#[tokio::test]
async fn options_of_reading() {
    for (name, text, settings, expect) in [
        (
            "a.csv",
            "1;NA\n2;b\n",
            json!({"delimiter": ";", "header": false, "null_values": ["NA"], "columns": {"I": "int", "T": "text"}}),
            "[1,null][2,b]",
        ),
        ("a.dat", "{\"v\":{\"k\":1}}\n", json!({"format": "jsonl", "columns": {"V": "variant", "W": "date"}}), "[{\"k\":1},null]"),
        ("a.json", "{\"data\":{\"rows\":[{\"z\":1,\"y\":2}]}}", json!({"records": "/data/rows"}), "[{\"y\":2,\"z\":1}]"),
        ("a.csv", "b,a\n1,\n", json!({}), "[{\"a\":null,\"b\":\"1\"}]"),
    ] {
        let folder = Folder::with(&[(name, text)]);
        let mut settings = settings;
        settings["path"] = name.into();
        let adapter = folder.adapter(settings);
        let (parsed, _) = step(&*adapter, None).await.expect("rows");
        assert_eq!(parsed.rejected, [], "{name}");
        let mut rows = String::new();
        for batch in &parsed.batches {
            for row in 0..batch.num_rows() {
                let cells = batch.columns().iter().take(batch.num_columns() - 2).map(|column| {
                    let options = datafusion::arrow::util::display::FormatOptions::new().with_null("null");
                    datafusion::arrow::util::display::ArrayFormatter::try_new(column, &options).expect("text").value(row).to_string()
                });
                rows += &format!("[{}]", cells.collect::<Vec<_>>().join(","));
            }
        }
        assert_eq!(rows, expect, "{name}");
        // the same content through the pure half
        let raw = RawResponse {
            subject: name.into(),
            url: String::new(),
            status: 200,
            fetched_at: Default::default(),
            headers: "{}".into(),
            payload: text.into(),
        };
        assert_eq!(adapter.parse(&[raw]).batches, parsed.batches);
    }
}

#[tokio::test]
async fn faults_of_settings_and_folders() {
    let error = adapter_in(Path::new("/"), json!({"path": "no/such"})).fetch(None, &cx()).await.expect_err("no folder");
    assert_eq!(error.message, "there is no folder `no/such`");
    let settings = json!({"glob": "[", "columns": {"a": "varchar", "A": "int"}, "partition_columns": {"d": "day"}, "delimiter": "::"});
    let Err(faults) = registry::adapter(&config("file", settings), &registry::AdapterEnv::new(".", None)) else { panic!("faulty") };
    let messages: Vec<&str> = faults.0.iter().map(|d| d.message.as_str()).collect();
    insta::assert_snapshot!(messages.join("\n"), @r##"
    the `file` adapter needs the setting `path`
    `glob` must be a pattern of file names (unclosed character class; missing ']'), not `"["`
    `delimiter` must be one character, or `\t`, not `"::"`
    `partition_columns` must be a mapping of names to types such as `varchar`, `integer` or `timestamp`, not `"day"`
    the column `A` is given twice
    "##);
}
