//! Hooks: templates that run as SQL before and after a node, and at both ends of a run.

use std::{sync::Arc, time::Instant};

use serde_json::{Map, Value as Json, json};

use super::{
    Compile,
    compile::placed,
    event::{NodeLabel, NodeResult, Status},
    executor::{bare, first_message},
    step::{Context, Task, blocking},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    engine::Session,
    graph::Hook,
    names::{NodeId, ResourceType, SchemaName},
    project::project_file::RunHook,
};

/// Runs a node's hooks in order. Hooks without a transaction of their own come first before, last after, as in dbt;
/// since every statement is a commit here, `order` is all that is left of that.
pub(super) async fn of_node(task: &Task, hooks: &[Hook], session: &mut Box<dyn Session>, before: bool) -> Result<(), Diagnostics> {
    let mut ordered: Vec<&Hook> = hooks.iter().collect();
    ordered.sort_by_key(|h| if before { h.transaction } else { !h.transaction });
    for hook in ordered {
        let compile = Arc::clone(&task.context.deps.compile);
        let (id, template, place) = (task.node.id.clone(), hook.sql.clone(), task.node.declared_at());
        let rendered = blocking(move || compile.render(Some(&id), &template, &place, &Map::new())).await?;
        task.log_lines(&rendered.logs);
        let sql = rendered.sql;
        for range in session.split(&sql) {
            let statement = &sql[range];
            task.log_sql(statement);
            session.execute(&task.commented(statement)).await.map_err(|e| {
                let which = if before { "pre-hook" } else { "post-hook" };
                placed(e, &task.node, None, 0).note(format!("in the {which} `{}`", one_line(statement)))
            })?;
        }
    }
    Ok(())
}

/// Runs `on-run-start` or `on-run-end`, stopping at the first failure.
pub(super) async fn on_run(
    context: &Arc<Context>,
    which: &str,
    hooks: &[RunHook],
    extra: &Map<String, Json>,
    fatal: &mut Option<Diagnostics>,
) -> Vec<NodeResult> {
    let mut results = vec![];
    if hooks.is_empty() {
        return results;
    }
    let mut session = context.deps.engine.session();
    for (i, hook) in hooks.iter().enumerate() {
        // numbered within their package, as in dbt
        let number = hooks[..i].iter().filter(|h| h.package == hook.package).count();
        let name = format!("{}-on-run-{which}-{number}", hook.package);
        let label = Arc::new(NodeLabel {
            id: NodeId::of(ResourceType::Operation, &hook.package, &name),
            kind: ResourceType::Operation,
            what: "hook".into(),
            name,
        });
        let began = Instant::now();
        let (compile, given, extra) = (Arc::clone(&context.deps.compile), hook.clone(), extra.clone());
        let rendered = blocking(move || compile.render(None, &given.sql, &given.place, &extra)).await;
        let ended = match rendered {
            Ok(text) => {
                context.log_lines(&text.logs);
                script(session.as_mut(), &text.sql, which, &hook.place).await.map(|()| text.sql)
            }
            // as in dbt, a hook that cannot even be rendered ends the invocation
            Err(e) => {
                *fatal = Some(e.clone());
                Err(e)
            }
        };
        let failed = ended.is_err();
        let thread = "MainThread".to_owned();
        let result = match ended {
            Ok(sql) => NodeResult { thread, compiled_code: Some(sql), ..bare(label, Status::Success, "OK".into(), vec![]) },
            Err(faults) => NodeResult { thread, ..bare(label, Status::Error, first_message(&faults), faults.0) },
        };
        results.push(NodeResult { elapsed: began.elapsed(), ..result });
        if failed {
            break;
        }
    }
    results
}

async fn script(session: &mut dyn Session, sql: &str, which: &str, place: &Place) -> Result<(), Diagnostics> {
    for range in session.split(sql) {
        let statement = &sql[range];
        if let Err(e) = session.execute(statement).await {
            let label = format!("in this on-run-{which} hook");
            let mut fault =
                Diagnostic::error(e.code, e.message).at(place.clone(), label).note(format!("the statement is `{}`", one_line(statement)));
            fault.help = e.help;
            fault.notes.extend(e.notes);
            return Err(fault.into());
        }
    }
    Ok(())
}

/// `results`, `schemas` and `database_schemas`, which only on-run-end sees (dbt documentation, "on-run-end context").
pub(super) fn end_variables(results: &[Arc<NodeResult>], schemas: &[SchemaName], compile: &dyn Compile) -> Map<String, Json> {
    let results: Vec<Json> = results
        .iter()
        .map(|r| {
            json!({
                "status": r.status.as_str(),
                "message": r.message,
                "failures": r.failures,
                "execution_time": r.elapsed.as_secs_f64(),
                "thread_id": r.thread,
                "unique_id": r.node.id,
                "node": {
                    "unique_id": r.node.id,
                    "name": r.node.id.as_str().rsplit('.').next(),
                    "resource_type": r.node.kind.as_str(),
                    "relation_name": r.relation_name,
                },
            })
        })
        .collect();
    let written: Vec<(String, String)> = schemas.iter().map(|s| compile.written(s)).collect();
    let names: Vec<Json> = written.iter().map(|(_, schema)| schema.as_str().into()).collect();
    let pairs: Vec<Json> = written.iter().map(|(database, schema)| json!([database, schema])).collect();
    [("results", Json::from(results)), ("schemas", names.into()), ("database_schemas", pairs.into())]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect()
}

fn one_line(sql: &str) -> String {
    let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(120) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line,
    }
}
