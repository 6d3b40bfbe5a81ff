//! What another target of the same warehouse has built already (`reuse: prod` in the profile): a node that would be built here just
//! as it was built there is taken over from there, without a copy of its rows (docs/environments.md).
//!
//! "Just as" is the fingerprint that its table recorded there, with names read as those of here: the same SQL, the same
//! configuration, the same versions of the same inputs. Names differ between targets and versions differ between copies, so
//! inputs are followed: two tables are the same when one was taken over from the other and neither changed since, two views
//! when they say the same of the same.

use std::collections::HashMap;

use futures::future::BoxFuture;

use super::{
    compile::placed,
    freshness::{Assessment, Why},
    step::{Context, Progress, Task},
    warehouse::Identity,
};
use crate::{
    diagnostic::Diagnostics,
    engine::{EngineError, RelationInfo, RelationKind},
    names::RelationName,
    state::{FINGERPRINT, INTERVALS, Inputs, PROMOTED, READS, REUSED},
};

/// Views upon views, deeper than anyone builds them.
const DEEPEST: usize = 64;

/// Where another target has this target's relations. Those that are the same in both are not in it.
#[derive(Clone, Debug, Default)]
pub struct Twins {
    /// The other target.
    pub target: String,
    pub relations: HashMap<RelationName, RelationName>,
}

impl Twins {
    pub fn of(&self, relation: &RelationName) -> Option<&RelationName> {
        self.relations.get(relation)
    }

    /// Inputs as the other target would record them; `None` where an input is not the same there.
    pub(super) async fn renamed(&self, context: &Context, own: &RelationName, inputs: &Inputs) -> Result<Option<Inputs>, EngineError> {
        let mut renamed = Inputs { reads: Default::default(), sql: self.rename(own, inputs), ..inputs.clone() };
        for (name, identity) in &inputs.reads {
            let read = RelationName::parse(name);
            let Some((read, twin)) = read.as_ref().and_then(|r| Some((r, self.of(r)?))) else {
                renamed.reads.insert(name.clone(), identity.clone());
                continue;
            };
            if !self.are_same(context, read, twin, 0).await? {
                return Ok(None);
            }
            let Identity::Known(there) = context.catalog.identity(context.deps.engine.as_ref(), twin).await? else { return Ok(None) };
            // of what a view reads only the names are recorded
            let there = if identity == "view" { identity.clone() } else { there };
            renamed.reads.insert(twin.to_string(), there);
        }
        Ok(Some(renamed))
    }

    /// The SQL with the other target's names.
    pub(super) fn rename(&self, own: &RelationName, inputs: &Inputs) -> String {
        let named = inputs.reads.keys().filter_map(|name| RelationName::parse(name));
        let pairs: Vec<(String, String)> =
            named.chain([own.clone()]).filter_map(|r| Some((r.to_string(), self.of(&r)?.to_string()))).collect();
        replace_names(&inputs.sql, &pairs)
    }

    /// Whether the other target's relation has the same rows.
    pub(super) fn are_same<'a>(
        &'a self,
        context: &'a Context,
        own: &'a RelationName,
        twin: &'a RelationName,
        depth: usize,
    ) -> BoxFuture<'a, Result<bool, EngineError>> {
        Box::pin(async move {
            let engine = context.deps.engine.as_ref();
            let (Some(here), Some(there)) = (context.catalog.find(engine, own).await?, context.catalog.find(engine, twin).await?) else {
                return Ok(false);
            };
            match (here.kind, there.kind) {
                (RelationKind::Table, RelationKind::Table) => Ok(is_copy(&here, &there)),
                (RelationKind::View, RelationKind::View) if depth < DEEPEST => {
                    let (Some(mine), Some(theirs)) = (Inputs::recorded(&here.properties), Inputs::recorded(&there.properties)) else {
                        return Ok(false);
                    };
                    if self.rename(own, &mine) != theirs.sql || mine.config != theirs.config || mine.engine != theirs.engine {
                        return Ok(false);
                    }
                    for name in here.properties.get(READS).map_or("", String::as_str).lines() {
                        let Some(read) = RelationName::parse(name) else { return Ok(false) };
                        if let Some(other) = self.of(&read)
                            && !self.are_same(context, &read, other, depth + 1).await?
                        {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                }
                _ => Ok(false),
            }
        })
    }
}

/// One was taken over from the other, and neither has changed since.
fn is_copy(here: &RelationInfo, there: &RelationInfo) -> bool {
    here.properties.contains_key(FINGERPRINT)
        && (here.properties.get(REUSED) == Some(&there.version) || there.properties.get(PROMOTED) == Some(&here.version))
}

/// Whole names only: `D.S.A` is not in `D.S.AB`.
fn replace_names(sql: &str, pairs: &[(String, String)]) -> String {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '"');
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some((at, own, twin)) = pairs
        .iter()
        .filter_map(|(own, twin)| Some((rest.find(own.as_str())?, own, twin)))
        .min_by_key(|(at, own, _)| (*at, usize::MAX - own.len()))
    {
        let before = rest[..at].chars().next_back().or_else(|| out.chars().next_back());
        let end = at + own.len();
        let is_whole = before.is_none_or(|c| !is_name(c) && c != '.') && rest[end..].chars().next().is_none_or(|c| !is_name(c));
        out.push_str(&rest[..at]);
        out.push_str(if is_whole { twin } else { own });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The other target's table, where it is what would be built here.
pub(super) async fn find(task: &Task, relation: &RelationName, assessment: &Assessment) -> Result<Option<RelationInfo>, Diagnostics> {
    let options = &task.context.options;
    let Some(twins) = options.reuse.as_ref().filter(|_| !task.context.staged && !options.empty) else { return Ok(None) };
    let could = |why: &Why| matches!(why, Why::FirstRun | Why::NotRecorded | Why::OtherKind | Why::Changed(_));
    if task.node.config.materialized == "view" || assessment.why.is_empty() || !assessment.why.iter().all(could) {
        return Ok(None);
    }
    let fault = |e| Diagnostics::from(placed(e, &task.node, None, 0));
    let Some(twin) = twins.of(relation) else { return Ok(None) };
    let engine = task.context.deps.engine.as_ref();
    let Some(info) = task.context.catalog.find(engine, twin).await.map_err(fault)?.filter(|i| i.kind == RelationKind::Table) else {
        return Ok(None);
    };
    let Some(recorded) = Inputs::recorded(&info.properties) else { return Ok(None) };
    let renamed = twins.renamed(&task.context, relation, &assessment.inputs).await.map_err(fault)?;
    Ok(renamed.filter(|mine| mine.changes(&recorded).is_empty()).map(|_| info))
}

/// Takes the node over where it can be; says whether it did.
pub(super) async fn instead(
    task: &Task,
    progress: &mut Progress,
    relation: &RelationName,
    assessment: &Assessment,
) -> Result<bool, Diagnostics> {
    let Some(twin) = find(task, relation, assessment).await? else { return Ok(false) };
    let mut properties = task.properties();
    properties.extend(assessment.properties());
    properties.insert(REUSED.to_owned(), twin.version.clone());
    properties.extend(twin.properties.get_key_value(INTERVALS).map(|(k, v)| (k.clone(), v.clone())));
    let engine = task.context.deps.engine.as_ref();
    let adopted =
        engine.adopt(relation, &twin.name, &twin.version, properties.clone()).await.map_err(|e| placed(e, &task.node, None, 0))?;
    let Some(published) = adopted else { return Ok(false) };
    task.context.catalog.record(relation, RelationKind::Table, &published.version, properties);
    progress.rows = published.rows;
    progress.message = format!("REUSED from {}", twin.name);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_as_wholes() {
        let pairs = [("D.DEV.A", "D.PROD.A"), ("D.DEV.AB", "D.PROD.AB")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        for (sql, expect) in [
            ("select * from D.DEV.A a join D.DEV.AB on a.x = D.DEV.A.x", "select * from D.PROD.A a join D.PROD.AB on a.x = D.PROD.A.x"),
            ("from D.DEV.ABC, XD.DEV.A, \"D.DEV.A\", E.D.DEV.A", "from D.DEV.ABC, XD.DEV.A, \"D.DEV.A\", E.D.DEV.A"),
            ("D.DEV.AB", "D.PROD.AB"),
            ("", ""),
        ] {
            assert_eq!(replace_names(sql, &pairs), expect);
        }
    }
}
