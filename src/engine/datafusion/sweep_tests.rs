//! Documented answers, one a line, of forms that a planner easily gets wrong; and everything that is refused, enumerated.

use super::tests::{check, engine, script};
use crate::{dialect::function, engine::Engine};

const STAFF: &str = "create table emp (id int, name varchar, mgr int, dept varchar, sal int);
    insert into emp values (1, 'Ann', null, 'X', 100), (2, 'Bob', 1, 'X', 80), (3, 'Cid', 1, 'Y', 70), (4, 'Dee', 2, 'Y', 60), (5, 'Eve', 4, null, 50);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comparisons_with_subqueries_are_decided_by_all_values() {
    for (sql, expected) in [
        ("select name from emp where sal > all (select sal from emp where dept = 'Y') order by 1", "Ann\nBob"),
        ("select name from emp where sal = any (select sal from emp where dept = 'Y') order by 1", "Cid\nDee"),
        ("select name from emp where sal <> all (select sal from emp where dept = 'Y') order by 1", "Ann\nBob\nEve"),
        ("select name from emp where sal < any (select sal from emp where dept = 'Y') order by 1", "Dee\nEve"),
        ("select count(*) from emp where sal > all (select sal from emp where dept = 'Q')", "5"),
        ("select count(*) from emp where sal > any (select sal from emp where dept = 'Q')", "0"),
        ("select 5 > all (select column1 from values (1), (null)), 5 > any (select column1 from values (1), (null))", "NULL|true"),
        ("select 1 > all (select column1 from values (1), (null)), 0 > any (select column1 from values (1), (null))", "false|NULL"),
        ("select 1 = all (select 1), 1 <> any (select 1)", "true|false"),
        (
            "select name, (dept, sal) in (select dept, max(sal) from emp group by dept) as best from emp where id < 3 order by 1",
            "Ann|true\nBob|false",
        ),
    ] {
        check(&format!("{STAFF} {sql}"), expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relations_beside_rows() {
    for (sql, expected) in [
        (
            "select name, prior name as p, level from emp start with mgr is null connect by prior id = mgr order by id limit 2",
            "Ann|NULL|1\nBob|Ann|2",
        ),
        (
            "select d.x, l.y, l.z from (select 1 as x union all select 2) d, lateral (select d.x * 10 as y, d.x + 1 as z) l order by 1",
            "1|10|2\n2|20|3",
        ),
        ("select m.q from (select 1 as x) d, lateral (select d.x * 10 as y) l, lateral (select l.y + 1 as q) m", "11"),
        (
            "select e.name, m.name from emp e left join lateral (select * from emp m where m.id = e.mgr) m order by 1 limit 2",
            "Ann|NULL\nBob|Ann",
        ),
        ("select dept, array_agg(mgr) over (partition by dept) from emp order by id limit 3", "X|[1]\nX|[1]\nY|[1,2]"),
        (
            "select max_by(name, sal) over (partition by dept), min_by(name, sal) over (partition by dept) from emp order by id limit 1",
            "Ann|Bob",
        ),
        ("select greatest(** [1, 2, 5]), 3 in (** [3, 4])", "5|true"),
        (
            "create table t (k int, v varchar); insert into t values (1, 'a');
             merge into t using (select 'z' as v, 1 as k union all select 'g', 7) s on t.k = s.k
               when matched then update all by name when not matched then insert all by name; select * from t order by k",
            "1|z\n7|g",
        ),
    ] {
        check(&format!("{STAFF} {sql}"), expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_values_are_one_value() {
    const TEXTS: &str = "create table c (a varchar collate 'en-ci', b varchar); insert into c values ('Ab', 'x'), ('aB', 'y'), ('c', 'z');";
    for (sql, expected) in [
        ("select count(*) from c where a = 'AB'", "2"),
        ("select count(*) from c where a in ('AB', 'q')", "2"),
        ("select count(*) from c where a between 'AA' and 'AC'", "2"),
        ("select count(*) from (select distinct a from c)", "2"),
        ("select count(distinct a) from c", "2"),
        ("select b from c order by a desc, b", "z\nx\ny"),
        ("select count(*) from c x join c y on x.a = y.a", "5"),
        ("select count(*) from c x join c y using (a)", "5"),
        ("select collation(a), collation(b) from c limit 1", "en-ci|NULL"),
        ("select count(*) from c where b = 'X'", "0"),
        (
            "select count(*) from (select '2024-01-01 00:00:00 +0000'::timestamp_tz intersect select '2024-01-01 01:00:00 +0100'::timestamp_tz)",
            "1",
        ),
        (
            "select count(*) from (select '2024-01-01 00:00:00 +0000'::timestamp_tz as t) a join (select '2024-01-01 01:00:00 +0100'::timestamp_tz as t) b using (t)",
            "1",
        ),
        (
            "select 1 from (select 1) where '2024-01-01 00:00:00 +0000'::timestamp_tz in (select '2024-01-01 01:00:00 +0100'::timestamp_tz)",
            "1",
        ),
        ("select coalesce('2024-01-01'::date, b), coalesce(null::date, '2024-01-02' || '') from c where b = 'x'", "2024-01-01|2024-01-02"),
        ("select 1 = true, false = 0, 2 <> true, -'5', 1 = '1.0'", "true|true|false|-5.00000|true"),
        ("select random(42) = random(42)", "true"),
        (
            "execute immediate $$begin let q varchar := 'select count(*) from c where b > ?'; let v := 'x';
               let r resultset := (execute immediate :q using (v)); return table(r); end$$",
            "2",
        ),
    ] {
        check(&format!("{TEXTS} {sql}"), expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_says_too_little_or_too_much_is_refused() {
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    for (sql, part) in [
        ("select row_number() over () from (select 1)", "ORDER BY"),
        ("select lag(a) over (partition by a) from (select 1 as a)", "ORDER BY"),
        ("select sum(a) over (order by a groups 1 preceding) from (select 1 as a)", "GROUPS"),
        ("select 'ABCD'::char(2)", "too long"),
        ("select * from table(flatten(input => [1], nonsense => true))", "nonsense"),
        ("create table c (a varchar collate 'nonsense')", "nonsense"),
    ] {
        let error = script(engine.session().as_mut(), sql).await.expect_err(sql);
        assert!(error.message.contains(part), "{sql}: {error:?}");
    }
    check("select 'ABCD'::char(4), try_cast('ABCDE' as varchar(4)), null::varchar(1)", "ABCD|NULL|NULL").await;
}

/// Every function of the reference that the local engine lacks is refused by its name and at its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_that_are_missing_say_so() {
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    let mut session = engine.session();
    let mut seen = 0;
    for entry in super::function_listing().into_iter().filter(|f| !f.local) {
        for arguments in ["", "1", "1, 2", "'a', 'b', 'c'"] {
            let sql = format!("select {}({arguments})", entry.name);
            let error = session.execute(&sql).await.expect_err(&sql);
            assert!(error.message.to_uppercase().contains(entry.name), "{sql}: {error:?}");
            assert!(error.at.is_some(), "{sql}: {error:?}");
        }
        seen += 1;
    }
    assert!(seen > 0);
}

/// Every registered function answers arguments that it does not take with a message of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_arguments_are_told_in_our_words() {
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    let mut session = engine.session();
    let mut leaks = vec![];
    for name in function::names().filter(|n| !n.starts_with("__")) {
        for arguments in ["", "{}", "[], [], [], [], [], [], [], [], []"] {
            let sql = format!("select {name}({arguments})");
            if let Err(error) = session.execute(&sql).await {
                let foreign = ["DataFusion", "coercion", "Error during", "xecution error", "Arrow", "Utf8", "Int64"];
                if foreign.iter().any(|f| error.message.contains(f)) {
                    leaks.push(format!("{sql}: {}", error.message));
                }
            }
        }
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}
