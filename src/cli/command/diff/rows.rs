//! `diff --data A B`: two tables, or two versions of one, by key: counts, which columns changed, a few rows.

use serde_json::{Value as Json, json};

use crate::{
    cli::{
        args::{DiffArgs, DiffOutput, FailOn},
        config::Config,
        findings,
        message::{Failure, of_engine},
        stdout::print,
        workspace::{Workspace, load},
    },
    diagnostic::Diagnostic,
    engine::{Outcome, value},
    names::{Identifier, RelationName, SchemaName},
};

/// One side: how SQL reads it, and its columns.
struct Side {
    sql: String,
    columns: Vec<String>,
}

pub(super) fn run(a: &str, b: &str, args: &DiffArgs, config: &Config) -> Result<i32, Failure> {
    let workspace = Workspace::open(load("diff", &[], config)?)?;
    let (a_side, b_side) = (side(&workspace, a)?, side(&workspace, b)?);
    let same = |x: &str, y: &str| x == y.trim_matches('"') || x.eq_ignore_ascii_case(y);
    let common: Vec<&String> = a_side.columns.iter().filter(|c| b_side.columns.contains(c)).collect();
    let keys = keys(&workspace, a, args);
    for key in &keys {
        if !common.iter().any(|c| same(c, key)) {
            let fault = Diagnostic::error("cli/diff", format!("the key `{key}` is not a column of both"));
            let help = findings::meant(&key.to_uppercase(), common.iter().map(|c| c.as_str()));
            return Err(fault.help(help.unwrap_or_else(|| "name the columns that tell rows apart with `--key`".into())).into());
        }
    }
    let keys: Vec<&String> = common.iter().filter(|c| keys.iter().any(|k| same(c, k))).copied().collect();
    if keys.is_empty() {
        let fault = Diagnostic::error("cli/diff", "nothing tells which rows belong together");
        return Err(fault.help("name the columns of the key with `--key`, or give the model a `unique_key`").into());
    }
    let values: Vec<&String> = common.iter().filter(|c| !keys.contains(c)).copied().collect();
    let name = |column: &str| format!("\"{}\"", column.replace('"', "\"\""));
    let joined = keys.iter().map(|k| format!("equal_null(a.{0}, b.{0})", name(k))).collect::<Vec<_>>().join(" and ");
    let differs: Vec<String> = values.iter().map(|v| format!("(a.{0} is distinct from b.{0})", name(v))).collect();
    let any = if differs.is_empty() { "false".to_owned() } else { differs.join(" or ") };
    let heads =
        format!("with a as (select *, true as \"__HERE\" from {}), b as (select *, true as \"__HERE\" from {})", a_side.sql, b_side.sql);
    let both = "a.\"__HERE\" and b.\"__HERE\"";
    let per_column: String = differs.iter().enumerate().map(|(i, d)| format!(", count_if({both} and {d}) as \"C{i}\"")).collect();
    let counts = format!(
        "{heads} select count_if(b.\"__HERE\" is null) as \"REMOVED\", count_if(a.\"__HERE\" is null) as \"ADDED\", \
         count_if({both} and ({any})) as \"CHANGED\", count_if({both} and not ({any})) as \"SAME\"{per_column} from a full outer join b on {joined}"
    );
    let counts = ask(&workspace, &counts)?;
    let number = |i: usize| counts.first().and_then(|r| r.get(i)).and_then(|t| t.parse::<u64>().ok()).unwrap_or_default();
    let (removed, added, changed, equal) = (number(0), number(1), number(2), number(3));
    let changed_columns: Vec<(&String, u64)> =
        values.iter().enumerate().map(|(i, v)| (*v, number(i + 4))).filter(|(_, n)| *n > 0).collect();

    let shown: Vec<&String> = keys.iter().copied().chain(changed_columns.iter().map(|(c, _)| *c)).collect();
    let pairs: Vec<String> = shown.iter().flat_map(|c| [format!("a.{}", name(c)), format!("b.{}", name(c))]).collect();
    let sample = format!(
        "{heads} select case when b.\"__HERE\" is null then 'removed' when a.\"__HERE\" is null then 'added' else 'changed' end as \"HOW\", {} \
         from a full outer join b on {joined} where a.\"__HERE\" is null or b.\"__HERE\" is null or {any} order by 1 limit {}",
        pairs.iter().enumerate().map(|(i, p)| format!("{p} as \"P{i}\"")).collect::<Vec<_>>().join(", "),
        args.limit
    );
    let sample = if removed + added + changed > 0 { ask(&workspace, &sample)? } else { vec![] };
    let only = |of: &Side, other: &Side| -> Vec<String> { of.columns.iter().filter(|c| !other.columns.contains(c)).cloned().collect() };
    let (gone, new) = (only(&a_side, &b_side), only(&b_side, &a_side));
    let row = |r: &Vec<String>| {
        let how = r.first().cloned().unwrap_or_default();
        let cells = shown.iter().enumerate().map(|(i, c)| {
            let (old, new) = (r.get(1 + 2 * i).cloned().unwrap_or_default(), r.get(2 + 2 * i).cloned().unwrap_or_default());
            let text = match how.as_str() {
                "removed" => old,
                "added" => new,
                _ if old == new => old,
                _ => format!("{old} -> {new}"),
            };
            ((*c).clone(), text)
        });
        (how.clone(), cells.collect::<Vec<_>>())
    };
    let rows: Vec<(String, Vec<(String, String)>)> = sample.iter().map(row).collect();
    print(&match args.output {
        DiffOutput::Json => findings::pretty(&json!({
            "removed": removed, "added": added, "changed": changed, "same": equal,
            "columns": changed_columns.iter().map(|(c, n)| json!({"column": c, "changed": n})).collect::<Vec<_>>(),
            "columns_removed": gone, "columns_added": new,
            "sample": rows.iter().map(|(how, cells)| json!({
                "how": how, "row": cells.iter().map(|(c, t)| (c.clone(), Json::from(t.as_str()))).collect::<serde_json::Map<_, _>>(),
            })).collect::<Vec<_>>(),
        })),
        DiffOutput::Text | DiffOutput::Markdown => {
            let mut lines = vec![format!("{a} -> {b}: {added} rows added, {removed} removed, {changed} changed, {equal} the same")];
            if !gone.is_empty() || !new.is_empty() {
                lines.push(format!("columns only in the first: {}; only in the second: {}", listed(&gone), listed(&new)));
            }
            lines.extend(changed_columns.iter().map(|(c, n)| format!("  {c}: {n} values changed")));
            if !rows.is_empty() && args.output == DiffOutput::Markdown {
                lines.push(String::new());
                lines.push(format!("| | {} |", shown.iter().map(|c| c.as_str()).collect::<Vec<_>>().join(" | ")));
                lines.push(format!("|---|{}", "---|".repeat(shown.len())));
                lines.extend(rows.iter().map(|(how, cells)| {
                    let cells: Vec<String> = cells.iter().map(|(_, t)| t.replace('|', "\\|")).collect();
                    format!("| {how} | {} |", cells.join(" | "))
                }));
            } else {
                lines.extend(rows.iter().map(|(how, cells)| {
                    let mark = match how.as_str() {
                        "added" => "+",
                        "removed" => "-",
                        _ => "~",
                    };
                    format!("{mark} {}", cells.iter().map(|(c, t)| format!("{c}: {t}")).collect::<Vec<_>>().join(", "))
                }));
            }
            lines.join("\n")
        }
    });
    workspace.end();
    Ok(i32::from(args.fail_on != FailOn::Never && removed + added + changed > 0))
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// `--key`, else what the model says.
fn keys(workspace: &Workspace, text: &str, args: &DiffArgs) -> Vec<String> {
    if !args.key.is_empty() {
        return args.key.iter().flat_map(|k| k.split(',')).map(|k| k.trim().to_owned()).collect();
    }
    let name = text.split('@').next().unwrap_or(text);
    let node = workspace.project.graph.nodes().find(|n| n.relation.is_some() && n.name.eq_ignore_ascii_case(name));
    node.map(|n| n.config.unique_key.clone()).unwrap_or_default()
}

/// `model`, `schema.table`, each with `@7` for a version or `@previous`.
fn side(workspace: &Workspace, text: &str) -> Result<Side, Failure> {
    let (name, version) = match text.rsplit_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let node = workspace.project.graph.nodes().find(|n| n.name.eq_ignore_ascii_case(name) && n.relation.is_some() && n.test.is_none());
    let relation = match node.and_then(|n| n.relation.clone()) {
        Some(relation) => relation,
        None => named(workspace, name)?,
    };
    let columns = workspace.runtime.block_on(workspace.engine.columns(&relation)).map_err(of_engine)?;
    let Some(columns) = columns else {
        let fault = Diagnostic::error("cli/diff", format!("there is no table or view `{relation}`"));
        return Err(Failure::of_work(fault.help("name a model that is built, or a table as `schema.table`")));
    };
    let at = match version {
        None => String::new(),
        Some("previous") => {
            let schemas = [relation.schema_name()];
            let all = workspace.runtime.block_on(workspace.engine.relations(&schemas)).map_err(of_engine)?;
            let newest: u64 =
                all.iter().find(|r| r.name == relation).and_then(|r| r.version.rsplit('@').next()?.parse().ok()).unwrap_or_default();
            if newest == 0 {
                return Err(Failure::of_work(Diagnostic::error("cli/diff", format!("`{relation}` has no earlier version"))));
            }
            format!(" at (version => {})", newest - 1)
        }
        Some(number) if number.bytes().all(|b| b.is_ascii_digit()) && !number.is_empty() => format!(" at (version => {number})"),
        Some(other) => {
            let fault = Diagnostic::error("cli/diff", format!("`{other}` is no version of a table"));
            return Err(fault.help("write `table@7` for the version 7, or `table@previous`").into());
        }
    };
    // an older version has columns of its own
    let columns = match at.is_empty() {
        true => columns.into_iter().map(|c| c.name.as_str().to_owned()).collect(),
        false => {
            let outcome = execute(workspace, &format!("select * from {relation}{at} limit 0"))?;
            outcome.schema.fields().iter().map(|f| f.name().clone()).collect()
        }
    };
    Ok(Side { sql: format!("{relation}{at}"), columns })
}

fn named(workspace: &Workspace, name: &str) -> Result<RelationName, Failure> {
    let profile = &workspace.project.profile;
    let home = SchemaName::new(Identifier::parse(&profile.database), Identifier::parse(&profile.schema));
    match name.split('.').collect::<Vec<_>>().as_slice() {
        [table] => Ok(home.relation(Identifier::parse(table))),
        [schema, table] => Ok(RelationName::new(home.database, Identifier::parse(schema), Identifier::parse(table))),
        [database, schema, table] => Ok(RelationName::parse_parts(database, schema, table)),
        _ => Err(Diagnostic::error("cli/diff", format!("`{name}` is no name of a table")).into()),
    }
}

fn execute(workspace: &Workspace, sql: &str) -> Result<Outcome, Failure> {
    let mut session = workspace.engine.session();
    workspace.runtime.block_on(session.execute(sql)).map_err(|e| Failure::of_work(of_engine(e)))
}

fn ask(workspace: &Workspace, sql: &str) -> Result<Vec<Vec<String>>, Failure> {
    let outcome = execute(workspace, sql)?;
    let fields = outcome.schema.fields();
    let mut rows = vec![];
    for batch in &outcome.batches {
        for row in 0..batch.num_rows() {
            rows.push(
                batch.columns().iter().zip(fields).map(|(c, f)| value::of(c, f, row).text().unwrap_or_else(|| "NULL".into())).collect(),
            );
        }
    }
    Ok(rows)
}
