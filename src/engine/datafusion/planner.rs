//! Statements to logical plans. Only the tables and views that a statement names are opened.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};

use ::datafusion::{
    arrow::datatypes::{DataType, SchemaRef},
    catalog::TableProvider,
    common::{Result as DfResult, TableReference, plan_datafusion_err},
    config::ConfigOptions,
    datasource::{ViewTable, provider_as_source},
    execution::SessionState,
    logical_expr::{
        AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
        planner::{ContextProvider, ExprPlanner, RelationPlanner},
    },
    sql::planner::{ParserOptions, SqlToRel},
};
use futures::{FutureExt, future::BoxFuture};
use sqlparser::ast::{ObjectName, Query, Statement};

use super::{Inner, expression_planners, fault, history::History};
use crate::{
    dialect::{lower, parse, resolve, retag::retag},
    engine::EngineError,
    lake::Lake,
    names::{Identifier, RelationName, SchemaName, nearest},
};

/// Views that name views: deeper than any honest project.
const VIEW_DEPTH: usize = 64;

/// Expressions nest as deep as users write them: a thousand conditions joined by OR are a thousand levels.
pub(super) fn deep<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(4 << 20, 64 << 20, work)
}

/// What names mean while a statement is planned.
#[derive(Clone)]
pub(super) struct Scope {
    pub schema: SchemaName,
    /// Relations that exist for this statement only, by unqualified name; they hide others.
    pub local: BTreeMap<String, Arc<dyn TableProvider>>,
    pub lowering: lower::LowerContext,
    /// Functions that give a sequence's next value, made by the preparation.
    pub sequences: BTreeMap<String, Arc<ScalarUDF>>,
    pub history: History,
    /// Folder of the session's temporary relations.
    home: Option<Arc<SessionFolder>>,
    depth: usize,
}

/// A folder that goes with the session.
struct SessionFolder {
    lake: Lake,
    path: PathBuf,
}

impl Drop for SessionFolder {
    fn drop(&mut self) {
        self.lake.remove_session_folder(&self.path);
    }
}

impl Scope {
    pub fn new(schema: SchemaName) -> Self {
        Self {
            schema,
            local: BTreeMap::new(),
            lowering: lower::LowerContext::default(),
            sequences: BTreeMap::new(),
            history: History::default(),
            home: None,
            depth: 0,
        }
    }

    /// Of a session, which may have temporary relations.
    pub fn of_session(schema: SchemaName, lake: &Lake) -> Self {
        let home = SessionFolder { lake: lake.clone(), path: lake.session_folder() };
        Self { home: Some(Arc::new(home)), ..Self::new(schema) }
    }

    /// From now on the relation is the session's own.
    pub fn make_temporary(&self, lake: &Lake, relation: &RelationName) -> Result<(), EngineError> {
        match &self.home {
            Some(home) => lake.make_temporary(relation, &home.path),
            None => return Err(EngineError::new("sql/temporary", "temporary relations belong to a session; there is none here")),
        }
        Ok(())
    }
}

impl Inner {
    /// A query's text as a plan.
    pub(super) async fn plan_query(&self, sql: &str, scope: &Scope) -> Result<LogicalPlan, EngineError> {
        match parse::parse_statement(sql).map_err(fault::sql)? {
            Statement::Query(query) => self.plan_parsed(sql, *query, scope).await,
            other => {
                let word = other.to_string();
                let word = word.split_whitespace().next().unwrap_or("this").to_uppercase();
                Err(EngineError::new("sql/not-a-query", format!("a query was expected, this is a {word} statement")))
            }
        }
    }

    pub(super) fn plan_parsed<'a>(
        &'a self,
        sql: &'a str,
        query: Query,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<LogicalPlan, EngineError>> {
        // boxed: preparing a query may plan others
        self.plan_here(sql, query, scope).boxed()
    }

    async fn plan_here(&self, sql: &str, mut query: Query, scope: &Scope) -> Result<LogicalPlan, EngineError> {
        let mut own = scope.clone();
        deep(|| lower::name_columns(&mut query));
        self.put_ddl(&mut query, scope).await?;
        self.prepare(sql, &mut query, &mut own).await?;
        let scope = &own;
        let lowering = lower::LowerContext {
            variables: scope.lowering.variables.clone(),
            settings: Arc::new(self.settings().clone()),
            facts: self.facts.clone(),
        };
        deep(|| lower::lower_query(sql, &mut query, &lowering)).map_err(fault::sql)?;
        let mut statement = Statement::Query(Box::new(query));
        let mut tables = HashMap::new();
        let itself = recursive_ctes(&statement);
        for name in referenced(&statement) {
            // in its own definition, a recursive CTE is never a table
            if matches!(parts_of(&name).as_slice(), [one] if itself.contains(one)) {
                continue;
            }
            let reference = reference(&name, &scope.schema);
            if tables.contains_key(&reference) {
                continue;
            }
            if let Some(provider) = self.provider(&name, scope).await? {
                tables.insert(reference, provider);
            }
        }
        if let Statement::Query(query) = &mut statement {
            let known = KnownColumns { schema: &scope.schema, tables: &tables };
            deep(|| resolve::resolve(sql, query, &known)).map_err(fault::sql)?;
        }
        let provider = Names { state: &self.state, expr_planners: expression_planners(&self.state), scope, tables };
        let options = ParserOptions::new()
            .with_parse_float_as_decimal(true)
            .with_enable_ident_normalization(false)
            .with_collect_spans(true)
            .with_map_string_types_to_utf8view(false);
        let plan = deep(|| SqlToRel::new_with_options(&provider, options).sql_statement_to_plan(statement))
            .map_err(|e| self.with_nearest(fault::plan(sql, &e), scope))?;
        // coercion decides result types (of CASE, of UNION): tables and views are made with them
        let analyzer = self.state.analyzer();
        let analyzed = deep(|| retag(plan).and_then(|plan| analyzer.execute_and_check(plan, self.state.config_options(), |_, _| {})));
        analyzed.map_err(|e| fault::plan(sql, &e))
    }

    /// An unknown relation, with the nearest name of its schema.
    fn with_nearest(&self, error: EngineError, scope: &Scope) -> EngineError {
        if error.code != "sql/unknown-table" || error.help.is_some() {
            return error;
        }
        let name = error.message.split('`').nth(1).unwrap_or_default().to_owned();
        let parts: Vec<String> = name.split('.').map(|p| p.trim_matches('"').to_owned()).collect();
        let Some(relation) = resolve(&parts, &scope.schema) else { return error };
        let schema = relation.schema_name();
        if !self.lake.schema_exists(&schema) && schema != self.default_schema {
            return error.help(format!("there is no schema `{schema}`"));
        }
        let entries = self.lake.entries(&schema).unwrap_or_default();
        match nearest(relation.name.as_str(), entries.iter().map(|e| e.relation.name.as_str())) {
            Some(near) => error.help(format!("there is `{near}`")),
            None => error,
        }
    }

    /// The relation that a name in FROM means; `None` when there is none (it may be a CTE).
    async fn provider(&self, name: &ObjectName, scope: &Scope) -> Result<Option<Arc<dyn TableProvider>>, EngineError> {
        let parts = parts_of(name);
        if let [one] = parts.as_slice()
            && let Some(provider) = scope.local.get(one)
        {
            return Ok(Some(provider.clone()));
        }
        let Some(relation) = resolve(&parts, &scope.schema) else { return Ok(None) };
        if relation.schema.as_str() == "INFORMATION_SCHEMA" {
            return self.information_schema(&relation).map(Some);
        }
        self.relation_provider(&relation, scope.depth).await
    }

    /// A table or view for reading.
    pub(super) fn relation_provider<'a>(
        &'a self,
        relation: &'a RelationName,
        depth: usize,
    ) -> BoxFuture<'a, Result<Option<Arc<dyn TableProvider>>, EngineError>> {
        async move {
            if let Some(shapes) = &self.shapes
                && let Some(known) = shapes.provider(relation)?
            {
                return Ok(Some(known));
            }
            if let Some(mut view) = self.lake.view(relation).map_err(fault::lake)? {
                if let Some(external) = view.external.take() {
                    return self.external_provider(relation, &view, external).await.map(Some);
                }
                if depth > VIEW_DEPTH {
                    return Err(EngineError::new("sql/view-depth", format!("the view `{relation}` is defined through itself")));
                }
                let mut scope = Scope::new(SchemaName::new(Identifier::exact(view.database), Identifier::exact(view.schema)));
                scope.depth = depth + 1;
                let plan = self.plan_query(&view.sql, &scope).await.map_err(|e| EngineError {
                    at: None,
                    notes: vec![format!("in the definition of the view `{relation}`")],
                    ..e
                })?;
                return Ok(Some(Arc::new(ViewTable::new(plan, Some(view.sql))) as Arc<dyn TableProvider>));
            }
            match self.lake.table(relation).await.map_err(fault::lake)? {
                Some(table) => Ok(Some(table.provider(&self.state, None).await.map_err(fault::lake)?)),
                None => Ok(None),
            }
        }
        .boxed()
    }
}

/// Names of the CTEs that name themselves.
fn recursive_ctes(statement: &Statement) -> Vec<String> {
    struct Ctes(Vec<String>);
    impl sqlparser::ast::Visitor for Ctes {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> std::ops::ControlFlow<()> {
            for cte in query.with.iter().filter(|w| w.recursive).flat_map(|w| &w.cte_tables) {
                let name = lower::stored(&cte.alias.name);
                if resolve::is_recursive(&cte.query, &name) {
                    self.0.push(name);
                }
            }
            std::ops::ControlFlow::Continue(())
        }
    }
    let mut ctes = Ctes(vec![]);
    let _ = sqlparser::ast::Visit::visit(statement, &mut ctes);
    ctes.0
}

/// Columns of the tables that a statement names, for the resolution of names.
struct KnownColumns<'a> {
    schema: &'a SchemaName,
    tables: &'a HashMap<(String, String, String), Arc<dyn TableProvider>>,
}

impl resolve::Columns for KnownColumns<'_> {
    fn columns(&self, name: &ObjectName) -> Option<Vec<String>> {
        let table = self.tables.get(&reference(name, self.schema))?;
        Some(table.schema().fields().iter().map(|f| f.name().clone()).collect())
    }
}

/// Every name in a FROM position, CTEs included.
fn referenced(statement: &Statement) -> Vec<ObjectName> {
    let mut names = vec![];
    let _ = sqlparser::ast::visit_relations(statement, |name| {
        names.push(name.clone());
        std::ops::ControlFlow::<()>::Continue(())
    });
    names
}

/// Stored forms of a lowered name's parts.
pub(super) fn parts_of(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(|p| p.as_ident()).map(lower::stored).collect()
}

/// Parts to a full name in the session's schema.
pub(super) fn resolve(parts: &[String], schema: &SchemaName) -> Option<RelationName> {
    let id = |s: &String| Identifier::exact(s.clone());
    match parts {
        [name] => Some(schema.relation(id(name))),
        [s, name] => Some(RelationName::new(schema.database.clone(), id(s), id(name))),
        [d, s, name] => Some(RelationName::new(id(d), id(s), id(name))),
        _ => None,
    }
}

fn reference(name: &ObjectName, schema: &SchemaName) -> (String, String, String) {
    key(&parts_of(name), schema)
}

fn key(parts: &[String], schema: &SchemaName) -> (String, String, String) {
    match parts {
        [name] => (schema.database.as_str().into(), schema.schema.as_str().into(), name.clone()),
        [s, name] => (schema.database.as_str().into(), s.clone(), name.clone()),
        [d, s, name] => (d.clone(), s.clone(), name.clone()),
        _ => (String::new(), String::new(), parts.join(".")),
    }
}

/// Names for DataFusion's planner.
struct Names<'a> {
    state: &'a SessionState,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
    scope: &'a Scope,
    tables: HashMap<(String, String, String), Arc<dyn TableProvider>>,
}

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, name: TableReference) -> DfResult<Arc<dyn TableSource>> {
        let parts: Vec<String> = match &name {
            TableReference::Bare { table } => vec![table.to_string()],
            TableReference::Partial { schema, table } => vec![schema.to_string(), table.to_string()],
            TableReference::Full { catalog, schema, table } => vec![catalog.to_string(), schema.to_string(), table.to_string()],
        };
        match self.tables.get(&key(&parts, &self.scope.schema)) {
            Some(provider) => Ok(provider_as_source(provider.clone())),
            None => Err(plan_datafusion_err!("table '{}' not found", parts.join("."))),
        }
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> DfResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(::datafusion::datasource::cte_worktable::CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expr_planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.state.relation_planners()
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scope.sequences.get(name).or_else(|| self.state.scalar_functions().get(&name.to_lowercase())).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(&name.to_lowercase()).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(&name.to_lowercase()).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(&name.to_lowercase()).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
