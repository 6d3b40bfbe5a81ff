//! What a run took of a warehouse that keeps account: per node in its result, in sum for the summary.
//!
//! Statements are told apart by the query comment, which names their node. Without one only the sum is known.

use std::{collections::HashMap, sync::Arc};

use crate::{engine::StatementCost, run::RunReport};

/// Adds what the statements of each node took to its result; the line for the summary, if there is anything to tell.
pub(super) fn account(report: &mut RunReport, costs: &[StatementCost]) -> Option<String> {
    if costs.is_empty() {
        return None;
    }
    let mut nodes: HashMap<&str, Sum> = HashMap::new();
    let mut all = Sum::default();
    for cost in costs {
        all.add(cost);
        if let Some(node) = node_of(&cost.text) {
            nodes.entry(node).or_default().add(cost);
        }
    }
    for result in &mut report.results {
        let Some(sum) = nodes.get(result.node.id.as_str()) else { continue };
        let response = &mut Arc::make_mut(result).adapter_response;
        response.insert("statements".into(), sum.statements.into());
        response.insert("bytes_scanned".into(), sum.bytes.into());
        response.insert("queued_seconds".into(), sum.queued.into());
        response.insert("credits_estimate".into(), sum.credits.into());
        if let Some(id) = &sum.last {
            response.insert("query_id".into(), id.as_str().into());
        }
    }
    let queued = if all.queued >= 0.05 { format!(", {:.1}s queued", all.queued) } else { String::new() };
    Some(format!("Snowflake: {} statements, {} scanned, about {:.4} credits{queued}.", all.statements, size(all.bytes), all.credits))
}

#[derive(Default)]
struct Sum {
    statements: u64,
    bytes: u64,
    queued: f64,
    credits: f64,
    last: Option<String>,
}

impl Sum {
    fn add(&mut self, cost: &StatementCost) {
        self.statements += 1;
        self.bytes += cost.bytes_scanned;
        self.queued += cost.queued_seconds;
        self.credits += cost.credits;
        self.last = Some(cost.query_id.clone());
    }
}

/// `{"app": "dbt", ..., "node_id": "model.shop.orders"}`
fn node_of(text: &str) -> Option<&str> {
    let (_, rest) = text.rsplit_once("\"node_id\": \"")?;
    rest.split_once('"').map(|(id, _)| id)
}

fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "B" { format!("{value} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_in_comments_and_sizes_read() {
        assert_eq!(node_of("select 1\n/* {\"app\": \"dbt\", \"node_id\": \"model.a.b\"} */"), Some("model.a.b"));
        assert_eq!(node_of("select 1"), None);
        assert_eq!((size(12), size(1_500), size(2_000_000_000_000)), ("12 B".into(), "1.5 kB".into(), "2.0 TB".into()));
    }
}
