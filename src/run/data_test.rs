//! A data test: counts its failing rows, stores them where asked to, and gives the verdict.

use datafusion::arrow::{
    array::{Array, AsArray, BooleanArray},
    compute::cast,
    datatypes::{DataType, Float64Type},
};

use chrono::Utc;

use super::{
    compile::{CompiledNode, placed, whole},
    event::Status,
    materialize, memory,
    step::{Progress, Task},
};
use crate::{
    checks::{Condition, CountQuery, Counted, Verdict, failing_rows, verdict},
    diagnostic::{Diagnostic, Diagnostics},
    engine::{Content, How, Outcome, Publish, RelationKind},
    names::{Identifier, RelationName, SchemaName},
};

pub(super) async fn run(task: &Task, progress: &mut Progress) -> Result<Status, Diagnostics> {
    let compiled = task.compile(progress).await?;
    let started = Utc::now();
    let remembered = if keeps_rows(task) || task.context.staged { None } else { memory::find(task, &compiled.sql).await? };
    if let Some(memory) = &remembered
        && memory.passed
    {
        progress.failures = Some(0);
        progress.fresh(None);
        return Ok(Status::Pass);
    }
    let told = task.context.audits.lock().remove(&task.node.id);
    if let Some(told) = told {
        // over these very rows, before they were published
        progress.timing.extend(told.timing.into_iter().filter(|(what, ..)| *what == "execute"));
        (progress.failures, progress.message, progress.diagnostics) = (told.failures, told.message, told.diagnostics);
        progress.relation_name = told.relation_name;
        if let Some(memory) = remembered.filter(|_| told.status == Status::Pass) {
            memory.keep(task).await?;
        }
        return Ok(told.status);
    }
    let counted = count(task, progress, &compiled).await;
    progress.timing.push(("execute", started, Utc::now()));
    let counted = counted?;
    progress.failures = Some(counted.failures.max(0.0) as u64);
    match verdict(counted, &task.node.config, task.context.options.warnings_are_errors) {
        Verdict::Pass => {
            progress.failures = Some(0);
            if let Some(memory) = remembered {
                memory.keep(task).await?;
            }
            Ok(Status::Pass)
        }
        Verdict::Warn(message) => {
            progress.message = message.clone();
            progress.diagnostics.push(explain(task, progress, Diagnostic::warning("check/warned", message)));
            Ok(Status::Warn)
        }
        Verdict::Fail(message) => {
            progress.message = message.clone();
            progress.diagnostics.push(explain(task, progress, Diagnostic::error("check/failed", message)));
            Ok(Status::Fail)
        }
    }
}

async fn count(task: &Task, progress: &mut Progress, compiled: &CompiledNode) -> Result<Counted, Diagnostics> {
    let node = &task.node;
    let (rows, at) = failing_rows(&compiled.sql, node.config.limit);
    let stored = store(task, compiled, &rows, at.start).await?;
    progress.relation_name = stored.as_ref().map(ToString::to_string);
    let (from, offset) = match &stored {
        Some(relation) => (format!("select * from {relation}"), None),
        None => (rows, Some(at.start)),
    };
    let query = CountQuery::new(&from, &node.config);
    task.write_executed(&query.sql)?;
    task.log_sql(&query.sql);
    let outcome = task.context.deps.engine.session().execute(&query.sql).await.map_err(|e| match offset {
        Some(offset) => placed(e, node, Some(compiled), query.offset + offset),
        None => placed(e, node, None, 0),
    })?;
    let failures = number(&outcome).ok_or_else(|| {
        Diagnostic::error("check/no-count", format!("`fail_calc` of `{}` gives no number", node.name))
            .at(whole(node), "")
            .note(format!("it is `{}`", node.config.fail_calc))
            .help("it must be an aggregate over the failing rows, such as `count(*)` or `sum(n)`")
    })?;
    let holds = |condition: &Condition, column: &str| condition.holds(failures).unwrap_or_else(|| flag(&outcome, column));
    Ok(Counted { failures, should_warn: holds(&query.warn_if, "should_warn"), should_error: holds(&query.error_if, "should_error") })
}

/// Whether somebody wants to look at the failing rows, of which there may be none.
fn keeps_rows(task: &Task) -> bool {
    let config = &task.node.config;
    config.all.get("store_failures_as").is_some_and(|v| v.as_str() != Some("ephemeral"))
        || config.store_failures.unwrap_or(task.context.options.store_failures)
}

/// Publishes the failing rows where the test's configuration, or else the command line, says so.
async fn store(task: &Task, compiled: &CompiledNode, rows: &str, offset: usize) -> Result<Option<RelationName>, Diagnostics> {
    let config = &task.node.config;
    // `store_failures_as` wins over `store_failures` (dbt documentation, "store_failures_as")
    let how = match config.all.get("store_failures_as").and_then(|v| v.as_str()).map(str::to_lowercase).as_deref() {
        // a view would show the rows of another version than the one that failed
        Some("view") if !task.context.staged => How::View,
        Some("view") => How::Table,
        Some("table") => How::Table,
        Some("ephemeral") => return Ok(None),
        Some(other) => {
            return Err(Diagnostic::error(
                "check/store-failures",
                format!("'{other}' is not a valid value for `store_failures_as`; Accepted values are: ['ephemeral', 'table', 'view']"),
            )
            .at(whole(&task.node), "")
            .help("`store_failures_as` is `table`, `view` or `ephemeral`")
            .into());
        }
        None if config.store_failures.unwrap_or(task.context.options.store_failures) => How::Table,
        None => return Ok(None),
    };
    let relation = audit(task).ok_or_else(|| materialize::no_relation(task))?;
    let kind = if matches!(how, How::View) { RelationKind::View } else { RelationKind::Table };
    let publish = Publish {
        relation: relation.clone(),
        content: Content::Query(rows.to_owned()),
        how,
        comment: None,
        not_null: vec![],
        column_comments: Default::default(),
        properties: task.properties(),
        physical: task.physical(),
    };
    let published = materialize::send(task, &publish).await.map_err(|e| placed(e, &task.node, Some(compiled), offset))?;
    task.context.catalog.record(&relation, kind, &published.version, publish.properties);
    Ok(Some(relation))
}

/// The test's own relation; without one (storing was asked for on the command line) `<schema>_dbt_test__audit` beside
/// the tested node.
fn audit(task: &Task) -> Option<RelationName> {
    let node = &task.node;
    node.relation.clone().or_else(|| {
        let attached = node.test.as_ref().and_then(|t| t.attached_to.clone());
        let mut tested = attached.into_iter().chain(node.depends_on.iter().cloned());
        let beside = tested.find_map(|id| task.context.deps.compile.node(&id)?.relation.clone())?;
        let suffix = if beside.schema.is_bare() { "_DBT_TEST__AUDIT" } else { "_dbt_test__audit" };
        let schema = Identifier::exact(format!("{}{suffix}", beside.schema.as_str()));
        let alias = if node.alias.is_empty() { &node.name } else { &node.alias };
        Some(SchemaName::new(beside.database, schema).relation(Identifier::parse(alias)))
    })
}

/// What the counting query says; a null (a sum over no rows) counts as none.
fn number(outcome: &Outcome) -> Option<f64> {
    let Some(batch) = outcome.batches.iter().find(|b| b.num_rows() > 0) else { return Some(0.0) };
    let numbers = cast(batch.columns().first()?, &DataType::Float64).ok()?;
    let numbers = numbers.as_primitive_opt::<Float64Type>()?;
    Some(if numbers.is_null(0) { 0.0 } else { numbers.value(0) })
}

fn flag(outcome: &Outcome, column: &str) -> bool {
    outcome.batches.iter().find(|b| b.num_rows() > 0).is_some_and(|batch| {
        let at = batch.schema().fields().iter().position(|f| f.name().eq_ignore_ascii_case(column));
        let array = at.map(|i| batch.column(i));
        array.and_then(|a| a.as_any().downcast_ref::<BooleanArray>()).is_some_and(|b| !b.is_null(0) && b.value(0))
    })
}

fn explain(task: &Task, progress: &Progress, fault: Diagnostic) -> Diagnostic {
    let node = &task.node;
    let mut fault = fault.at(whole(node), "this test");
    if let Some(path) = &progress.compiled_path {
        fault = fault.note(format!("compiled SQL: {}", path.display()));
    }
    let show = format!("`segue show --select {}`", node.name);
    match (&progress.relation_name, progress.failures) {
        (Some(relation), _) => fault.help(format!("the failing rows are in {relation}; {show} shows them")),
        (None, _) => fault.help(format!("{show} shows the failing rows")),
    }
}
