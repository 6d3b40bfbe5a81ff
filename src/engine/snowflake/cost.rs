//! What the statements of an invocation took, from the account's own history: asked once, at the end.

use super::{Inner, lease::Lease, ledger::rows, literal, session::collect};
use crate::engine::{EngineError, StatementCost};

/// The history's own limit of lines.
const MOST: usize = 10_000;

impl Inner {
    pub(super) async fn costs(&self) -> Result<Vec<StatementCost>, EngineError> {
        let ids: Vec<String> = self.link.queries.lock().iter().take(MOST).cloned().collect();
        if ids.is_empty() {
            return Ok(vec![]);
        }
        let list = ids.iter().map(|id| literal(id)).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "select QUERY_ID, QUERY_TAG, WAREHOUSE_NAME, WAREHOUSE_SIZE, BYTES_SCANNED, EXECUTION_TIME, \
             QUEUED_PROVISIONING_TIME + QUEUED_REPAIR_TIME + QUEUED_OVERLOAD_TIME, CREDITS_USED_CLOUD_SERVICES, QUERY_TEXT \
             from table({}.information_schema.query_history(result_limit => {MOST})) where QUERY_ID in ({list})",
            crate::names::Identifier::parse(&self.link.settings.database)
        );
        let outcome = collect(Lease::new(&self.link).run(&sql).await?, &sql).await?;
        let costs = rows(&outcome).filter_map(|row| {
            let cell = |i: usize| row.get(i).cloned().flatten();
            let number = |i: usize| cell(i).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
            let seconds = number(5) / 1000.0;
            Some(StatementCost {
                query_id: cell(0)?,
                text: cell(8).unwrap_or_default(),
                warehouse: cell(2),
                bytes_scanned: number(4) as u64,
                seconds,
                queued_seconds: number(6) / 1000.0,
                credits: number(7) + cell(3).map_or(0.0, |size| seconds / 3600.0 * credits_per_hour(&size)),
            })
        });
        Ok(costs.collect())
    }
}

/// Of a warehouse that runs nothing else (Snowflake documentation, "Overview of warehouses").
fn credits_per_hour(size: &str) -> f64 {
    match size.to_uppercase().replace('-', "").as_str() {
        "XSMALL" => 1.0,
        "SMALL" => 2.0,
        "MEDIUM" => 4.0,
        "LARGE" => 8.0,
        "XLARGE" => 16.0,
        "2XLARGE" | "XXLARGE" => 32.0,
        "3XLARGE" | "XXXLARGE" => 64.0,
        "4XLARGE" | "X4LARGE" => 128.0,
        "5XLARGE" => 256.0,
        "6XLARGE" => 512.0,
        _ => 0.0,
    }
}
