//! Scripts on the local engine: `check(script, expected rows of its last statement)`.

use ::datafusion::arrow::array::Array;

use super::{LocalEngine, LocalOptions};
use crate::{
    dialect::{function::value::to_text, types::Type},
    engine::{Content, Engine, EngineError, How, Outcome, Publish, Session, Strategy},
    graph::OnSchemaChange,
    names::RelationName,
};

pub(super) fn engine(folder: &tempfile::TempDir) -> LocalEngine {
    let options = LocalOptions { path: "warehouse".into(), database: "db".into(), schema: "s".into(), memory_limit: None, user: None };
    LocalEngine::open(folder.path(), &options).expect("opens")
}

pub(super) fn shown(outcome: &Outcome) -> String {
    let mut lines = vec![];
    for batch in &outcome.batches {
        let columns: Vec<_> =
            (0..batch.num_columns()).map(|i| to_text(batch.column(i), Type::of(outcome.schema.field(i))).expect("printable")).collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|c| if c.is_null(row) { "NULL" } else { c.value(row) }).collect::<Vec<_>>().join("|"));
        }
    }
    lines.join("\n")
}

pub(super) async fn script(session: &mut dyn Session, text: &str) -> Result<Outcome, EngineError> {
    let mut last = None;
    for range in session.split(text) {
        last = Some(
            session
                .execute(&text[range.clone()])
                .await
                .map_err(|e| EngineError { message: format!("{}: {}", &text[range], e.message), ..e })?,
        );
    }
    Ok(last.expect("a statement"))
}

pub(super) async fn check(text: &str, expected: &str) {
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    let outcome = script(engine.session().as_mut(), text).await.unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    assert_eq!(shown(&outcome), expected, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_answer_as_snowflake_answers() {
    for (sql, expected) in [
        ("select 1 as a, 'x' b", "1|x"),
        ("select 7 / 2, 1/3, 2.5 * 2", "3.500000|0.333333|5.0"),
        (
            "select iff(1 > 2, 'a', 'b'), nvl(null, 3), zeroifnull(null), div0(1, 0), decode(2, 1, 'one', 2, 'two', 'other')",
            "b|3|0|0.000000|two",
        ),
        ("select avg(column1), sum(column1), count(*), count_if(column1 > 1) from values (1), (2), (4)", "2.333333|7|3|2"),
        (
            "select '2025-02-27'::date - 1, datediff(day, '2025-01-01'::date, '2025-02-01'::date), dateadd(month, 1, '2024-01-31'::date)",
            "2025-02-26|31|2024-02-29",
        ),
        (
            "select weekiso('2024-12-30'::date), yearofweekiso('2024-12-30'::date), date_trunc('month', '2025-02-27'::date)",
            "1|2025|2025-02-01",
        ),
        ("select parse_json('{\"a\":{\"b\":[1,2]}}'):a.b[1]::int as x", "2"),
        (
            "select f.value::string as v, f.index from (select array_construct('x', 'y') as arr) t, lateral flatten(input => t.arr) f order by f.index",
            "x|0\ny|1",
        ),
        (
            "select t.id, g.value::int from (select 1 as id, parse_json('[[1,2],[3]]') as a) t, lateral flatten(t.a) f, lateral flatten(f.value) g order by 2",
            "1|1\n1|2\n1|3",
        ),
        ("select id, f.value from (select 1 as id, array_construct() as a) t, lateral flatten(input => a, outer => true) f", "1|NULL"),
        ("select column1 as x from values (3), (1), (2) qualify row_number() over (order by column1 desc) = 1", "3"),
        ("select array_agg(column1) within group (order by column1 desc) as a from values (1), (3), (2)", "[3,2,1]"),
        ("select listagg(column1, ',') within group (order by column1) from values ('b'), ('a')", "a,b"),
        (
            "select array_size(split('a-b-c', '-')), array_to_string(split('a-b-c', '-'), '+'), array_contains('b'::variant, split('a-b', '-'))",
            "3|a+b+c|true",
        ),
        ("select typeof(parse_json('1')), object_construct('b', 1, 'a', 'x')", "INTEGER|{\"a\":\"x\",\"b\":1}"),
        ("select case when true then array_construct(1) end as a", "[1]"),
        (
            "select to_timestamp(1740654000000, 3), to_date('27/02/2025', 'DD/MM/YYYY'), to_char('2025-02-27'::date, 'YYYYMM')",
            "2025-02-27 11:00:00.000|2025-02-27|202502",
        ),
        ("select round(100 * 1 / 3, 2), round(2.5), round(1234.567, 1)", "33.33|3|1234.6"),
        ("select count(distinct column1) from values ('a'), ('b'), ('a')", "2"),
        ("with recursive n as (select 1 as i union all select i + 1 from n where i < 3) select sum(i) from n", "6"),
        ("select split_part('a,b,c', ',', -1), substr('hello', 2, 3), concat('a', 1, null), 'a' || 1", "c|ell|NULL|a1"),
        ("select min_by(column1, column2), max_by(column1, column2) from values ('a', 2), ('b', 1)", "b|a"),
        ("select seq from (select row_number() over (order by 1) as seq from table(generator(rowcount => 3))) order by seq", "1\n2\n3"),
        ("select * exclude (b) from (select 1 as a, 2 as b)", "1"),
        ("set x = 5; select $x + 1", "6"),
        ("select greatest(1, null), least(3, 2)", "NULL|2"),
        ("select array_construct(1, null, 2), object_construct('a', 1, 'b', null)", "[1,null,2]|{\"a\":1}"),
        ("select try_cast('abc' as int), '12.5'::number(10,1), 'true'::boolean", "NULL|12.5|true"),
    ] {
        check(sql, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_keep_types_and_change_by_statements() {
    check(
        "create table t (id int, name varchar, tags array, v variant, d date, ts timestamp_ntz, n number(10,2), b boolean);
         insert into t select 1, 'a', array_construct('x'), parse_json('{\"k\":1}'), '2025-01-01'::date, '2025-01-01 10:00:00'::timestamp, 1.5, true;
         insert into t (id, name) values (2, 'b'), (3, 'c');
         update t set name = upper(name) where id = 2;
         delete from t where id = 3;
         select id, name, tags[0]::string, v:k::int, d, ts, n, b from t order by id",
        "1|a|x|1|2025-01-01|2025-01-01 10:00:00.000|1.50|true\n2|B|NULL|NULL|NULL|NULL|NULL|NULL",
    )
    .await;
    check(
        "create table t as select column1 as id, column2 as x from values (1, 'a'), (2, 'b'), (4, 'd');
         merge into t using (select column1 as id, column2 as x from values (1, 'A'), (3, 'C'), (4, 'gone')) s on t.id = s.id
           when matched and s.x = 'gone' then delete
           when matched then update set x = s.x
           when not matched then insert (id, x) values (s.id, s.x);
         select * from t order by id",
        "1|A\n2|b\n3|C",
    )
    .await;
    check("create table t (a int); alter table t add column b varchar; insert into t values (1, 'x'); alter table t rename column b to c; alter table t drop column a; select * from t", "x").await;
    check("create view v as select 1 as a, array_construct(1) as arr; create or replace view w as select a, arr[0]::int + 1 as b from v; select * from w", "1|2").await;
    check("create table t (a int); truncate table t; drop table t; create schema if not exists x; select count(*) from information_schema.tables where table_name = 'T'", "0").await;
    check(
        "create table \"Mixed\" (\"lower\" int, UPPER int); insert into \"Mixed\" values (1, 2); select \"lower\" + upper from \"Mixed\"",
        "3",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_name_the_cause_and_the_place() {
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    for (sql, code, at) in [
        ("select ab from (select 1 as abc) t", "sql/unknown-column", Some("ab")),
        ("select * from nowhere", "sql/unknown-table", Some("nowhere")),
        ("select 1 / 0", "sql/division-by-zero", Some("1 / 0")),
        ("select frobnicate(1)", "sql/unknown-function", Some("frobnicate")),
        ("selec 1", "sql/syntax", Some("selec")),
        ("select 'x'::int", "sql/value", Some("'x'")),
    ] {
        let error = engine.session().execute(sql).await.expect_err(sql);
        assert_eq!((error.code, error.at.as_ref().map(|r| &sql[r.clone()])), (code, at), "{sql}: {error:?}");
    }
}

fn publish(sql: &str, how: How) -> Publish {
    Publish {
        relation: RelationName::parse_parts("db", "s", "m"),
        content: Content::Query(sql.into()),
        how,
        comment: Some("about".into()),
        not_null: vec![],
        column_comments: [("id".to_owned(), "key".to_owned())].into(),
        properties: [("segue.fingerprint".to_owned(), "f".to_owned())].into(),
        physical: Default::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incremental_strategies_give_what_their_names_say() {
    let base = "select column1 as id, column2 as x from values (1, 'a'), (2, 'b')";
    let next = "select column1 as id, column2 as x from values (2, 'B'), (3, 'C')";
    let key = vec!["id".to_owned()];
    for (strategy, expected) in [
        (Strategy::Append, "1|a\n2|B\n2|b\n3|C"),
        (Strategy::Merge { unique_key: key.clone(), update_columns: None, predicates: vec![] }, "1|a\n2|B\n3|C"),
        (Strategy::Merge { unique_key: key.clone(), update_columns: Some(vec![]), predicates: vec![] }, "1|a\n2|b\n3|C"),
        (Strategy::DeleteInsert { unique_key: key.clone(), predicates: vec![] }, "1|a\n2|B\n3|C"),
        (Strategy::InsertOverwrite, "2|B\n3|C"),
    ] {
        let folder = tempfile::tempdir().expect("temp");
        let engine = engine(&folder);
        engine.publish(publish(base, How::Table)).await.expect("first");
        let how = How::Incremental { strategy: strategy.clone(), on_schema_change: OnSchemaChange::Ignore };
        engine.publish(publish(next, how)).await.expect("second");
        let rows = engine.session().execute("select * from m order by id, x").await.expect("read");
        assert_eq!(shown(&rows), expected, "{strategy:?}");
        let relations = engine.relations(&[RelationName::parse_parts("db", "s", "m").schema_name()]).await.expect("list");
        assert_eq!(relations[0].properties.get("segue.fingerprint").map(String::as_str), Some("f"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_views_replace_each_other() {
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    for how in [How::Table, How::View, How::Table, How::View] {
        engine.publish(publish("select 1 as id", how)).await.expect("published");
        assert_eq!(shown(&engine.session().execute("select * from m").await.expect("read")), "1");
    }
}
