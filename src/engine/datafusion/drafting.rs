//! Queries planned against relations of which only the columns are known: what `segue check` asks, before anything is built.
//!
//! The same lowering and the same planner as for a build; only the way from a name to a table differs. No data is read. A
//! name that nobody described is looked for in the warehouse, where a table that no node builds may stand.

use std::{collections::HashMap, sync::Arc};

use ::datafusion::{
    arrow::datatypes::SchemaRef, catalog::TableProvider, common::TableReference, datasource::empty::EmptyTable, execution::SessionState,
    logical_expr::LogicalPlan,
};
use parking_lot::RwLock;

use super::{
    Inner, LocalEngine,
    execution::stored_schema,
    planner::{Scope, resolve},
};
use crate::{
    dialect::types::Type,
    engine::EngineError,
    names::{RelationName, SchemaName},
};

/// The code of an error that says nothing of the query: a relation in it has columns that nobody knows.
pub const OPAQUE: &str = "engine/opaque";

/// What is known of relations.
#[derive(Default)]
pub(super) struct Shapes(RwLock<HashMap<RelationName, Option<Arc<dyn TableProvider>>>>);

impl Shapes {
    /// The relation as a table without rows; `None` when nobody described it.
    pub(super) fn provider(&self, relation: &RelationName) -> Result<Option<Arc<dyn TableProvider>>, EngineError> {
        match self.0.read().get(relation) {
            None => Ok(None),
            Some(Some(provider)) => Ok(Some(Arc::clone(provider))),
            Some(None) => Err(EngineError::new(OPAQUE, format!("the columns of `{relation}` are not known"))),
        }
    }
}

/// Plans without data. Cheap to share; what is described is seen by all.
#[derive(Clone)]
pub struct Drafting {
    inner: Arc<Inner>,
    shapes: Arc<Shapes>,
}

/// A query with its types.
#[derive(Clone, Debug)]
pub struct Drafted {
    pub plan: LogicalPlan,
    /// The columns as a table would store them.
    pub schema: SchemaRef,
}

impl LocalEngine {
    pub fn drafting(&self) -> Drafting {
        let shapes = Arc::new(Shapes::default());
        let inner = Inner { shapes: Some(Arc::clone(&shapes)), ..self.inner.as_ref().clone() };
        Drafting { inner: Arc::new(inner), shapes }
    }
}

impl Drafting {
    /// From now on the relation has these columns.
    pub fn describe(&self, relation: &RelationName, schema: SchemaRef) {
        self.shapes.0.write().insert(relation.clone(), Some(Arc::new(EmptyTable::new(schema))));
    }

    /// The relation exists, but nobody knows its columns: queries that read it fail with [`OPAQUE`].
    pub fn conceal(&self, relation: &RelationName) {
        self.shapes.0.write().insert(relation.clone(), None);
    }

    pub(super) fn state(&self) -> &SessionState {
        &self.inner.state
    }

    pub fn columns(&self, relation: &RelationName) -> Option<SchemaRef> {
        self.shapes.0.read().get(relation)?.as_ref().map(|p| p.schema())
    }

    /// The layout of the relation in the warehouse, where it is there already.
    pub async fn existing(&self, relation: &RelationName) -> Result<Option<SchemaRef>, EngineError> {
        let columns = self.inner.columns(relation).await?;
        let Some(columns) = columns else { return Ok(None) };
        let named: Vec<(String, String)> = columns.into_iter().map(|c| (c.name.as_str().to_owned(), c.data_type)).collect();
        schema_of(&named).map(Some)
    }

    pub async fn query(&self, sql: &str, schema: &SchemaName) -> Result<Drafted, EngineError> {
        let scope = Scope::new(schema.clone());
        let plan = self.inner.plan_query(sql, &scope).await?;
        let schema = stored_schema(&plan)?;
        Ok(Drafted { plan, schema })
    }
}

/// Columns by name and Snowflake type; a name is stored as it is given.
pub fn schema_of(columns: &[(String, String)]) -> Result<SchemaRef, EngineError> {
    let fields = columns.iter().map(|(name, data_type)| {
        let known = Type::parse(data_type).map_err(super::fault::sql)?;
        Ok(known.field(name.as_str()).as_ref().clone().with_nullable(true))
    });
    let fields = fields.collect::<Result<Vec<_>, EngineError>>()?;
    Ok(Arc::new(::datafusion::arrow::datatypes::Schema::new(fields)))
}

/// The relation that a scan of a plan reads.
pub fn scanned(name: &TableReference, schema: &SchemaName) -> Option<RelationName> {
    let parts: Vec<String> = match name {
        TableReference::Bare { table } => vec![table.to_string()],
        TableReference::Partial { schema, table } => vec![schema.to_string(), table.to_string()],
        TableReference::Full { catalog, schema, table } => vec![catalog.to_string(), schema.to_string(), table.to_string()],
    };
    resolve(&parts, schema)
}
