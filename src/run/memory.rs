//! Verdicts of tests that were told before: a test that passed over these very rows is not asked again.
//!
//! Kept with the warehouse, so that every build on it knows them. Only passing is remembered: what failed or warned is
//! looked at again.

use super::{compile::placed, freshness, step::Task};
use crate::{diagnostic::Diagnostics, state::Inputs};

/// What is remembered of one test.
pub(super) struct Memory {
    key: String,
    inputs: Inputs,
    /// It passed, and nothing that it depends on has changed since.
    pub(super) passed: bool,
}

/// What the test depends on now, and whether it has passed so; `None` for tests that are never remembered.
pub(super) async fn find(task: &Task, sql: &str) -> Result<Option<Memory>, Diagnostics> {
    let Some(inputs) = freshness::of_test(task, sql).await? else { return Ok(None) };
    look(task, inputs).await.map(Some)
}

/// The same of a unit test: its rows stand in its text.
pub(super) async fn of_unit_test(task: &Task, text: &str) -> Result<Memory, Diagnostics> {
    look(task, Inputs::new(task.engine(), text, &task.node.config)).await
}

async fn look(task: &Task, inputs: Inputs) -> Result<Memory, Diagnostics> {
    let engine = task.context.deps.engine.as_ref();
    // targets of one warehouse do not forget each other's
    let home = task.context.options.home.as_ref().map(ToString::to_string).unwrap_or_default();
    let key = format!("verdict {home} {}", task.node.id);
    let told = engine.recall(&key).await.map_err(|e| placed(e, &task.node, None, 0))?;
    let passed = !task.context.options.force && told.as_deref() == Some(inputs.fingerprint().as_str());
    Ok(Memory { key, inputs, passed })
}

impl Memory {
    /// It passes.
    pub(super) async fn keep(self, task: &Task) -> Result<(), Diagnostics> {
        let text = self.inputs.fingerprint();
        task.context.deps.engine.remember(&self.key, text.as_str()).await.map_err(|e| placed(e, &task.node, None, 0).into())
    }
}
