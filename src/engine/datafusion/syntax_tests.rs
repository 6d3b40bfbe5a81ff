//! Query syntax and statements on the local engine: what they answer, and how the others are refused.

use super::tests::{check, engine, script, shown};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clauses_answer_as_snowflake_answers() {
    const SALES: &str = "create table sales (empid int, amount int, month text);
        insert into sales values (1, 10, 'JAN'), (1, 4, 'JAN'), (2, 45, 'JAN'), (1, 5, 'FEB'), (2, 2, 'FEB');";
    for (sql, expected) in [
        ("select * from sales pivot(sum(amount) for month in ('JAN', 'FEB', 'MAR')) order by empid", "1|14|5|NULL\n2|45|2|NULL"),
        ("select * from sales pivot(sum(amount) for month in (any order by month)) order by empid", "1|5|14\n2|2|45"),
        (
            "select * from sales pivot(sum(amount) for month in ('JAN' as j, 'MAR') default on null (0)) as p (id, a, b) order by id",
            "1|14|0\n2|45|0",
        ),
        ("select * from (select 1 as id, 2 as a, null::int as b) unpivot(v for n in (a, b))", "1|A|2"),
        ("select * from (select 1 as id, 2 as a, null::int as b) unpivot include nulls (v for n in (a, b)) order by n", "1|A|2\n1|B|NULL"),
        ("select empid * 2 as double, double + 1 as more from sales where double > 2 and amount = 2", "4|5"),
        // a real column wins over an alias
        ("select empid as amount, amount + 1 from sales where amount = 2", "2|3"),
        ("select month as m, count(*) as n from sales group by m having n > 2", "JAN|3"),
        ("select empid, row_number() over (order by amount) as rn from sales qualify rn = 1", "2|1"),
        ("select empid, sum(amount) from sales group by all order by all", "1|19\n2|47"),
        ("select * exclude (month) replace (amount * 2 as amount) rename (empid as id) from sales where amount = 2", "2|4"),
        ("select * ilike '%mo%' from sales where amount = 2", "2|FEB"),
        ("select $2, $1 from values (1, 'one'), (2, 'two') order by $1 desc", "two|2\none|1"),
        ("select a.$1, b.$2 from (values (1, 'x')) as a join (values (1, 'y')) as b on a.$1 = b.$1 order by a.$1", "1|y"),
        ("select top 2 amount from sales order by amount", "2\n4"),
        ("select amount from sales order by amount offset 1 rows fetch next 2 rows only", "4\n5"),
        ("select count(*) from sales sample (100)", "5"),
        ("select count(*) from sales tablesample (2 rows)", "2"),
        ("select 1 as x, 2 as x", "1|2"),
        ("select 5 from dual", "5"),
        ("select nth_value(amount, 1) from first over (order by amount) from sales limit 1", "2"),
        ("select count(v) from (select parse_json(column1) as v from values ('1'), ('null'), (null))", "1"),
        ("select typeof(coalesce(parse_json('1'), 0)), typeof(ifnull(null, parse_json('[]')))", "INTEGER|ARRAY"),
        ("select try_cast('abcd' as char(2)), try_cast('ab' as char(2)), try_cast('abcd' as varchar)", "NULL|ab|abcd"),
        ("select hll_estimate(hll_import(hll_export(hll_accumulate(amount)))) from sales", "5"),
        (
            "select a, l, r from (select 1 as a, 'l' as l) x full join (select 2 as a, 'r' as r) y using (a) order by a",
            "1|l|NULL\n2|NULL|r",
        ),
        // a name that a join merged is the inner query's, though the outer one has it too
        (
            "with d as (select column1 as a, column2 as n from values (1, 10), (2, 20)) select n from d where a in \
             (select a from d x left join (select 2 as a, 5 as m) y using (a) group by a having coalesce(max(m), 0) = 0)",
            "10",
        ),
        (
            "with d as (select column1 as a from values (1), (2)) select count(*) from d o where exists \
             (select * from d x join (select 2 as a, 5 as m) y using (a) where a = o.a)",
            "1",
        ),
        ("select * from (select 1 as a, 'l' as l) x natural right join (select 2 as a, 'r' as r) y", "2|NULL|r"),
        ("select x.a, y.b from (values (1), (2)) as x (a), (values (1, 'q')) as y (a, b) where x.a = y.a(+) order by 1", "1|q\n2|NULL"),
        (
            "select l.t, r.t from (values (5), (1)) as l (t) asof join (values (2), (4), (6)) as r (t) match_condition (l.t >= r.t) order by 1",
            "1|NULL\n5|4",
        ),
        (
            "with r (n, s) as (select 1, 'x' union all select n + 1, s || 'y' from r where n < 3) select * from r order by n",
            "1|x\n2|xy\n3|xyy",
        ),
        ("select 1 as a, 2 as b union all by name select 3 as b, 4 as a order by a", "1|2\n4|3"),
        ("select 1 union select 2 minus select 2", "1"),
        ("create sequence s start 5 increment 2; select s.nextval, s.nextval", "5|7"),
        ("select 1 as q; select * from table(result_scan(last_query_id()))", "1"),
        (
            "create function f(a int) returns int as 'a + 1'; create function f(a varchar) returns varchar as $$ a || '!' $$; select f(1), f('x')",
            "2|x!",
        ),
        (
            "create function g(n int) returns table (x int) as 'select amount from sales where amount < n'; select x from table(g(5)) order by 1",
            "2\n4",
        ),
    ] {
        check(&format!("{SALES} {sql}"), expected).await;
    }
    const STAFF: &str = "create table staff (title text, id int, boss int);
        insert into staff values ('P', 1, null), ('V', 10, 1), ('W', 100, 10), ('H', 20, 1);";
    for (sql, expected) in [
        (
            "select id, level, connect_by_root title, sys_connect_by_path(title, '/') from staff start with title = 'P' connect by boss = prior id order by id",
            "1|1|P|/P\n10|2|P|/P/V\n20|2|P|/P/H\n100|3|P|/P/V/W",
        ),
        ("select level from (select 1) connect by level <= 3 order by 1", "1\n2\n3"),
    ] {
        check(&format!("{STAFF} {sql}"), expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_do_what_snowflake_says() {
    for (sql, expected) in [
        (
            "create table t (id int autoincrement start 10 increment 5, name varchar(5) not null, n number(10,2) default 1.5);
             insert into t (name) values ('a'), ('b'); insert into t (name, n) values ('c', default); select * from t order by id",
            "10|a|1.50\n15|b|1.50\n20|c|1.50",
        ),
        ("create table a (x int) as select 1; create table b clone a; insert into b values (2); select count(*) from a, b", "2"),
        ("create table a as select 1 as x; create table b as select 2 as x; alter table a swap with b; select x from a", "2"),
        ("create table a as select 1 as x; begin; insert into a values (2); delete from a where x = 1; rollback; select * from a", "1"),
        ("create table a as select 1 as x; begin; insert into a values (2); delete from a where x = 1; commit; select * from a", "2"),
        ("create table a as select 1 as x; create temporary table a (y int); drop table a; select x from a", "1"),
        ("create table a as select 1 as x; drop table a; undrop table a; select x from a", "1"),
        ("create table a as select 1 as x; delete from a; select * from a at (version => 0)", "1"),
        (
            "create table a (x int); create table b (x int); insert first when v > 2 then into a values (v) else into b select column1 as v from values (1), (3);
             select 'a', x from a union all select 'b', x from b order by 1",
            "a|3\nb|1",
        ),
        (
            "create table a as select column1 as x, 'o' as y from values (1), (2);
             update a set y = s.y from (select 1 as x, 'n' as y union all select 1, 'n') s where a.x = s.x; select * from a order by x",
            "1|n\n2|o",
        ),
        ("create table a as select 1 as x; delete from a using (select 1 as x union all select 1) s where a.x = s.x; select count(*) from a", "0"),
        ("create recursive view v (n) as select 1 union all select n + 1 from v where n < 3; select sum(n) from v", "6"),
        (
            "create table a (x int comment 'c', primary key (x)); comment on table a is 't'; select comment from information_schema.tables where table_name = 'A'",
            "t",
        ),
        ("create table a (x varchar(7)); select get_ddl('table', 'a')", "create or replace TABLE A (\n\tX VARCHAR(7)\n);"),
        ("create schema q; create table r (z int); use schema s; show terse tables in schema q limit 1; select count(*) from q.r", "0"),
    ] {
        check(sql, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_comes_second_is_a_conflict() {
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    use crate::engine::Engine;
    let (mut one, mut two) = (engine.session(), engine.session());
    script(one.as_mut(), "create table a as select 1 as x; begin; insert into a values (2)").await.expect("begins");
    assert_eq!(shown(&two.execute("select count(*) from a").await.expect("reads")), "1", "nothing is visible before the commit");
    two.execute("insert into a values (3)").await.expect("commits at once");
    let error = one.execute("commit").await.expect_err("conflicts");
    assert_eq!(error.code, "engine/conflict");
    assert_eq!(shown(&one.execute("select count(*) from a").await.expect("reads")), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_columns_hold_for_every_change() {
    for (sql, part) in [
        ("insert into t values (null, 'a')", "NULL result in the non-nullable column `ID`"),
        ("insert into t values (1, 'abcd')", "too long"),
        ("insert into t (name) values ('a')", "non-nullable"),
        ("insert into t values (1, 'a'); update t set name = 'abcd'", "too long"),
        ("insert into t values (1, 'a'); update t set id = null", "non-nullable"),
        ("merge into t using (select 1 as i) s on t.id = s.i when not matched then insert values (s.i, 'abcd')", "too long"),
        ("create or replace table t (id int not null, name varchar(3)) as select 1, 'abcd'", "too long"),
        ("alter table t alter column name set data type int", "cannot change"),
    ] {
        let folder = tempfile::tempdir().expect("temp");
        let engine = engine(&folder);
        use crate::engine::Engine;
        let mut session = engine.session();
        session.execute("create table t (id int not null, name varchar(3))").await.expect("made");
        let error = script(session.as_mut(), sql).await.expect_err(sql);
        assert!(error.message.contains(part), "{sql}: {}", error.message);
    }
}

/// Comparisons whose answer is not that of the stored bytes: NULLs among the values, collations, zones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_compare_as_snowflake_compares() {
    const STAFF: &str = "create table e (id int, mgr int, name varchar collate 'en-ci');
        insert into e values (1, null, 'Ann'), (10, 1, 'bob'), (20, 1, 'BOB'), (100, 10, 'ann');";
    const ZONES: &str = "create table z (b timestamp_tz); insert into z values ('2024-01-01 10:00:00 +0200');";
    const UTC: &str = "select '2024-01-01 08:00:00 +0000'::timestamp_tz as b";
    let staff = |sql: &str| format!("{STAFF} {sql}");
    let zones = |sql: &str| format!("{ZONES} {}", sql.replace("UTC", UTC));
    for (sql, expected) in [
        (staff("select id from e where id > all (select id from e where mgr = 1) order by id"), "100"),
        (staff("select id from e where id >= any (select id from e where mgr = 1) order by id"), "10\n20\n100"),
        (staff("select id > all (select mgr from e), id > any (select mgr from e) from e where id = 20"), "NULL|true"),
        (staff("select id > all (select 1 where false), id > any (select 1 where false) from e where id = 1"), "true|false"),
        (
            staff("select id in (select mgr from e), id not in (select mgr from e) from e order by id"),
            "true|false\ntrue|false\nNULL|NULL\nNULL|NULL",
        ),
        (staff("select id = any (select 10), id <> all (select 10) from e where id < 20 order by id"), "false|true\ntrue|false"),
        (staff("select count(*) from e where name = 'ANN'"), "2"),
        (staff("select count(*) from e where name in ('BoB', 'x')"), "2"),
        (staff("select count(*) from e where name in (select 'ANN')"), "2"),
        (staff("select count(*) from e where collate(name, 'upper') like 'b%' and collate(name, '') like 'b%'"), "1"),
        (staff("select count(*) from e where name between 'AA' and 'AZ'"), "2"),
        (staff("select count(distinct name), collation(max(name)) from e"), "2|en-ci"),
        (staff("select count(*) from (select name from e group by name)"), "2"),
        (staff("select count(*) from (select distinct name from e)"), "2"),
        (staff("select count(*) from e a join e b on a.name = b.name"), "8"),
        (staff("select count(*) from e a join e b using (name)"), "8"),
        (staff("select distinct collation(name) from e"), "en-ci"),
        (staff("select id from e order by name, id"), "1\n100\n10\n20"),
        (staff("select count(*) over (partition by name) from e where id = 1 or id = 100"), "2\n2"),
        (zones("select count(*) from (select b from z intersect UTC)"), "1"),
        (zones("select count(*) from (select b from z except UTC)"), "0"),
        (zones("select count(*) from z join (UTC) y using (b)"), "1"),
        (zones("select count(*) from z natural join (UTC) y"), "1"),
        (zones("select count(*) from z where b in (UTC)"), "1"),
    ] {
        let folder = tempfile::tempdir().expect("temp");
        let engine = engine(&folder);
        use crate::engine::Engine;
        let outcome = script(engine.session().as_mut(), &sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        assert_eq!(shown(&outcome), expected, "{sql}");
    }
}

/// What set operators make of columns that differ: the longest text, the number of a text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_of_set_operators_meet() {
    const T: &str = "create table s (a varchar(2)); create table l (a varchar(5));
        insert into s values ('ab'); insert into l values ('abcde');";
    for (sql, expected) in [
        (format!("{T} create table u as select a from l union all select a from s; select a from u order by a"), "ab\nabcde"),
        (format!("{T} create table u as select a from s union select a from l; select a from u order by a"), "ab\nabcde"),
        (format!("{T} create table u as select a from s union all select 'abcdefgh'; select a from u order by a"), "ab\nabcdefgh"),
        (format!("{T} create table u as select upper(a) as a from l union all select a from s; select a from u order by a"), "ABCDE\nab"),
        (
            "create table c as select 'ab'::varchar(4) as a, 'x' as b; describe table c ->> select \"type\" from $1".to_owned(),
            "VARCHAR(4)\nVARCHAR(16777216)",
        ),
        ("select n from (select 1 as n union all select '2.5') order by n".to_owned(), "1.00000\n2.50000"),
        ("select n from (select 1.5::float as n union all select '2') order by n".to_owned(), "1.5\n2"),
        ("select max(a) = 'D', min(a) over () = 'D' from (select collate('d', 'en-ci') as a) group by a".to_owned(), "true|true"),
        ("select count(*) from (select 1 as a union all select 2) group by ()".to_owned(), "2"),
        ("select (1, 2) in ((1, 2), (3, null)), (1, null) in ((1, 2)), (1, 2) not in ((3, null))".to_owned(), "true|NULL|true"),
    ] {
        let folder = tempfile::tempdir().expect("temp");
        let engine = engine(&folder);
        use crate::engine::Engine;
        let outcome = script(engine.session().as_mut(), &sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        assert_eq!(shown(&outcome), expected, "{sql}");
    }
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    use crate::engine::Engine;
    let error = script(engine.session().as_mut(), "select 1 union all select 'a'").await.expect_err("no number");
    assert!(error.message.contains("numeric value 'a' is not recognized"), "{}", error.message);
}

/// Spellings of Snowflake's that sqlparser does not read, and what it refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spellings_answer_as_snowflake_answers() {
    const T: &str = "create table t (k int, v int); insert into t values (1, 10), (2, 20);";
    for (sql, expected) in [
        (format!("{T} select nth_value(v, 1) from last over (order by k), nth_value(v, 1) from first over (order by k) from t order by k"), "20|10\n20|10"),
        ("select array_agg(distinct v) within group (order by v desc), array_agg(distinct v) within group (order by v) from values (1), (3), (3) as t (v)".to_owned(), "[3,1]|[1,3]"),
        ("select interpolate_linear(v) over (order by d) from values ('2024-01-01'::date, 1.5), ('2024-01-02'::date, null), ('2024-01-05'::date, 3.5) as t (d, v) order by d".to_owned(), "1.5\n2.0\n3.5"),
        ("select greatest(** [1, 5, 3]), 2 in (** [1, 2]), coalesce(** [null, 'x'])".to_owned(), "5|true|x"),
        ("select like('abc', 'a%'), ilike('ABC', 'a%'), like('a%c', 'a^%c', '^')".to_owned(), "true|true|true"),
        ("select coalesce(d, s) from (select null::date as d, '2024-02-02' as s)".to_owned(), "2024-02-02"),
        ("select not 0, true and 1, not x from (select 2 as x)".to_owned(), "true|true|false"),
        ("select 'abc'::varchar(3), 'a'::char, try_cast('abcd' as char(2))".to_owned(), "abc|a|NULL"),
        ("select system$typeof(1), system$typeof(250)".to_owned(), "NUMBER(1,0)[SB1]|NUMBER(3,0)[SB2]"),
        (format!("{T} merge into t using (select 2 as k, 22 as v union all select 3, 33) s on t.k = s.k when matched then update all by name when not matched then insert all by name; select * from t order by k"), "1|10\n2|22\n3|33"),
        (format!("{T} show tables ->> select \"name\" from $1"), "T"),
        (format!("{T} select k from t ->> select k + 1 as k from $1 ->> select a.k, b.k from $1 a join $2 b on a.k = b.k"), "2|2"),
    ] {
        let folder = tempfile::tempdir().expect("temp");
        let engine = engine(&folder);
        use crate::engine::Engine;
        let outcome = script(engine.session().as_mut(), &sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        assert_eq!(shown(&outcome), expected, "{sql}");
    }
    for (sql, part) in [
        ("select rank() over (partition by a) from (select 1 as a)", "needs ORDER BY"),
        ("select lag(a) over () from (select 1 as a)", "needs ORDER BY"),
        ("select count(distinct a) over (order by a) from (select 1 as a)", "DISTINCT"),
        ("select 'abcd'::varchar(3)", "too long"),
        ("select 'abcd'::char", "too long"),
        ("create table c (a varchar collate 'xx-yy-zz')", "not a collation"),
        ("create table c (a varchar collate 'en-ci'); select a like 'x%' from c", "collation"),
    ] {
        let folder = tempfile::tempdir().expect("temp");
        let engine = engine(&folder);
        use crate::engine::Engine;
        let error = script(engine.session().as_mut(), sql).await.expect_err(sql);
        assert!(error.message.contains(part), "{sql}: {}", error.message);
    }
}

/// Constructs of Snowflake's grammar that the local engine does not run: each is named, with its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_supported_says_so_at_its_place() {
    const REFUSED: &[&str] = &[
        "grant select on table t to role r",
        "revoke select on table t from role r",
        "copy into t from @st",
        "put file:///x @st",
        "get @st file:///x",
        "list @st",
        "remove @st",
        "execute immediate from @st/x.sql",
        "execute task x",
        "call p()",
        "create materialized view v as select 1",
        "create or replace dynamic table d target_lag = '1 minute' warehouse = w as select 1",
        "create external table e (a int)",
        "create hybrid table h (a int primary key)",
        "create stage st",
        "create or replace file format f type = csv",
        "create pipe p as copy into t from @st",
        "create stream s on table t",
        "create task x schedule = '1 minute' as select 1",
        "create procedure p() returns int as 'begin return 1; end'",
        "create warehouse w",
        "create role r",
        "create user u",
        "create masking policy m as (v int) returns int -> v",
        "create tag x",
        "create secret s type = password",
        "create index i on t (a)",
        "create function f(a int) returns int language python as 'x'",
        "create function f(a int) returns int language javascript as 'return 1'",
        "create table t using template (select 1)",
        "create table t (a int, check (a > 0))",
        "create table t (a int masking policy m)",
        "create table t (a int, b int as (a + 1))",
        "alter warehouse w suspend",
        "drop stage st",
        "show warehouses",
        "describe stage st",
        "undrop view v",
        "select * from @st",
        "select 1 into x",
        "select distinct on (a) a from (select 1 as a)",
        "select * from (select 1 as a) for update",
        "select * from (select 1 as a) match_recognize (order by a measures first(a) as f pattern (x) define x as true)",
        "select * from semantic_view(v dimensions d)",
        "select top 5 percent a from (select 1 as a)",
        "select a from (select 1 as a) sample (1000001 rows)",
        "select * from (select 1 as a) start with a = 1 connect by nocycle prior a = a",
    ];
    let folder = tempfile::tempdir().expect("temp");
    let engine = engine(&folder);
    use crate::engine::Engine;
    for sql in REFUSED {
        let error = engine.session().execute(sql).await.expect_err(sql);
        assert!(matches!(error.code, "sql/unsupported" | "sql/syntax" | "sql/sample"), "{sql}: {error:?}");
        assert!(error.at.is_some(), "{sql}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_expressions_are_planned() {
    let sum = (0..150).map(|i| format!("x{}", i % 5)).collect::<Vec<_>>().join(" + ");
    let any = (0..200).map(|i| format!("x0 = {i}")).collect::<Vec<_>>().join(" or ");
    let columns = "select 1 as x0, 2 as x1, 3 as x2, 4 as x3, 5 as x4";
    check(&format!("select {sum} as s from ({columns}) where {any}"), "450").await;
}
