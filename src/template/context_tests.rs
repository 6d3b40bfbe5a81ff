//! dbt's context, as tables; places of faults; the source map.

use std::{cell::RefCell, sync::Arc};

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::*;
use crate::{
    diagnostic::{Diagnostics, Place, SourceFile},
    names::{RelationName, ResourceType, SchemaName},
};

const MACROS: &str = "\
{% macro hello(name='you') %}hello {{ name }}{% endmacro %}
{% macro fails() %}{{ exceptions.raise_compiler_error('broken on purpose') }}{% endmacro %}
{% macro outer() %}
  {{ fails() }}
{% endmacro %}
{% macro datafusion__pick() %}ours{% endmacro %}
{% macro default__pick() %}default{% endmacro %}
{% macro snowflake__choose() %}snow{% endmacro %}
{% macro loops() %}{{ loops() }}{% endmacro %}
{% macro wrap() %}<{{ caller() }}>{% endmacro %}
{% macro uses_ref() %}select * from {{ ref('inner_model') }}{% endmacro %}
{% test positive(model, column_name, low=0) %}select * from {{ model }} where {{ column_name }} < {{ low }}{% endtest %}
";

fn environment() -> Environment {
    let mut context = ProjectContext::new("shop");
    let json = |v: Json| v.as_object().cloned().unwrap_or_default();
    context.target = json(json!({"name": "dev", "type": "datafusion", "schema": "DEV", "database": "DB", "threads": 4}));
    context.vars = json(json!({"start": "2020-01-01", "list": [1, 2]}));
    context.package_vars.insert("shop".into(), json(json!({"mine": 1})));
    context.cli_vars = json(json!({"start": "2024-01-01"}));
    context.env = Arc::new(|name| (name == "REGION" || name == "DBT_ENV_SECRET_X").then(|| "kr".to_owned()));
    context.docs.insert("about".into(), "text".into());
    let macros = [
        MacroFile { package: "shop".into(), file: SourceFile::new("macros/m.sql", MACROS) },
        MacroFile {
            package: "tools".into(),
            file: SourceFile::new(
                "dbt_packages/tools/macros/t.sql",
                "{% macro star(a) %}*{{ a }}{{ helper() }}{% endmacro %}{% macro helper() %}!{% endmacro %}",
            ),
        },
    ];
    Environment::new(context, &macros).unwrap_or_else(|d| panic!("{d:?}"))
}

struct Graph;

impl Resolver for Graph {
    fn resolve_ref(&self, _: Option<&str>, name: &str, _: Option<&str>) -> Result<Resolved, RefError> {
        match name {
            "eph" => Ok(Resolved::Ephemeral { name: name.into() }),
            "gone" => Err(RefError { code: "graph/unknown-ref", message: "no model is named `gone`".into(), help: None }),
            _ => Ok(Resolved::Relation { name: RelationName::parse_parts("db", "dev", name), kind: "table".into(), event_time: None }),
        }
    }

    fn resolve_source(&self, source: &str, table: &str) -> Result<Resolved, RefError> {
        Ok(Resolved::Relation { name: RelationName::parse_parts("db", source, table), kind: String::new(), event_time: None })
    }
}

#[derive(Default)]
struct Lake {
    asked: RefCell<Vec<String>>,
}

impl Warehouse for Lake {
    fn relation(&self, name: &RelationName) -> Result<Option<RelationFacts>, String> {
        Ok((name.name.as_str() == "M").then(|| RelationFacts { kind: "table".into() }))
    }

    fn relations(&self, _: &SchemaName) -> Result<Vec<(RelationName, RelationFacts)>, String> {
        Ok(vec![])
    }

    fn columns(&self, _: &RelationName) -> Result<Vec<ColumnFacts>, String> {
        Ok(vec![
            ColumnFacts { name: "ID".into(), data_type: "NUMBER(38,0)".into() },
            ColumnFacts { name: "T".into(), data_type: "VARCHAR".into() },
        ])
    }

    fn query(&self, sql: &str) -> Result<ResultTable, String> {
        self.asked.borrow_mut().push(sql.trim().to_owned());
        if sql.contains("schemata") {
            let rows = vec![vec![Cell::Int(i64::from(sql.contains("'RAW'")))]];
            return Ok(ResultTable { columns: vec!["N".into()], rows, ..ResultTable::default() });
        }
        if sql.contains("boom") {
            return Err("no such table".into());
        }
        Ok(ResultTable {
            columns: vec!["GENRE".into(), "N".into()],
            types: vec!["VARCHAR".into(), "NUMBER(38,0)".into()],
            rows: vec![vec![Cell::Text("rock".into()), Cell::Int(1)], vec![Cell::Text("pop".into()), Cell::Decimal("2".into())]],
            message: "SUCCESS 2".into(),
            rows_affected: Some(2),
        })
    }
}

fn node() -> NodeContext {
    let mut node = NodeContext::new(ResourceType::Model, "shop", "m");
    node.this = Some(RelationName::parse_parts("db", "dev", "m"));
    node.config = Arc::new(IndexMap::from([("materialized".to_owned(), json!("incremental")), ("owner".to_owned(), json!("ann"))]));
    node
}

fn first_line(d: &Diagnostics) -> String {
    let d = &d.0[0];
    let text = d.place.as_ref().map_or(String::new(), |p| format!("{} {}", p.file.path.display(), &p.file.text[p.range.clone()]));
    format!("{} {} @{text}", d.code, d.message)
}

fn render(template: &str) -> Result<Rendered, Diagnostics> {
    let file = SourceFile::new("models/m.sql", template);
    environment().render(&file, 0..template.len(), &node(), &Graph, &Lake::default())
}

#[track_caller]
fn check(template: &str, expect: &str) {
    match render(template) {
        Ok(r) => assert_eq!(r.sql.trim(), expect, "{template}"),
        Err(d) => panic!("{template}: {}", first_line(&d)),
    }
}

#[track_caller]
fn fails(template: &str, expect: &str) {
    match render(template) {
        Ok(r) => panic!("{template}: {}", r.sql),
        Err(d) => assert_eq!(first_line(&d), expect, "{template}"),
    }
}

#[test]
fn references_and_values() {
    for (template, expect) in [
        ("{{ ref('a') }} {{ ref('pkg', 'a') }} {{ ref('a', v=2) }} {{ source('raw', 'x') }}", "DB.DEV.A DB.DEV.A DB.DEV.A DB.RAW.X"),
        ("{{ ref('eph') }}", "__dbt__cte__eph"),
        ("{{ this }} {{ this.schema }} {{ this.identifier }} {{ this.name }} {{ this.include(database=false) }}", "DB.DEV.M DEV m m DEV.M"),
        ("{{ this.quote(identifier=true) }} {{ this.incorporate(path={'identifier': 'b'}) }}", "DB.DEV.\"M\" DB.DEV.B"),
        ("{{ ref('a').is_table }} {{ ref('a') == ref('a') }} {{ ref('a').type }}", "True True table"),
        ("{{ api.Relation.create(database='d', schema='s', identifier='\"i\"') }}", "D.S.\"i\""),
        (
            "{{ var('start') }} {{ var('mine') }} {{ var('list')[1] }} {{ var('none', 'd') }} {{ var.has_var('x') }}",
            "2024-01-01 1 2 d False",
        ),
        ("{{ env_var('REGION') }} {{ env_var('NO', 'd') }}", "kr d"),
        ("{{ target.name }} {{ target['schema'] }} {{ target.threads + 1 }} {{ execute }} {{ project_name }}", "dev DEV 5 True shop"),
        ("{{ config(materialized='table') }}x{{ config.get('owner') }}{{ config.get('no', 'd') }}", "xannd"),
        ("{{ model.name }} {{ model.config.materialized }} {{ model['unique_id'] }} {{ graph.nodes }}", "m incremental model.shop.m {}"),
        ("{{ is_incremental() }} {{ should_full_refresh() }} {{ flags.FULL_REFRESH }}", "True False False"),
        ("{{ builtins.ref('a').include(schema=false, database=false) }} {{ context['target'].name }}", "A dev"),
        ("{{ doc('about') }} {{ local_md5('a') }}", "text 0cc175b9c0f1b6a831c399e269772661"),
        ("{{ fromjson('{\"a\": [1]}').a[0] }} {{ tojson({'a': 1}) }} {{ fromyaml('a: 1').a }}", "1 {\"a\": 1} 1"),
        ("{{ '5' | as_number + 1 }} {{ 'true' | as_bool }}", "6 True"),
        ("{{ convert_datetime('2025-02-28', '%Y-%m-%d') }}", "2025-02-28 00:00:00"),
        ("{{ dates_in_range('20250227', '20250301') }}", "['20250227', '20250228', '20250301']"),
        ("{{ dates_in_range('2025-03-01', in_fmt='%Y-%m-%d', out_fmt='%d.%m.') }}", "['01.03.']"),
        ("{{ partition_range('20250101,20250102') }} {{ dbt.partition_range(20250103) }}", "['20250101', '20250102'] ['20250103']"),
        ("{{ py_current_timestring() | length }}", "20"),
        (
            "{% set f = modules.datetime.datetime.strptime %}{{ f('7', '%d') }} {{ f('202503', '%Y%m') }}",
            "1900-01-07 00:00:00 2025-03-01 00:00:00",
        ),
        ("{{ convert_datetime('13:05', '%H:%M') }} {{ convert_datetime('2024-060', '%Y-%j') }}", "1900-01-01 13:05:00 2024-02-29 00:00:00"),
        ("{{ dbt_version }} {{ run_started_at.strftime('%Y-%m-%d') }} {{ run_started_at }}", "1.11.0 1970-01-01 1970-01-01 00:00:00+00:00"),
    ] {
        check(template, expect);
    }
}

#[test]
fn macros_and_dispatch() {
    for (template, expect) in [
        ("{{ hello() }} {{ hello('me') }} {{ shop.hello(name=1) }}", "hello you hello me hello 1"),
        ("{{ adapter.dispatch('pick')() }} {{ adapter.dispatch('choose', 'shop')() }}", "ours snow"),
        ("{{ tools.star(1) }}", "*1!"),
        ("{% call wrap() %}{{ 1 + 1 }}{% endcall %}", "<2>"),
        ("{{ dbt.type_string() }} {{ type_int() }} {{ dbt.dateadd('day', 1, 'd') }}", "VARCHAR INT dateadd(day, 1, d)"),
        (
            "{{ dbt.concat(['a', 'b']) }} {{ dbt.safe_cast('x', type_int()) }} {{ dbt.hash('x') }}",
            "a || b try_cast(cast(x as VARCHAR) as INT) md5(cast(x as VARCHAR))",
        ),
        (
            "{{ dbt.escape_single_quotes(\"it's\") }} {{ dbt.split_part('a', \"','\", 2) }} {{ dbt.date(2024, 1, 5) }}",
            "it''s split_part(a, ',', 2) to_date('2024-01-05')",
        ),
        ("{{ dbt.last_day('d', 'month') }}", "cast(dateadd(day, -1, dateadd(month, 1, date_trunc('month', d))) as date)"),
        ("{{ get_powers_of_two(100) }} {{ generate_schema_name('x', none) }} {{ generate_schema_name(none) }}", "7 DEV_x DEV"),
        ("{{ generate_alias_name(none, {'name': 'n', 'version': none}) }} {{ generate_database_name('o', none) }}", "n o"),
        ("{{ get_where_subquery(ref('a')) }}", "DB.DEV.A"),
        ("{% macro local() %}{{ hello(2) }}{% endmacro %}{{ local() }}", "hello 2"),
    ] {
        check(template, expect);
    }
}

#[test]
fn the_warehouse_answers() {
    for (template, expect) in [
        (
            "{% set r = run_query('select 1') %}{{ r.columns[0].values() }} {{ r.rows[1]['genre'] }} {{ r.rows[1].N }} {{ r.column_names }}",
            "('rock', 'pop') pop 2 ('GENRE', 'N')",
        ),
        ("{% for row in run_query('x') %}{{ row[0] }}={{ row.n }} {% endfor %}", "rock=1 pop=2"),
        (
            "{% call statement('s', fetch_result=True) %}select 2{% endcall %}{{ load_result('s').data[0][0] }}{{ load_result('s')['table'].rows | length }}",
            "rock2",
        ),
        (
            "{{ adapter.get_relation(database='db', schema='dev', identifier='m').is_table }} {{ load_relation(ref('zzz')) is none }}",
            "True True",
        ),
        (
            "{% for c in adapter.get_columns_in_relation(this) %}{{ c.name }}:{{ c.data_type }}:{{ c.is_string() }} {% endfor %}",
            "ID:NUMBER(38,0):False T:VARCHAR:True",
        ),
        ("{{ adapter.quote('a') }} {{ adapter.type() }}", "\"a\" datafusion"),
        ("{{ adapter.check_schema_exists('db', 'raw') }} {{ adapter.check_schema_exists('db', 'no') }}", "True False"),
        ("{{ adapter.already_exists('dev', 'm') }} {{ adapter.already_exists(schema='dev', name='n') }}", "True False"),
        (
            "{{ adapter.list_relations_without_caching(schema_relation=this.without_identifier()) }} {{ adapter.list_relations('db', 'dev') }}",
            "[] []",
        ),
    ] {
        check(template, expect);
    }
}

#[test]
fn python_modules() {
    for (template, expect) in [
        (
            "{% set d = modules.datetime.date(2024, 2, 28) + modules.datetime.timedelta(days=2) %}{{ d }} {{ d.year }} {{ d.strftime('%Y%m') }} {{ d.weekday() }}",
            "2024-03-01 2024 202403 4",
        ),
        (
            "{% set a = modules.datetime.datetime.strptime('2024-01-02 03:04', '%Y-%m-%d %H:%M') %}{{ a }} {{ a.isoformat() }} {{ (a - modules.datetime.timedelta(hours=4)).date() }}",
            "2024-01-02 03:04:00 2024-01-02T03:04:00 2024-01-01",
        ),
        (
            "{% set a = modules.datetime.date(2024, 1, 1) %}{% set b = modules.datetime.date(2024, 3, 1) %}{{ (b - a).days }} {{ a < b }}",
            "60 True",
        ),
        (
            "{{ modules.datetime.date.fromisoformat('2024-01-01').isoformat() }} {{ run_started_at.astimezone(modules.pytz.timezone('Asia/Seoul')) }}",
            "2024-01-01 1970-01-01 09:00:00+09:00",
        ),
        (
            "{{ modules.re.sub('(a)(b)', '\\\\2\\\\1', 'abab') }} {{ modules.re.match('a+', 'aab').group(0) }} {{ modules.re.search('z', 'a') is none }}",
            "baba aa True",
        ),
        ("{{ modules.re.findall('[0-9]+', 'a1b22') }} {{ modules.re.split(',', 'a,b') }}", "['1', '22'] ['a', 'b']"),
        (
            "{{ modules.itertools.product([1,2], ['a']) | list }} {{ modules.itertools.chain([1], [2]) | list }} {{ modules.itertools.combinations([1,2,3], 2) | length }}",
            "[(1, 'a'), (2, 'a')] [1, 2] 3",
        ),
    ] {
        check(template, expect);
    }
}

#[test]
fn faults_have_exact_places() {
    for (template, expect) in [
        ("select {{ var('strt') }}", "template/var required var `strt` is not set @models/m.sql var('strt')"),
        ("{{ env_var('NOPE') }}", "template/env-var the environment variable `NOPE` is not set @models/m.sql env_var('NOPE')"),
        (
            "{{ env_var('DBT_ENV_SECRET_X') }}",
            "template/secret the secret `DBT_ENV_SECRET_X` cannot be used here @models/m.sql env_var('DBT_ENV_SECRET_X')",
        ),
        ("from {{ ref('gone') }} c", "graph/unknown-ref no model is named `gone` @models/m.sql 'gone'"),
        ("{{ helo() }}", "template/undefined `helo` is undefined @models/m.sql helo"),
        ("{{ ref(1) }}", "template/type `ref` needs the name of a model as a string, not `int` @models/m.sql ref(1)"),
        ("{{ run_query('boom') }}", "template/query a query of the template failed: no such table @builtin/queries.sql adapter.execute"),
        (
            "{{ convert_datetime('soon', '%Y') }}",
            "template/raised the date 'soon' does not match the format '%Y' @builtin/calendar.sql try_or_compiler_error(message, modules.datetime.datetime.strptime, (date_str | string).strip(), date_fmt)",
        ),
        ("{{ outer() }}", "template/raised broken on purpose @macros/m.sql exceptions.raise_compiler_error"),
        ("{{ loops() }}", "template/recursion macros call each other more than 200 deep @macros/m.sql loops()"),
        ("{{ config.require('z') }}", "template/config `m` needs the configuration `z` @models/m.sql config.require"),
        ("{{ tools.sta() }}", "template/undefined the package `tools` has no macro `sta` @models/m.sql tools.sta"),
        (
            "{{ adapter.dispatch('nix')() }}",
            "template/dispatch no variant of the macro `nix` for this engine @models/m.sql adapter.dispatch",
        ),
    ] {
        fails(template, expect);
    }
    let stack = render("a {{ outer() }}").err().map(|d| d.0[0].related.iter().map(|(p, l)| format!("{p} {l}")).collect::<Vec<_>>());
    assert_eq!(stack, Some(vec!["macros/m.sql:4:6 `fails` is called here".into(), "models/m.sql:1:6 `outer` is called here".into()]));
    let help = render("{{ helo() }}").err().and_then(|d| d.0[0].help.clone());
    assert_eq!(help.as_deref(), Some("there is `hello`"));
}

#[test]
fn collecting_reports_references_and_configuration() {
    let text = "{{ config(materialized='table', tags=['a'], meta={'x': 1}) }}{{ config(tags='b', meta={'y': 2}, pre_hook='do') }}\
                select * from {{ ref('one') }} join {{ ref('p', 'two', v=3) }} join {{ source('s', 't') }} {{ uses_ref() }} {{ var('mine') }} {{ var('unset') }}\
                {% if execute %}{{ ref('never') }}{% endif %}{% if is_incremental() %}{{ ref('nor') }}{% endif %}{% set r = run_query('x') %}{% if r %}x{% endif %}\
                {{ log('note') }}{% do exceptions.warn('careful') %}{{ env_var('REGION') }}";
    let file = SourceFile::new("models/m.sql", text);
    let collected = environment().collect(&file, 0..text.len(), &node()).unwrap_or_else(|d| panic!("{}", first_line(&d)));
    let refs: Vec<_> = collected
        .refs
        .iter()
        .map(|r| (r.package.as_deref(), r.name.as_str(), r.version.as_deref(), &r.place.file.text[r.place.range.clone()]))
        .collect();
    assert_eq!(refs, [(None, "one", None, "'one'"), (Some("p"), "two", Some("3"), "'two'"), (None, "inner_model", None, "'inner_model'")]);
    assert_eq!(collected.sources.iter().map(|s| format!("{}.{}", s.source, s.table)).collect::<Vec<_>>(), ["s.t"]);
    let config: IndexMap<_, _> = collected.config.iter().map(|(k, (v, _))| (k.as_str(), v.clone())).collect();
    assert_eq!(config["materialized"], json!("table"));
    assert_eq!(config["tags"], json!(["a", "b"]));
    assert_eq!(config["meta"], json!({"x": 1, "y": 2}));
    assert_eq!(config["pre-hook"], json!("do"));
    assert!(collected.macros.contains("shop.uses_ref") && collected.macros.contains("dbt.is_incremental"));
    assert!(collected.vars.contains("unset") && collected.env_vars.contains("REGION"));
    assert_eq!(collected.logs, [LogLine { info: false, message: "note".into() }]);
    assert_eq!(collected.warnings.len(), 1);
}

#[test]
fn rendered_text_leads_back_to_the_template() {
    let text = "select a,\n  {{ hello('x') }} b,\n  {{ var('mine') }} c\nfrom t {{ hello() | upper }} {% for i in [1, 2] %}col{{ i }}{% endfor %} end";
    let rendered = render(text).unwrap_or_else(|d| panic!("{}", first_line(&d)));
    let place = |part: &str| {
        let at = rendered.sql.find(part).unwrap_or_else(|| panic!("no {part} in {}", rendered.sql));
        let (place, stack) = rendered.map.place(at..at + part.len()).unwrap_or_else(|| panic!("{part} has no place"));
        let stack: Vec<_> = stack.iter().map(|(p, label)| format!("{}={label}", &p.file.text[p.range.clone()])).collect();
        (place.file.text[place.range].to_owned(), stack)
    };
    for (part, expect, stack) in [
        ("select a", "select a", vec![]),
        (" b,", " b,", vec![]),
        ("1", "var('mine')", vec![]),
        ("hello", "hello('x')", vec!["hello=in macro `hello`"]),
        ("x", "hello('x')", vec!["name=in macro `hello`"]),
        ("HELLO YOU", "hello() | upper", vec![]),
        ("col2", "col", vec![]),
        ("end", "end", vec![]),
    ] {
        assert_eq!(place(part), (expect.to_owned(), stack.into_iter().map(str::to_owned).collect()), "{part}");
    }
    let shifted = with_ctes(rendered, &[("e".into(), "select 1".into())]);
    let at = shifted.sql.find("end").expect("there");
    let (place, _) = shifted.map.place(at..at + 3).expect("has a place");
    assert_eq!(&place.file.text[place.range], "end");
    assert!(shifted.map.place(3..5).is_none());
}

#[test]
fn generic_tests_are_called() {
    let file = SourceFile::new("models/a.yml", "tests:\n  - positive:\n      low: \"{{ var('mine') }}\"\n");
    let place = Place::new(&file, 11..file.text.len());
    let call = |name: &str, arguments: Json| TestCall {
        name: name.into(),
        model: "ref('orders')".into(),
        arguments: arguments.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
        place: place.clone(),
    };
    let environment = environment();
    let mut node = NodeContext::new(ResourceType::Test, "shop", "t");
    let sql = |test: &TestCall, node: &NodeContext| {
        let rendered = environment.render_test(test, node, &Graph, &NoWarehouse).unwrap_or_else(|d| panic!("{}", first_line(&d)));
        rendered.sql.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let positive = call("positive", json!({"column_name": "n", "low": "{{ var('mine') }}"}));
    assert_eq!(sql(&positive, &node), "select * from DB.DEV.ORDERS where n < 1");
    assert_eq!(sql(&call("not_null", json!({"column_name": "n"})), &node), "select n from DB.DEV.ORDERS where n is null");
    assert!(sql(&call("unique", json!({"column_name": "n"})), &node).contains("having count(*) > 1"));
    let values = call("accepted_values", json!({"column_name": "n", "values": ["a", "it's"]}));
    assert!(sql(&values, &node).ends_with("not in ( 'a', 'it''s' )"), "{}", sql(&values, &node));
    let relationships = call("relationships", json!({"column_name": "n", "to": "ref('users')", "field": "id"}));
    assert!(sql(&relationships, &node).contains("from DB.DEV.USERS"));
    let collected = environment.collect_test(&relationships, &node).unwrap_or_else(|d| panic!("{}", first_line(&d)));
    let mut names: Vec<_> = collected.refs.iter().map(|r| r.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["orders", "users"]);
    assert!(collected.refs.iter().all(|r| r.place.file.path == file.path));
    node.config = Arc::new(IndexMap::from([("where".to_owned(), json!("d > 1"))]));
    assert_eq!(sql(&positive, &node), "select * from (select * from DB.DEV.ORDERS where d > 1) dbt_subquery where n < 1");
    let unknown = environment.collect_test(&call("positve", json!({})), &node).expect_err("unknown");
    assert_eq!(
        (unknown.0[0].message.as_str(), unknown.0[0].help.as_deref()),
        ("no generic test is named `positve`", Some("there is `positive`"))
    );
}

#[test]
fn yaml_texts_keep_their_types() {
    let environment = environment();
    let file = SourceFile::new("dbt_project.yml", "x: \"{{ env_var('NOPE') }}\"\n");
    let place = Place::new(&file, 3..file.text.len() - 1);
    for (text, expect) in [
        ("plain", json!("plain")),
        ("{{ var('list') }}", json!([1, 2])),
        ("{{ env_var('REGION') }}", json!("kr")),
        (" a-{{ env_var('REGION') }} ", json!(" a-kr ")),
        ("{{ env_var('PORT', '80') | as_number }}", json!(80)),
        ("{{ target.name == 'dev' }}", json!(true)),
    ] {
        assert_eq!(environment.render_yaml_text(text, &place).ok(), Some(expect), "{text}");
    }
    let fault = environment.render_yaml_text("{{ env_var('NOPE') }}", &place).expect_err("not set");
    assert_eq!(first_line(&fault), "template/env-var the environment variable `NOPE` is not set @dbt_project.yml env_var('NOPE')");
    let secret = "{{ env_var('DBT_ENV_SECRET_X') }}";
    assert!(environment.render_yaml_text(secret, &place).is_err());
    assert_eq!(environment.render_yaml_text_with_secrets(secret, &place).ok(), Some(json!("kr")));
}

#[test]
fn macros_are_called_from_outside() {
    let environment = environment();
    let call = |name: &str, args: Vec<Json>| MacroCall { name: name.into(), args, ..MacroCall::default() };
    let run = |c: &MacroCall| environment.call_macro(c, None, &node(), &Graph, &NoWarehouse);
    assert_eq!(run(&call("generate_schema_name", vec![json!("x"), json!({})])).map(|r| r.value).ok(), Some(json!("DEV_x")));
    assert_eq!(run(&call("tools.star", vec![json!(1)])).map(|r| r.text).ok().as_deref(), Some("*1!"));
    let unknown = run(&call("helo", vec![])).expect_err("unknown");
    assert_eq!(unknown.0[0].help.as_deref(), Some("there is `hello`"));
    assert!(
        environment.has_macro("hello")
            && environment.has_macro("dbt.dateadd")
            && environment.has_macro("star")
            && !environment.has_macro("x.y")
    );
    assert_eq!(environment.macro_place("hello").map(|p| p.to_string()).as_deref(), Some("macros/m.sql:1:10"));
    assert_eq!(environment.macro_place("test_positive").map(|p| p.file.text[p.range].to_owned()).as_deref(), Some("positive"));
}

#[test]
fn all_faults_of_macro_files_are_reported() {
    let file = |path: &str, text: &str| MacroFile { package: "p".into(), file: SourceFile::new(path, text) };
    let files = [
        file("a.sql", "{% macro a( %}{% endmacro %}"),
        file("b.sql", "{% macro b() %}"),
        file("c.sql", "{% macro c() %}{% endmacro %}{% macro c() %}{% endmacro %}"),
    ];
    let faults = Environment::new(ProjectContext::new("p"), &files).err().map(|d| d.0.iter().map(|d| d.code).collect::<Vec<_>>());
    assert_eq!(faults, Some(vec!["template/syntax", "template/syntax", "template/duplicate-macro"]));
}

#[test]
fn environments_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Environment>();
}
