//! What is known before anything runs: types, lineage, differences between versions.

use serde_json::{Value, json};

use crate::{charts::reference_project, sandbox::Sandbox};

const SHOP: &str = "\
-- file: seeds/items.csv
id,name,price
1,apple,1.50
2,pear,2.25
-- file: models/stg.sql
select id, upper(name) as name, price from {{ ref('items') }}
-- file: models/totals.sql
select name, sum(price) as total from {{ ref('stg') }} where id > 0 group by name
";

#[test]
fn a_sound_project_has_no_findings_and_nothing_is_built() {
    let shop = Sandbox::new(SHOP);
    shop.run(&["check"]).expect_code(0).expect_all(&["3 nodes checked", "0 errors, 0 warnings"]);
    assert!(!shop.path().join("warehouse").exists());
    let sarif: Value = serde_json::from_str(&shop.run(&["check", "-o", "sarif"]).expect_code(0).out).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"], json!([]));
}

#[test]
fn all_faults_are_told_in_one_run_and_siblings_go_on() {
    let shop = Sandbox::new(&format!(
        "{SHOP}-- file: models/a.sql\nselect nope from {{{{ ref('stg') }}}}\n-- file: models/b.sql\nselect * from {{{{ ref('a') }}}}\n\
         -- file: models/c.sql\nselect also from {{{{ ref('totals') }}}}\n\
         -- file: models/d.sql\n{{% set rows = run_query('select 1') %}}\nselect {{% if execute %}}{{{{ rows.columns[0].values()[0] }}}}{{% else %}}1{{% endif %}} as x\n"
    ));
    let ran = shop.run(&["check"]).expect_code(1).expect_all(&["models/a.sql:1:8", "models/c.sql:1:8", "2 errors", "not typed: "]);
    assert!(!ran.out.contains("models/b.sql"), "{}", ran.out);
    shop.run(&["check", "-s", "c", "-o", "github"]).expect_code(1).expect_all(&["::error file=models/c.sql,line=1,endLine=1,col=8,"]);
}

/// Edges of a column as `from -> to (how)`.
fn lineage(sandbox: &Sandbox, args: &[&str]) -> Vec<String> {
    let ran = sandbox.run(&[&["lineage", "-q", "-o", "json"], args].concat()).expect_code(0);
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let end = |v: &Value| {
        let node = v["node"].as_str().unwrap_or_default();
        format!("{}.{}", node.rsplit('.').next().unwrap_or_default(), v["column"].as_str().unwrap_or_default())
    };
    let mut edges: Vec<String> = report["edges"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|e| format!("{} {}", end(&e["from"]), e["how"].as_str().unwrap_or_default()))
        .collect();
    edges.sort();
    edges
}

#[test]
fn columns_are_followed_up_and_down() {
    let shop = Sandbox::new(SHOP);
    assert_eq!(lineage(&shop, &["totals.total"]), ["items.ID copy", "items.PRICE copy", "stg.ID filter", "stg.PRICE aggregate"]);
    assert_eq!(lineage(&shop, &["items.name", "--downstream"]), ["items.NAME transform", "stg.NAME copy"]);
    shop.run(&["lineage", "totals.total", "-o", "mermaid"]).expect_code(0).expect_all(&["flowchart LR", "-->|aggregate|"]);
    shop.run(&["lineage", "totals.total", "-o", "dot"]).expect_code(0).expect_all(&["digraph lineage", "style=dashed"]);
    shop.run(&["lineage", "totals.totl"]).expect_code(2).expect_all(&["did you mean `total`?"]);
}

/// One model over the seed `items` and the model `stg`: origins of its column X.
#[test]
fn lineage_of_sql() {
    let cases = [
        ("select price as x from {{ ref('items') }}", "items.PRICE copy"),
        ("select x from (select price as x, id from {{ ref('items') }})", "items.PRICE copy"),
        ("with c as (select price as p from {{ ref('items') }}) select p as x from c", "items.PRICE copy"),
        ("select price + id as x from {{ ref('items') }}", "items.ID transform, items.PRICE transform"),
        ("select max(price) as x from {{ ref('items') }}", "items.PRICE aggregate"),
        ("select max(price) + 1 as x from {{ ref('items') }} group by name", "items.PRICE aggregate"),
        (
            "select a.name as x from {{ ref('items') }} a join {{ ref('stg') }} b on a.id = b.id",
            "items.ID filter, items.NAME copy, stg.ID filter",
        ),
        (
            "select a.name as x from {{ ref('items') }} a left join {{ ref('stg') }} b using (id)",
            "items.ID filter, items.NAME copy, stg.ID filter",
        ),
        ("select name as x from {{ ref('items') }} union all select name from {{ ref('stg') }}", "items.NAME copy, stg.NAME copy"),
        (
            "select row_number() over (partition by name order by id) as x from {{ ref('items') }}",
            "items.ID transform, items.NAME transform",
        ),
        ("select sum(price) over (partition by name) as x from {{ ref('items') }}", "items.NAME filter, items.PRICE aggregate"),
        ("select lag(price) over (order by id) as x from {{ ref('items') }}", "items.ID filter, items.PRICE transform"),
        ("select f.value as x from {{ ref('items') }} i, lateral flatten(input => split(i.name, ',')) f", "items.NAME transform"),
        (
            "select price as x from {{ ref('items') }} where id in (select id from {{ ref('stg') }})",
            "items.ID filter, items.PRICE copy, stg.ID filter",
        ),
        (
            "select (select max(s.price) from {{ ref('stg') }} s where s.id = i.id) as x from {{ ref('items') }} i",
            "items.ID filter, stg.ID filter, stg.PRICE aggregate",
        ),
        ("select case when id > 1 then name end as x from {{ ref('items') }}", "items.ID transform, items.NAME transform"),
        ("select 1 as x from {{ ref('items') }}", ""),
        ("select count(*) as x from {{ ref('items') }} where price > 1", "items.PRICE filter"),
        (
            "select name as x from {{ ref('items') }} qualify row_number() over (partition by id order by price) = 1",
            "items.ID filter, items.NAME copy, items.PRICE filter",
        ),
        ("select price::varchar as x from {{ ref('items') }}", "items.PRICE transform"),
        ("select * from (select id as x from {{ ref('items') }})", "items.ID copy"),
        ("select * exclude (name) rename (price as x) from {{ ref('items') }}", "items.PRICE copy"),
        (
            "with recursive r as (select id as x from {{ ref('items') }} union all select x + 1 from r where x < 5) select x from r",
            "items.ID transform",
        ),
        ("select listagg(name, ',') within group (order by id) as x from {{ ref('items') }}", "items.ID aggregate, items.NAME aggregate"),
    ];
    let files: String = cases.iter().enumerate().map(|(i, (sql, _))| format!("-- file: models/m{i}.sql\n{sql}\n")).collect();
    let shop = Sandbox::new(&format!("{SHOP}{files}"));
    shop.run(&["check"]).expect_code(0);
    let mut wrong = vec![];
    for (i, (sql, expect)) in cases.iter().enumerate() {
        let found = lineage(&shop, &[&format!("m{i}.x"), "--depth", "1"]).join(", ");
        if found != *expect {
            wrong.push(format!("{sql}\n  expected {expect}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn versions_of_a_project_are_held_against_each_other() {
    let shop = Sandbox::new(SHOP);
    shop.run(&["check", "--target-path", "before"]).expect_code(0);
    shop.run(&["diff", "--state", "before", "--fail-on", "any"]).expect_code(0).expect_all(&["no differences"]);
    shop.write("models/stg.sql", "select id::varchar as id, upper(name) as name, price, 1 as one from {{ ref('items') }}\n");
    shop.write("models/totals.sql", "select name, sum(price) as total from {{ ref('stg') }} group by name\n");
    let expected = ["changed model stg, may break readers", "~ ID NUMBER(38,0) -> VARCHAR", "+ ONE NUMBER", "built on it: totals"];
    shop.run(&["diff", "--state", "before"]).expect_code(0).expect_all(&expected);
    shop.run(&["diff", "--state", "before", "--fail-on", "breaking", "-o", "markdown"]).expect_code(1).expect_all(&["| model `stg` |"]);
}

#[test]
fn versions_of_a_table_are_held_against_each_other() {
    let shop = Sandbox::new(SHOP);
    shop.run(&["build"]).expect_code(0);
    shop.write("seeds/items.csv", "id,name,price\n1,apple,1.75\n3,plum,0.50\n");
    shop.run(&["seed"]).expect_code(0);
    let ran = shop.run(&["diff", "--data", "items@previous", "items", "--key", "id", "-o", "json"]).expect_code(0);
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    assert_eq!([&report["added"], &report["removed"], &report["changed"], &report["same"]], [1, 1, 1, 0]);
    assert_eq!(report["columns"], json!([{"column": "PRICE", "changed": 1}]));
    shop.run(&["diff", "--data", "items", "items"]).expect_code(2).expect_all(&["--key"]);
}

#[test]
fn a_change_is_checked_as_before_a_merge() {
    let shop = Sandbox::new(&format!(
        "{SHOP}-- file: models/s.yml\nmodels:\n  - name: stg\n    columns:\n      - name: id\n        data_tests: [unique]\nunit_tests:\n  - name: sums\n    model: totals\n    given:\n      - input: ref('stg')\n        rows: [{{id: 1, name: a, price: 2}}]\n    expect:\n      rows: [{{name: a, total: 2}}]\n"
    ));
    shop.run(&["ci", "--junit", "junit.xml", "--markdown", "summary.md"]).expect_code(0).expect_all(&["unit tests  1 passed", "passed in"]);
    assert!(!shop.path().join("warehouse").exists());
    assert!(shop.read("junit.xml").contains("<testsuite name=\"unit tests\" tests=\"1\" failures=\"0\""));
    assert!(shop.read("summary.md").contains("### segue ci: passed"));
    shop.write("models/totals.sql", "select name, sum(price) + 1 as total from {{ ref('stg') }} group by name\n");
    shop.run(&["ci"]).expect_code(1).expect_all(&["FAIL unit_test.shop.totals.sums", "FAILED"]);
    shop.write("models/totals.sql", "select nope from {{ ref('stg') }}\n");
    shop.run(&["ci", "-o", "sarif"]).expect_code(1).expect_all(&["sql/unknown-column"]);
}

#[test]
fn lineage_is_an_artifact() {
    let shop = Sandbox::new(
        "-- file: seeds/items.csv\nid,price\n1,2\n-- file: models/a.sql\nselect id, price * 2 as twice from {{ ref('items') }} where price > 1\n\
         -- file: models/schema.yml\nmodels:\n  - name: a\n    columns:\n      - {name: twice, description: x}\n",
    );
    shop.run(&["check"]).expect_code(0);
    let lineage = shop.json("target/lineage.json");
    let a = &lineage["nodes"]["model.shop.a"];
    assert_eq!(a["columns"][1]["name"], "TWICE");
    assert_eq!(a["columns"][1]["from"][0]["node"], "seed.shop.items");
    assert_eq!(a["columns"][1]["from"][0]["how"], "transform");
    assert_eq!(a["filters"][0]["column"], "PRICE");
    // dbt's schema allows other keys of columns, and of nothing else in a node
    let manifest = shop.json("target/manifest.json");
    let node = &manifest["nodes"]["model.shop.a"];
    assert!(node.get("segue").is_none());
    assert_eq!(node["columns"]["twice"]["segue"]["from"][0]["column"], "PRICE");
    // another version's columns are known by it
    std::fs::create_dir(shop.path().join("before")).expect("made");
    for file in ["manifest.json", "lineage.json"] {
        std::fs::copy(shop.path().join("target").join(file), shop.path().join("before").join(file)).expect("copied");
    }
    shop.write("models/a.sql", "select id from {{ ref('items') }}\n");
    shop.run(&["diff", "--state", "before", "--fail-on", "breaking"]).expect_code(1).expect_all(&["TWICE"]);
}

#[test]
fn several_faults_of_a_model_are_told_at_once() {
    let shop = Sandbox::new(
        "-- file: seeds/items.csv\nid,price\n1,2\n-- file: models/a.sql\nselect i.idd, prise, id,\n  prise + colour as x\nfrom {{ ref('items') }} i\nwhere i.shape = 1\n\
         -- file: models/b.sql\nselect 'abc'::int as a, to_date('x') as b, try_cast('y' as int) as c, case when false then 'z'::int end as d\n",
    );
    let ran = shop.run(&["check", "--output", "json"]).expect_code(1);
    let found: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    let places: Vec<String> = found["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|f| {
            format!(
                "{} {}:{}:{}",
                f["code"].as_str().unwrap_or_default(),
                f["place"]["file"].as_str().unwrap_or_default(),
                f["place"]["line"],
                f["place"]["column"]
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            "sql/unknown-column models/a.sql:1:10",
            "sql/unknown-column models/a.sql:1:15",
            "sql/unknown-column models/a.sql:2:11",
            "sql/unknown-column models/a.sql:4:9",
            "sql/value models/b.sql:1:8",
            "sql/value models/b.sql:1:33",
        ]
    );
}

#[test]
fn parsing_tells_what_a_build_would() {
    let shop = Sandbox::new(
        "-- file: models/a.sql\nselect 1 as x\n-- file: models/s.yml\nsources:\n  - name: raw\n    tables:\n      - name: plays\n        adapter: {type: file, pathh: data}\n",
    );
    shop.run(&["parse"]).expect_code(2).expect_all(&["pathh"]);
    shop.write(
        "models/s.yml",
        "models:\n  - name: a\n    columns:\n      - name: x\n        data_tests:\n          - not_null: {config: {error_if: bogus}}\n",
    );
    shop.run(&["parse"]).expect_code(2).expect_all(&["`error_if` must be a condition", "models/s.yml:6"]);
    shop.write("models/s.yml", "");
    shop.run(&["parse", "--profile", "x"]).expect_code(2).expect_all(&["no profile `x`"]);
    shop.run(&["show", "--select", "a", "--limit", "-5"]).expect_code(2).expect_all(&["-1 is all of them"]);
    shop.run(&["simulate", "eventsim", "--events", "-1"]).expect_code(2).expect_all(&["1 or more"]);
}

/// Columns of the reference project's models, each with its type and where it comes from.
#[test]
fn lineage_of_the_reference_project() {
    let project = reference_project();
    project.run(&["check"]).expect_code(0);
    let found = project.json("target/lineage.json");
    let nodes = found["nodes"].as_object().expect("nodes");
    let short = |from: &serde_json::Value| {
        let node = from["node"].as_str().and_then(|n| n.split_once(".s4tify.")).expect("a node").1;
        format!("{node}.{}", from["column"].as_str().expect("a column"))
    };
    let mut text = String::new();
    for (id, node) in nodes.iter().filter(|(id, _)| id.starts_with("model.")) {
        let filters: Vec<String> = node["filters"].as_array().expect("filters").iter().map(short).collect();
        text += &format!("{id}: rows by {}\n", filters.join(", "));
        for column in node["columns"].as_array().expect("columns") {
            let from = column["from"].as_array().expect("origins").iter();
            let from: Vec<String> = from.map(|f| format!("{} {}", short(f), f["how"].as_str().expect("a way"))).collect();
            let known = |key: &str| column[key].as_str().expect("told").to_owned();
            text += &format!("  {} {} <- {}\n", known("name"), known("type"), from.join(", "));
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_documentation_is_one_page_with_every_column() {
    let shop = Sandbox::new(&format!(
        "{SHOP}-- file: models/schema.yml\nmodels:\n  - name: totals\n    description: \"</script><b>bold</b>\"\n    columns:\n      \
         - {{name: total, description: The sum., data_tests: [not_null]}}\n"
    ));
    shop.run(&["docs", "generate"]).expect_code(0).expect_all(&["index.html"]);
    let page = shop.read("target/index.html");
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").expect("the data");
    let (data, program) = rest.split_once("</script>").expect("its end");
    let data: Value = serde_json::from_str(data).expect("JSON");
    let node = |id: &str| data["nodes"].as_array().expect("nodes").iter().find(|n| n["id"] == id).expect(id).clone();
    let totals = node("model.shop.totals");
    assert_eq!(totals["description"], "</script><b>bold</b>");
    assert!(!program.contains("<b>bold</b>"));
    assert_eq!(
        totals["columns"][1],
        json!({
            "name": "TOTAL",
            "type": "FLOAT",
            "description": "The sum.",
            "tests": ["not_null"],
            "from": [["model.shop.stg", "PRICE", "aggregate"]],
        })
    );
    assert!(totals["compiled"].as_str().expect("SQL").contains("SHOP.DEV.STG"), "{totals}");
    assert_eq!(node("seed.shop.items")["columns"].as_array().map(Vec::len), Some(3));
}
