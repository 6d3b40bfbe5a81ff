//! A source whose files are read where they lie: its step in a run is a look at which files there are. Nothing is copied; when the
//! list is another one than before, whatever reads the source is stale.

use std::sync::Arc;

use super::{
    event::Status,
    ingest::again,
    step::{Progress, Task},
};
use crate::{
    diagnostic::{Diagnostic, Diagnostics},
    engine::{Attachment, EngineError, LAYOUT, RelationKind},
    graph::AdapterConfig,
    ingest::{InPlace, IngestError, Listed},
    names::RelationName,
};

pub(super) async fn list(
    task: &Task,
    progress: &mut Progress,
    config: &AdapterConfig,
    files: Arc<dyn InPlace>,
    table: RelationName,
) -> Result<Status, Diagnostics> {
    let mut status = look(task, progress, config, files.as_ref(), &table, task.context.options.sources_anew).await?;
    while task.context.options.follow && !task.context.cancel.is_stopping() {
        task.progress(format!("{}; waiting for more", progress.message));
        tokio::select! {
            () = tokio::time::sleep(task.context.options.follow_pause) => {}
            () = task.context.cancel.stopping() => break,
        }
        if look(task, progress, config, files.as_ref(), &table, false).await? == Status::Success {
            status = Status::Success;
        }
    }
    Ok(status)
}

async fn look(
    task: &Task,
    progress: &mut Progress,
    config: &AdapterConfig,
    files: &dyn InPlace,
    table: &RelationName,
    anew: bool,
) -> Result<Status, Diagnostics> {
    let context = &task.context;
    let known = context.catalog.find(context.deps.engine.as_ref(), table).await.map_err(|e| of_engine(config, e))?;
    let layout = known.as_ref().and_then(|k| k.properties.get(LAYOUT)).filter(|_| !anew);
    let retry = &context.options.retry;
    let look = || files.look(layout.map(String::as_str));
    let listed = retry.run(&context.cancel, look, |e: &IngestError, pause| again(task, e, pause)).await.map_err(|e| of_files(config, e))?;
    let count = listed.files.num_rows();
    let summary = format!("{count} {} in place", if count == 1 { "file" } else { "files" });
    progress.metrics.insert("files".into(), count.into());
    progress.metrics.insert("bytes".into(), listed.bytes.into());
    let is_same = known.is_some_and(|k| k.version == listed.version && k.properties.contains_key(LAYOUT));
    if is_same && !anew {
        progress.message = format!("nothing new, {summary}");
        return Ok(Status::NoOp);
    }
    let Listed { schema, files, version, layout, .. } = listed;
    let mut properties = task.properties();
    properties.insert(LAYOUT.to_owned(), layout);
    let comment = super::materialize::comments(task).0;
    let attachment = Attachment { table: table.clone(), schema, files, version, comment, properties: properties.clone() };
    let attach = || context.deps.engine.attach(attachment.clone());
    let attached =
        retry.run(&context.cancel, attach, |e: &EngineError, pause| again(task, e, pause)).await.map_err(|e| of_engine(config, e))?;
    context.catalog.record(table, RelationKind::Table, &attached.version, properties);
    context.catalog.forget(&table.with_suffix("__files"));
    progress.message = summary;
    Ok(Status::Success)
}

fn of_files(config: &AdapterConfig, e: IngestError) -> Diagnostics {
    of_engine(config, e.into())
}

fn of_engine(config: &AdapterConfig, e: EngineError) -> Diagnostics {
    let mut diagnostic = Diagnostic::error(e.code, e.message).at(config.place.clone(), "read in place by this adapter");
    diagnostic.notes = e.notes;
    diagnostic.help = e.help;
    diagnostic.into()
}
