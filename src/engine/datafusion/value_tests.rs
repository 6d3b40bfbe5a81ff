//! Values where they meet, and names that are told by text.

use super::tests::{check, engine, script};
use crate::engine::Engine;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_may_be_told_by_text() {
    for (sql, expected) in [
        ("create table t as select 7 as a; select * from identifier('t')", "7"),
        ("create table t as select 7 as a; set v = 's.t'; select a from identifier($v)", "7"),
        ("create table t as select 7 as a; set v = 'T'; select a from table($v)", "7"),
        ("set v = 'x'; create table identifier($v) (a int); insert into identifier($v) values (3); select a from x", "3"),
        ("create table t as select 7 as a; set c = 'a'; select identifier($c) + 1 from t", "8"),
        ("create table t as select 7 as a; alter table identifier('t') rename to u; select a from u", "7"),
        ("execute immediate 'select 1 + 1'", "2"),
        ("set q = 'select 5'; execute immediate $q", "5"),
        ("execute immediate 'begin let x := 1; return x + 1; end'", "2"),
        ("execute immediate $$create table t as select 'it''s' as a$$; select a from t", "it's"),
    ] {
        check(sql, expected).await;
    }
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    for (sql, code) in [
        ("select * from identifier($nothing)", "sql/unknown-variable"),
        ("select * from identifier('a b')", "sql/name"),
        ("execute immediate 'begin let x := 1 end'", "sql/script"),
    ] {
        let error = script(engine.session().as_mut(), sql).await.expect_err(sql);
        assert_eq!(error.code, code, "{sql}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backslashes_and_quotes_survive_changes_of_rows() {
    for (sql, expected) in [
        (r"create table t (a varchar); insert into t values ('x'); update t set a = 'a\\b''c\'d'; select a from t", r"a\b'c'd"),
        (r"create table t (a varchar); insert into t values ('a\\b'), ('c'); delete from t where a = 'a\\b'; select a from t", "c"),
        (
            r"create table t (a varchar); merge into t using (select 'a\\n' as a) s on t.a = s.a when not matched then insert (a) values (s.a || '\\');
              select a from t",
            r"a\n\",
        ),
        (r"create table t (a array); insert into t select [1]; update t set a = ['2']::array(int); select a from t", "[2]"),
        (r"create function f(s varchar) returns varchar as $$ s || '\\' $$; select f('a')", r"a\"),
        (r"set v = 'a\\b'; select $v", r"a\b"),
    ] {
        check(sql, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comparisons_bind_more_tightly_than_and_and_or() {
    for (sql, expected) in [
        ("select 1 is distinct from 1 or true", "true"),
        ("select 1 is distinct from 2 and false", "false"),
        ("select 1 is not distinct from 1 and 2 is distinct from 2 or true", "true"),
        ("select 1 is distinct from 1 or 2 = 2 and false", "false"),
    ] {
        check(sql, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_different_types_meet_in_one() {
    const ZONE: &str = "alter session set timezone = 'America/New_York';";
    for (sql, expected) in [
        (
            "select to_char(x, 'YYYY-MM-DD HH24:MI TZHTZM') from (select '2024-01-01 12:00'::timestamp_ntz as x union all select '2024-01-01 12:00 +0000'::timestamp_tz) order by 1",
            "2024-01-01 12:00 +0000\n2024-01-01 12:00 -0500",
        ),
        ("select date_part(epoch_second, coalesce(null::timestamp_ltz, '1970-01-01 00:00'::timestamp_ntz))", "18000"),
        ("select date_part(epoch_second, iff(false, current_timestamp(), '1970-01-02'::date))", "104400"),
        (
            "select coalesce('2019-01-01'::date, '2099-01-01'), nvl(null::date, '2099-01-01'), coalesce(true, 'false')",
            "2019-01-01|2099-01-01|true",
        ),
        ("select date_part(year, coalesce(null::timestamp_tz, '2020-01-01')), hour(coalesce(null::time, '11:00'))", "2020|11"),
        (
            "select a between b and b, a in (b), case a when b then 1 else 0 end, nullif(a, b) is null
             from (select '2020-01-01 12:00'::timestamp_ltz as a, '2020-01-01 12:00'::timestamp_ntz as b)",
            "true|true|1|true",
        ),
        ("select date_part(hour, greatest('2020-01-01 12:00'::timestamp_ntz, '2020-01-01 11:00'::timestamp_ltz))", "12"),
        ("select count(*) from (select true as x union all select 'false') where not x", "1"),
        ("select to_char(max(x), 'TZHTZM') from (select '2020-01-01 00:00:00 +0100'::timestamp_tz as x)", "+0100"),
        ("select sum(v::int) from (select parse_json('1') as v union all select 2)", "3"),
        (
            "select count(*) from (select '2024-01-01 12:00 +0000'::timestamp_tz as x union select '2024-01-01 13:00 +0100'::timestamp_tz)",
            "1",
        ),
        (
            "select count(*), count(distinct x) from (select x from values ('2024-01-01 12:00 +0000'::timestamp_tz), ('2024-01-01 13:00 +0100'::timestamp_tz) v (x))",
            "2|1",
        ),
        (
            "select n from (select x, count(*) as n from values ('2024-01-01 12:00 +0000'::timestamp_tz), ('2024-01-01 13:00 +0100'::timestamp_tz) v (x) group by x)",
            "2",
        ),
        ("select count(*) from (select column1::variant as v from values (5), (5::float)) group by v", "2"),
        ("select distinct v from (select parse_json(column1) as v from values ('5'), ('5.0'))", "5"),
        ("select max(t) over (), typeof(max(t) over ()::variant) from (select '10:00'::time as t) limit 1", "10:00:00|TIME"),
    ] {
        check(&format!("{ZONE} {sql}"), expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_may_be_arguments() {
    const ROWS: &str = "create table t (a int, b text); insert into t values (1, 'x'), (2, null), (null, null);";
    for (sql, expected) in [
        ("select count(t.*), count(*) from t", "1|3"),
        ("select count(distinct hash(*)), count(distinct hash(t.*)) from t", "3|3"),
        ("select hash_agg(*) = hash_agg(t.*) from t", "true"),
        ("select count(*) from t where hash(*) = hash(a, b)", "3"),
    ] {
        check(&format!("{ROWS} {sql}"), expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_and_signatures_of_sets() {
    for (sql, expected) in [
        ("select vector_inner_product([1,2,3]::vector(int, 3), [4,5,6]::vector(int, 3))", "32"),
        ("select vector_l1_distance([1,2]::vector(float, 2), [4,6]::vector(float, 2))", "7"),
        ("select vector_l2_distance([1,2]::vector(float, 2), [4,6]::vector(float, 2))", "5"),
        ("select round(vector_cosine_similarity([1,0]::vector(float, 2), [1,1]::vector(float, 2)), 4)", "0.7071"),
        ("select vector_normalize([3,4]::vector(float, 2))::array(number(2,1))", "[0.6,0.8]"),
        ("select try_cast('x' as int), 1", "NULL|1"),
        ("create table t (v vector(float, 2)); insert into t select [1, 2]::vector(float, 2); select vector_l2_distance(v, v) from t", "0"),
        (
            "with s as (select minhash(200, column1) as m from values (1), (2), (3)), u as (select minhash(200, column1) as m from values (1), (2), (3))
             select approximate_similarity(m) from (select m from s union all select m from u)",
            "1",
        ),
        (
            "select approximate_jaccard_index(m) between 0.3 and 0.7 from (
               select minhash(500, seq) as m from (select seq4() as seq from table(generator(rowcount => 100)))
               union all select minhash(500, seq) from (select seq4() as seq from table(generator(rowcount => 50))))",
            "true",
        ),
    ] {
        check(sql, expected).await;
    }
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    let wrong = "select vector_l2_distance([1,2]::vector(int, 3), [1,2,3]::vector(int, 3))";
    let error = engine.session().execute(wrong).await.expect_err("dimensions");
    assert!(error.message.contains("a vector of 3 numbers"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listing_says_what_is_so() {
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    let mut session = engine.session();
    let mut wrong = vec![];
    for entry in super::function_listing() {
        if ["CAST", "TRY_CAST", "EXTRACT", "LIKE", "POSITION"].contains(&entry.name) || entry.category == "table" || entry.name == "FLATTEN"
        {
            continue;
        }
        let mut known = false;
        for count in 0..=7 {
            let args = vec!["null"; count].join(", ");
            for over in ["", " over (order by 1)"] {
                known |= match session.execute(&format!("select {}({args}){over}", entry.name)).await {
                    Ok(_) => true,
                    Err(e) => !matches!(e.code, "sql/unknown-function" | "sql/unsupported" | "sql/syntax"),
                };
            }
            if known {
                break;
            }
        }
        if known != entry.local {
            wrong.push(format!("{}: listed as {}, found {known}", entry.name, entry.local));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
