//! Relations and columns: all of a database in one query each, asked for once and kept while nothing changes them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    Inner, Link,
    lease::Lease,
    ledger::{Entry, is_missing, micros, rows},
    literal,
    session::collect,
};
use crate::{
    engine::{ColumnInfo, EngineError, RelationInfo, RelationKind},
    names::{Identifier, RelationName, SchemaName},
};

/// A statement later than the record of its relation by more than this was somebody else's.
const SLACK_MICROS: i64 = 0;

/// What was heard of the catalog.
#[derive(Default)]
pub(super) struct Known {
    kinds: Mutex<HashMap<RelationName, RelationKind>>,
    /// Whole schemas of columns.
    columns: Mutex<HashMap<SchemaName, HashMap<RelationName, Vec<ColumnInfo>>>>,
    /// Relations whose columns are no longer what was heard.
    stale: Mutex<HashSet<RelationName>>,
    schemas: Mutex<HashSet<SchemaName>>,
}

impl Known {
    pub(super) fn forget_all(&self) {
        self.kinds.lock().clear();
        self.columns.lock().clear();
        self.stale.lock().clear();
        self.schemas.lock().clear();
    }

    pub(super) fn published(&self, relation: &RelationName, kind: RelationKind) {
        self.kinds.lock().insert(relation.clone(), kind);
        self.stale.lock().insert(relation.clone());
    }

    pub(super) fn kind(&self, relation: &RelationName) -> Option<RelationKind> {
        self.kinds.lock().get(relation).copied()
    }
}

/// One line of the catalog.
struct Listed {
    name: RelationName,
    kind: RelationKind,
    /// Microseconds; 0 when the server does not tell.
    altered: i64,
}

impl Inner {
    pub(super) async fn relations(&self, schemas: &[SchemaName]) -> Result<Vec<RelationInfo>, EngineError> {
        let mut databases: HashMap<&Identifier, Vec<&Identifier>> = HashMap::new();
        for schema in schemas {
            databases.entry(&schema.database).or_default().push(&schema.schema);
        }
        let listings = futures::future::try_join_all(databases.into_iter().map(|(d, s)| list(&self.link, d, s)));
        let (listed, recorded) = futures::try_join!(listings, self.ledger.read(&self.link))?;
        let mut seen = HashSet::new();
        let mut found = vec![];
        for line in listed.into_iter().flatten() {
            self.known.schemas.lock().insert(line.name.schema_name());
            if self.ledger.is_own(&line.name) || !seen.insert(line.name.clone()) {
                continue;
            }
            self.known.kinds.lock().insert(line.name.clone(), line.kind);
            let entry = recorded.get(&line.name).filter(|e| line.altered <= e.written_at + SLACK_MICROS);
            found.push(RelationInfo {
                version: entry.map_or_else(|| if line.altered > 0 { format!("altered@{}", line.altered) } else { String::new() }, version),
                properties: entry.map(|e| e.properties.clone()).unwrap_or_default(),
                kind: line.kind,
                name: line.name,
            });
        }
        Ok(found)
    }

    pub(super) async fn columns(&self, relation: &RelationName) -> Result<Option<Vec<ColumnInfo>>, EngineError> {
        let schema = relation.schema_name();
        if self.known.stale.lock().contains(relation) {
            return self.described(relation).await;
        }
        let known = |of: &Known| of.columns.lock().get(&schema).map(|s| s.get(relation).cloned());
        if let Some(found) = known(&self.known) {
            return Ok(found);
        }
        let all = columns_of(&self.link, &schema).await?;
        let found = all.get(relation).cloned();
        self.known.columns.lock().insert(schema, all);
        Ok(found)
    }

    /// The columns of one relation, asked now.
    pub(super) async fn described(&self, relation: &RelationName) -> Result<Option<Vec<ColumnInfo>>, EngineError> {
        let sql = format!("describe table {relation}");
        let outcome = match Lease::new(&self.link).run(&sql).await {
            Ok(reply) => collect(reply, &sql).await?,
            Err(e) if is_missing(&e) => return Ok(None),
            Err(e) => return Err(e),
        };
        let at = |name: &str| outcome.schema.fields().iter().position(|f| f.name().eq_ignore_ascii_case(name));
        let (name, kind, null) = (at("name").unwrap_or(0), at("type").unwrap_or(1), at("null?"));
        let columns = rows(&outcome).map(|row| {
            let cell = |i: usize| row.get(i).cloned().flatten().unwrap_or_default();
            ColumnInfo {
                name: Identifier::exact(cell(name)),
                data_type: spelled(&cell(kind)),
                nullable: null.is_none_or(|i| !cell(i).eq_ignore_ascii_case("N")),
            }
        });
        let columns: Vec<ColumnInfo> = columns.collect();
        if let Some(schema) = self.known.columns.lock().get_mut(&relation.schema_name()) {
            schema.insert(relation.clone(), columns.clone());
            self.known.stale.lock().remove(relation);
        }
        Ok(Some(columns))
    }

    /// Makes the schema of a relation where it is missing; asked once per schema.
    pub(super) async fn schema_for(&self, lease: &mut Lease, relation: &RelationName) -> Result<(), EngineError> {
        let schema = relation.schema_name();
        if self.known.schemas.lock().contains(&schema) {
            return Ok(());
        }
        lease.run(&format!("create schema if not exists {schema}")).await?;
        self.known.schemas.lock().insert(schema);
        Ok(())
    }
}

impl Inner {
    /// Unqualified names of this session are in the target's schema, which is made if need be.
    pub(super) async fn home(&self, lease: &mut Lease) -> Result<(), EngineError> {
        if lease.has_schema().await? {
            return Ok(());
        }
        let settings = &self.link.settings;
        let schema = SchemaName::new(Identifier::parse(&settings.database), Identifier::parse(&settings.schema));
        self.schema_for(lease, &schema.relation(Identifier::exact("_"))).await?;
        lease.run(&format!("use schema {schema}")).await?;
        lease.is_home();
        lease.is_clean();
        Ok(())
    }
}

/// What a reader of the relation compares.
pub(super) fn version(entry: &Entry) -> String {
    entry.version.clone()
}

async fn list(link: &Arc<Link>, database: &Identifier, schemas: Vec<&Identifier>) -> Result<Vec<Listed>, EngineError> {
    let names: Vec<String> = schemas.iter().map(|s| literal(s.as_str())).collect();
    let names = names.join(", ");
    // servers that list views apart list them twice here; the first line counts
    let sql = format!(
        "select TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, LAST_ALTERED from {database}.information_schema.tables where TABLE_SCHEMA in ({names})\n\
         union all\n\
         select TABLE_SCHEMA, TABLE_NAME, 'VIEW', LAST_ALTERED from {database}.information_schema.views where TABLE_SCHEMA in ({names})"
    );
    let outcome = match Lease::new(link).run(&sql).await {
        Ok(reply) => collect(reply, &sql).await?,
        // a database that does not exist holds nothing
        Err(e) if is_missing(&e) => return Ok(vec![]),
        Err(e) => return Err(e),
    };
    let times: Vec<i64> = outcome.batches.iter().flat_map(|b| micros(b.column(3))).collect();
    let lines = rows(&outcome).zip(times).filter_map(|(row, altered)| {
        let cell = |i: usize| row.get(i).cloned().flatten();
        let kind = match cell(2)?.as_str() {
            "VIEW" | "MATERIALIZED VIEW" => RelationKind::View,
            _ => RelationKind::Table,
        };
        let name = RelationName::new(database.clone(), Identifier::exact(cell(0)?), Identifier::exact(cell(1)?));
        Some(Listed { name, kind, altered })
    });
    Ok(lines.collect())
}

async fn columns_of(link: &Arc<Link>, schema: &SchemaName) -> Result<HashMap<RelationName, Vec<ColumnInfo>>, EngineError> {
    let sql = format!(
        "select TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, CHARACTER_MAXIMUM_LENGTH, IS_NULLABLE \
         from {}.information_schema.columns where TABLE_SCHEMA = {} order by TABLE_NAME, ORDINAL_POSITION",
        schema.database,
        literal(schema.schema.as_str())
    );
    let outcome = match Lease::new(link).run(&sql).await {
        Ok(reply) => collect(reply, &sql).await?,
        Err(e) if is_missing(&e) => return Ok(HashMap::new()),
        Err(e) => return Err(e),
    };
    let mut all: HashMap<RelationName, Vec<ColumnInfo>> = HashMap::new();
    for row in rows(&outcome) {
        let cell = |i: usize| row.get(i).cloned().flatten();
        let (Some(table), Some(name), Some(kind)) = (cell(0), cell(1), cell(2)) else { continue };
        let data_type = match kind.as_str() {
            "NUMBER" => format!("NUMBER({},{})", cell(3).unwrap_or_else(|| "38".into()), cell(4).unwrap_or_else(|| "0".into())),
            "TEXT" | "VARCHAR" => spelled(&cell(5).map_or("VARCHAR".into(), |n| format!("VARCHAR({n})"))),
            other => spelled(other),
        };
        let nullable = cell(6).is_none_or(|n| !n.eq_ignore_ascii_case("NO"));
        all.entry(schema.relation(Identifier::exact(table))).or_default().push(ColumnInfo {
            name: Identifier::exact(name),
            data_type,
            nullable,
        });
    }
    Ok(all)
}

/// A type as the local engine spells it: lengths that limit nothing are left out, times have their nine digits.
fn spelled(kind: &str) -> String {
    let upper = kind.trim().to_uppercase();
    let (name, arguments) = upper.split_once('(').map_or((upper.as_str(), None), |(n, a)| (n, Some(a.trim_end_matches(')'))));
    match (name, arguments) {
        ("TEXT" | "VARCHAR" | "STRING" | "CHAR", None) => "VARCHAR".into(),
        ("VARCHAR" | "TEXT", Some(n)) if n.parse::<u64>().is_ok_and(|n| n >= 16_777_216) => "VARCHAR".into(),
        ("TIME" | "TIMESTAMP_NTZ" | "TIMESTAMP_LTZ" | "TIMESTAMP_TZ", None) => format!("{name}(9)"),
        ("BINARY", _) => "BINARY".into(),
        ("DOUBLE" | "REAL", _) => "FLOAT".into(),
        _ => upper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_spelled_alike() {
        for (kind, expect) in [
            ("VARCHAR(16777216)", "VARCHAR"),
            ("VARCHAR(20)", "VARCHAR(20)"),
            ("TEXT", "VARCHAR"),
            ("TIMESTAMP_NTZ", "TIMESTAMP_NTZ(9)"),
            ("NUMBER(10,2)", "NUMBER(10,2)"),
            ("BINARY(8388608)", "BINARY"),
            ("VARIANT", "VARIANT"),
        ] {
            assert_eq!(spelled(kind), expect);
        }
    }
}
