//! The local engine: Snowflake SQL on DataFusion over the Delta tables of a [`Lake`].
//!
//! | file | what it does |
//! |---|---|
//! | `planner.rs` | text -> lowered statement -> logical plan; tables and views opened as they are named |
//! | `execution.rs` | plans to rows or to data files |
//! | `exchange.rs` | rows to and from another engine |
//! | `drafting.rs` | plans against described columns, without data |
//! | `constant.rs` | constants that have no value |
//! | `prepare.rs` | SQL functions, sequences, older versions, RESULT_SCAN |
//! | `pivot.rs` | the values of PIVOT's ANY |
//! | `publish.rs` | materializations: table, view, incremental strategies |
//! | `landing.rs` | rows of sources with their positions |
//! | `external.rs` | files that are read where they lie |
//! | `staging.rs` | a relation's next version, before anyone else sees it |
//! | `session.rs` | statements of a script: queries, variables, transactions |
//! | `script.rs` | anonymous blocks, step by step |
//! | `history.rs` | what the session ran |
//! | `definition.rs` | CREATE TABLE, CREATE VIEW |
//! | `alteration.rs` | ALTER TABLE, ALTER VIEW |
//! | `object.rs` | schemas, databases, sequences, functions; DROP, UNDROP, COMMENT |
//! | `counter.rs` | numbers that each row gets once |
//! | `statement.rs` | INSERT, UPDATE, DELETE, MERGE |
//! | `touched.rs` | in which hours two versions of a table differ |
//! | `change.rs` | copy-on-write: staged rows, touched files |
//! | `catalog.rs` | relations and their columns |
//! | `listing.rs` | SHOW |
//! | `description.rs` | DESCRIBE, SHOW FUNCTIONS, SHOW ... KEYS |
//! | `ddl.rs` | GET_DDL |
//! | `parameter.rs` | session parameters, as SHOW lists them |
//! | `information.rs` | INFORMATION_SCHEMA |
//! | `fault.rs` | DataFusion's errors in the user's terms |

mod alteration;
#[cfg(test)]
mod arithmetic_tests;
mod catalog;
mod change;
mod constant;
mod counter;
mod ddl;
mod definition;
mod description;
mod drafting;
mod exchange;
mod execution;
mod external;
mod fault;
#[cfg(test)]
mod function_tests;
mod history;
mod information;
mod landing;
mod listing;
mod object;
mod parameter;
mod pivot;
mod planner;
mod prepare;
mod publish;
mod replacement;
mod script;
mod session;
mod staging;
mod statement;
#[cfg(test)]
mod sweep_tests;
#[cfg(test)]
mod syntax_tests;
#[cfg(test)]
mod tests;
mod touched;
#[cfg(test)]
mod value_tests;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use ::datafusion::{
    execution::{
        SessionState, SessionStateBuilder,
        memory_pool::{GreedyMemoryPool, TrackConsumersPool},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    prelude::SessionConfig,
};
use async_trait::async_trait;
pub use drafting::{Drafted, Drafting, OPAQUE, scanned, schema_of};

use super::{
    Attachment, ColumnInfo, Engine, EngineError, Externals, Landing, LandingState, Lock, Publish, Published, RelationInfo, Session, Stage,
    Upkeep, Upkept,
};
use crate::{
    dialect::{facts::Facts, function, operator::SnowflakeOperators, relation::SnowflakeRelations, settings::Settings},
    lake::{Lake, Locked},
    names::{Identifier, RelationName, SchemaName},
};

/// Bytes of memory for operators when the profile does not say.
const DEFAULT_MEMORY_LIMIT: usize = 4 << 30;

/// What the profile says of a local target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalOptions {
    /// `path:`, relative to the project.
    pub path: String,
    pub database: String,
    pub schema: String,
    /// `memory_limit:` in bytes.
    pub memory_limit: Option<usize>,
    /// `user:`, else who runs segue.
    pub user: Option<String>,
}

/// One warehouse opened for one target. Cheap to share.
#[derive(Clone)]
pub struct LocalEngine {
    inner: Arc<Inner>,
}

/// Of the engine, or of one session with its own parameters.
#[derive(Clone)]
pub(super) struct Inner {
    lake: Lake,
    state: SessionState,
    default_schema: SchemaName,
    facts: Arc<Facts>,
    /// Where queries are only planned: what is known of relations, over what the lake holds.
    shapes: Option<Arc<drafting::Shapes>>,
    /// Who reads the files of relations that have no rows of their own.
    externals: Option<Arc<Externals>>,
}

impl Inner {
    /// The same warehouse with other session parameters.
    fn with_settings(&self, settings: Settings) -> Self {
        let mut other = self.clone();
        other.state.config_mut().options_mut().extensions.insert(settings);
        // expressions are made physical with the options that stand here
        let options = other.state.config_options().clone();
        other.state.execution_props_mut().mark_start_execution(options);
        other
    }

    fn settings(&self) -> &Settings {
        Settings::of(self.state.config_options())
    }
}

impl Inner {
    /// The same warehouse for one session, which may have relations of its own.
    fn for_session(&self) -> Self {
        let facts = Facts::new(rand::random_range(1_i64 << 32..1 << 52));
        facts.change(|m| m.user = self.facts.read(|of| of.user.clone()));
        Self { lake: self.lake.session(), facts: Arc::new(facts), ..self.clone() }
    }
}

impl LocalEngine {
    /// Opens the warehouse; nothing is written before the first publish.
    pub fn open(project_root: &Path, options: &LocalOptions) -> Result<Self, EngineError> {
        let lake = Lake::open(&options.path, project_root).map_err(fault::lake)?;
        let runtime = runtime(options.memory_limit.unwrap_or(DEFAULT_MEMORY_LIMIT)).map_err(|e| fault::plan("", &e))?;
        let mut config = SessionConfig::new().with_batch_size(8192);
        {
            let options = config.options_mut();
            options.sql_parser.enable_ident_normalization = false;
            options.sql_parser.parse_float_as_decimal = true;
            options.sql_parser.collect_spans = true;
            options.sql_parser.map_string_types_to_utf8view = false;
            options.execution.parquet.schema_force_view_types = false;
            options.extensions.insert(Settings::default());
        }
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_relation_planners(vec![Arc::new(SnowflakeRelations)])
            .build();
        function::register(&mut state).map_err(|e| fault::plan("", &e))?;
        let facts = Arc::new(Facts::default());
        let default_schema = SchemaName::new(Identifier::parse(&options.database), Identifier::parse(&options.schema));
        facts.change(|m| {
            m.schema = Some(default_schema.clone());
            m.user.clone_from(&options.user);
        });
        Ok(Self { inner: Arc::new(Inner { lake, state, default_schema, facts, shapes: None, externals: None }) })
    }

    /// The same warehouse with the files that a project reads in place.
    pub fn with_externals(&self, externals: Arc<Externals>) -> Self {
        Self { inner: Arc::new(Inner { externals: Some(externals), ..self.inner.as_ref().clone() }) }
    }

    /// The folder of the warehouse.
    pub fn root(&self) -> &Path {
        self.inner.lake.root()
    }
}

/// The functions of the dialect, and which engine has each.
pub fn function_listing() -> Vec<function::listing::Entry> {
    let state = SessionStateBuilder::new().with_default_features().build();
    let own: std::collections::HashSet<&str> = function::names().collect();
    let known = |name: &str| {
        own.contains(name)
            || state.scalar_functions().contains_key(name)
            || state.aggregate_functions().contains_key(name)
            || state.window_functions().contains_key(name)
            || state.higher_order_functions().contains_key(name)
    };
    function::listing::entries(&known)
}

fn runtime(memory_limit: usize) -> ::datafusion::error::Result<Arc<RuntimeEnv>> {
    let consumers = std::num::NonZeroUsize::new(5).unwrap_or(std::num::NonZeroUsize::MIN);
    // first come, first served: fair shares fail a small sort beside many idle consumers, long before memory is short
    let pool = TrackConsumersPool::new(GreedyMemoryPool::new(memory_limit), consumers);
    RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc()
}

#[async_trait]
impl Engine for LocalEngine {
    async fn relations(&self, schemas: &[SchemaName]) -> Result<Vec<RelationInfo>, EngineError> {
        self.inner.relations(schemas).await
    }

    async fn columns(&self, relation: &RelationName) -> Result<Option<Vec<ColumnInfo>>, EngineError> {
        self.inner.columns(relation).await
    }

    async fn lock(&self, relation: &RelationName, holder: &str) -> Result<Lock, EngineError> {
        Ok(match self.inner.lake.lock(relation, holder).map_err(fault::lake)? {
            Locked::Held(lock) => Lock::Held(Box::new(lock)),
            Locked::Busy(who) => Lock::Busy(who),
        })
    }

    async fn touched(&self, relation: &RelationName, since: &str, column: &str) -> Result<Option<Vec<(i64, i64)>>, EngineError> {
        self.inner.touched_hours(relation, since, column).await
    }

    async fn recall(&self, key: &str) -> Result<Option<String>, EngineError> {
        self.inner.lake.recall(key).map_err(fault::lake)
    }

    async fn remember(&self, key: &str, text: &str) -> Result<(), EngineError> {
        self.inner.lake.remember(key, text).map_err(fault::lake)
    }

    async fn adopt(
        &self,
        relation: &RelationName,
        from: &RelationName,
        version: &str,
        properties: BTreeMap<String, String>,
    ) -> Result<Option<Published>, EngineError> {
        self.inner.adopt(relation, from, version, properties).await
    }

    async fn maintain(&self, relation: &RelationName, upkeep: &Upkeep) -> Result<Option<Upkept>, EngineError> {
        // a build that is at work on it comes first
        let _held = match self.inner.lake.lock(relation, "segue maintain").map_err(fault::lake)? {
            Locked::Held(lock) => lock,
            Locked::Busy(_) => return Ok(Some(Upkept { busy: true, ..Upkept::default() })),
        };
        self.inner.lake.maintain(relation, upkeep).await.map_err(fault::lake)
    }

    async fn stage(&self, relation: &RelationName) -> Result<Box<dyn Stage>, EngineError> {
        Ok(Box::new(staging::LocalStage::new(&self.inner, relation).await?))
    }

    fn session(&self) -> Box<dyn Session> {
        Box::new(session::LocalSession::new(self.inner.clone()))
    }

    async fn publish(&self, publish: Publish) -> Result<Published, EngineError> {
        self.inner.publish(publish).await
    }

    async fn landing(&self, table: &RelationName) -> Result<LandingState, EngineError> {
        self.inner.landing_state(table).await
    }

    async fn land(&self, landing: Landing) -> Result<Published, EngineError> {
        self.inner.land(landing).await
    }

    async fn attach(&self, attachment: Attachment) -> Result<Published, EngineError> {
        self.inner.attach(attachment).await
    }
}

/// The operators' planner comes first, before DataFusion's own.
fn expression_planners(state: &SessionState) -> Vec<Arc<dyn ::datafusion::logical_expr::planner::ExprPlanner>> {
    let mut planners: Vec<Arc<dyn ::datafusion::logical_expr::planner::ExprPlanner>> = vec![Arc::new(SnowflakeOperators)];
    planners.extend(state.expr_planners().iter().cloned());
    planners
}
