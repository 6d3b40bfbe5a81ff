//! The walk over a plan, from its scans up: each step turns the origins of its input's columns into those of its own.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    common::{
        Column, DFSchema,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Distinct, Expr, Join, JoinType, LogicalPlan, TableScan, WindowFunctionDefinition, expr::WindowFunction},
};

use super::{Lineage, Origin, Origins, Way};
use crate::{engine::datafusion::scanned, names::SchemaName};

/// Origins of the columns of a step, in order.
type Flow = Vec<Arc<Origins>>;

/// A step's columns by name.
type Side<'a> = (&'a DFSchema, &'a [Arc<Origins>]);

/// A recursive query is walked until nothing new comes, at most so often.
const ROUNDS: usize = 8;

pub(super) fn walk(plan: &LogicalPlan, schema: &SchemaName) -> Lineage {
    let mut walker = Walker { schema, filters: Origins::new(), works: HashMap::new(), outer: vec![] };
    let flow = walker.plan(plan);
    let names = plan.schema().fields().iter().map(|f| f.name().clone());
    Lineage { columns: names.zip(flow).collect(), filters: walker.filters }
}

struct Walker<'a> {
    schema: &'a SchemaName,
    filters: Origins,
    /// Working tables of the recursive queries around.
    works: HashMap<String, Flow>,
    /// What subqueries see of the queries around them.
    outer: Vec<(DFSchema, Flow)>,
}

impl Walker<'_> {
    fn plan(&mut self, plan: &LogicalPlan) -> Flow {
        stacker::maybe_grow(256 << 10, 8 << 20, || self.step(plan))
    }

    fn step(&mut self, plan: &LogicalPlan) -> Flow {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::Projection(p) => {
                let input = self.plan(&p.input);
                self.all(&p.expr, &[(p.input.schema(), &input)])
            }
            LogicalPlan::Filter(f) => {
                let input = self.plan(&f.input);
                self.condition(&f.predicate, &[(f.input.schema(), &input)]);
                input
            }
            LogicalPlan::Aggregate(a) => {
                let input = self.plan(&a.input);
                let sides = [(a.input.schema().as_ref(), input.as_slice())];
                let mut flow = vec![];
                for expr in &a.group_expr {
                    match expr {
                        Expr::GroupingSet(set) => flow.extend(set.distinct_expr().into_iter().map(|e| Arc::new(self.expr(e, &sides)))),
                        other => flow.push(Arc::new(self.expr(other, &sides))),
                    }
                }
                let aggregates = self.all(&a.aggr_expr, &sides);
                // a grouping set has the number of the set between the keys and the aggregates
                while flow.len() + aggregates.len() < a.schema.fields().len() {
                    flow.push(Arc::default());
                }
                flow.extend(aggregates);
                flow
            }
            LogicalPlan::Window(w) => {
                let mut flow = self.plan(&w.input);
                let more = self.all(&w.window_expr, &[(w.input.schema(), &flow)]);
                flow.extend(more);
                flow
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => {
                let mut merged: Vec<Origins> = vec![Origins::new(); plan.schema().fields().len()];
                for input in &union.inputs {
                    for (into, from) in merged.iter_mut().zip(self.plan(input)) {
                        merge(into, &from, Way::Copy);
                    }
                }
                merged.into_iter().map(Arc::new).collect()
            }
            LogicalPlan::Distinct(Distinct::On(on)) => {
                let input = self.plan(&on.input);
                let sides = [(on.input.schema().as_ref(), input.as_slice())];
                for expr in &on.on_expr {
                    self.condition(expr, &sides);
                }
                self.all(&on.select_expr, &sides)
            }
            LogicalPlan::Unnest(unnest) => {
                let input = self.plan(&unnest.input);
                let unnested = |i: &usize| unnest.list_type_columns.iter().any(|(at, _)| at == i) || unnest.struct_type_columns.contains(i);
                let of = |i: &usize| {
                    let Some(from) = input.get(*i) else { return Arc::default() };
                    if unnested(i) { Arc::new(through(from, Way::Transform)) } else { Arc::clone(from) }
                };
                unnest.dependency_indices.iter().map(of).collect()
            }
            LogicalPlan::RecursiveQuery(query) => {
                let mut flow = self.plan(&query.static_term);
                for _ in 0..ROUNDS {
                    self.works.insert(query.name.clone(), flow.clone());
                    let recursive = self.plan(&query.recursive_term);
                    let mut next: Vec<Origins> = flow.iter().map(|o| o.as_ref().clone()).collect();
                    for (into, from) in next.iter_mut().zip(recursive) {
                        merge(into, &from, Way::Copy);
                    }
                    let next: Flow = next.into_iter().map(Arc::new).collect();
                    if next == flow {
                        break;
                    }
                    flow = next;
                }
                self.works.remove(&query.name);
                flow
            }
            LogicalPlan::Values(values) => vec![Arc::default(); values.schema.fields().len()],
            LogicalPlan::EmptyRelation(empty) => vec![Arc::default(); empty.schema.fields().len()],
            LogicalPlan::Subquery(query) => self.plan(&query.subquery),
            other => self.other(other),
        }
    }

    /// Steps that pass columns on; of one that does not, every column comes from every column.
    fn other(&mut self, plan: &LogicalPlan) -> Flow {
        let width = plan.schema().fields().len();
        let mut flow: Flow = vec![];
        for input in plan.inputs() {
            flow.extend(self.plan(input));
        }
        if flow.len() == width {
            return flow;
        }
        let mut all = Origins::new();
        for from in &flow {
            merge(&mut all, from, Way::Transform);
        }
        let all = Arc::new(all);
        std::iter::repeat_n(all, width).collect()
    }

    fn scan(&mut self, scan: &TableScan) -> Flow {
        let name = scan.table_name.table();
        if let Some((_, flow)) = self.works.iter().find(|(work, _)| work.eq_ignore_ascii_case(name)) {
            return flow.clone();
        }
        let Some(relation) = scanned(&scan.table_name, self.schema) else {
            return vec![Arc::default(); scan.projected_schema.fields().len()];
        };
        let origin = |name: &String| Arc::new(Origins::from([(Origin { relation: relation.clone(), column: name.clone() }, Way::Copy)]));
        scan.projected_schema.fields().iter().map(|f| origin(f.name())).collect()
    }

    fn join(&mut self, join: &Join) -> Flow {
        let (left, right) = (self.plan(&join.left), self.plan(&join.right));
        let sides = [(join.left.schema().as_ref(), left.as_slice()), (join.right.schema().as_ref(), right.as_slice())];
        for (a, b) in &join.on {
            self.condition(a, &sides);
            self.condition(b, &sides);
        }
        if let Some(filter) = &join.filter {
            self.condition(filter, &sides);
        }
        let mut flow = match join.join_type {
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right,
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left,
            _ => left.into_iter().chain(right).collect(),
        };
        flow.resize(join.schema.fields().len(), Arc::default());
        flow
    }

    fn all(&mut self, exprs: &[Expr], sides: &[Side<'_>]) -> Flow {
        exprs.iter().map(|e| Arc::new(self.expr(e, sides))).collect()
    }

    fn condition(&mut self, expr: &Expr, sides: &[Side<'_>]) {
        let origins = self.expr(expr, sides);
        merge(&mut self.filters, &origins, Way::Filter);
    }

    fn expr(&mut self, expr: &Expr, sides: &[Side<'_>]) -> Origins {
        stacker::maybe_grow(256 << 10, 8 << 20, || self.value(expr, sides))
    }

    fn value(&mut self, expr: &Expr, sides: &[Side<'_>]) -> Origins {
        let mut found = Origins::new();
        match expr {
            Expr::Column(column) => {
                if let Some(origins) = find(column, sides) {
                    found = origins.as_ref().clone();
                }
            }
            Expr::OuterReferenceColumn(_, column) => {
                let around = self.outer.iter().rev().find_map(|(schema, flow)| find(column, &[(schema, flow)]).cloned());
                found = around.map(|o| o.as_ref().clone()).unwrap_or_default();
            }
            Expr::Alias(alias) => return self.expr(&alias.expr, sides),
            // puts a type's name back on what it is given
            Expr::ScalarFunction(f) if f.name() == "__tag" => {
                if let Some(value) = f.args.first() {
                    return self.expr(value, sides);
                }
            }
            Expr::AggregateFunction(f) => {
                for argument in &f.params.args {
                    merge(&mut found, &self.expr(argument, sides), Way::Aggregate);
                }
                let order = f.params.order_by.iter().map(|s| &s.expr);
                for beside in f.params.filter.iter().map(AsRef::as_ref).chain(order) {
                    merge(&mut found, &self.expr(beside, sides), Way::Filter);
                }
            }
            Expr::WindowFunction(f) => self.window(f, sides, &mut found),
            Expr::ScalarSubquery(query) => {
                let flow = self.subquery(&query.subquery, sides);
                if let Some(first) = flow.first() {
                    merge(&mut found, first, Way::Copy);
                }
            }
            Expr::InSubquery(e) => {
                merge(&mut found, &self.expr(&e.expr, sides), Way::Transform);
                for of in self.subquery(&e.subquery.subquery, sides) {
                    merge(&mut found, &of, Way::Transform);
                }
            }
            Expr::SetComparison(e) => {
                merge(&mut found, &self.expr(&e.expr, sides), Way::Transform);
                for of in self.subquery(&e.subquery.subquery, sides) {
                    merge(&mut found, &of, Way::Transform);
                }
            }
            Expr::Exists(e) => {
                for of in self.subquery(&e.subquery.subquery, sides) {
                    merge(&mut found, &of, Way::Filter);
                }
            }
            other => {
                let mut parts = vec![];
                let _ = other.apply_children(|child| {
                    parts.push(self.expr(child, sides));
                    Ok(TreeNodeRecursion::Continue)
                });
                for part in &parts {
                    merge(&mut found, part, Way::Transform);
                }
            }
        }
        found
    }

    fn window(&mut self, f: &WindowFunction, sides: &[Side<'_>], found: &mut Origins) {
        let way = match &f.fun {
            WindowFunctionDefinition::AggregateUDF(_) => Way::Aggregate,
            // LAG, FIRST_VALUE...: a value of another row
            WindowFunctionDefinition::WindowUDF(_) => Way::Transform,
        };
        for argument in &f.params.args {
            merge(found, &self.expr(argument, sides), way);
        }
        // a rank is made of nothing but the order and the groups
        let beside = if f.params.args.is_empty() { Way::Transform } else { Way::Filter };
        let order = f.params.order_by.iter().map(|s| &s.expr);
        for expr in f.params.partition_by.iter().chain(order).chain(f.params.filter.iter().map(AsRef::as_ref)) {
            merge(found, &self.expr(expr, sides), beside);
        }
    }

    fn subquery(&mut self, plan: &LogicalPlan, sides: &[Side<'_>]) -> Flow {
        for (schema, flow) in sides {
            self.outer.push(((*schema).clone(), flow.to_vec()));
        }
        let flow = self.plan(plan);
        self.outer.truncate(self.outer.len() - sides.len());
        flow
    }
}

fn find<'a>(column: &Column, sides: &[Side<'a>]) -> Option<&'a Arc<Origins>> {
    sides.iter().find_map(|(schema, flow)| flow.get(schema.maybe_index_of_column(column)?))
}

fn merge(into: &mut Origins, from: &Origins, way: Way) {
    for (origin, first) in from {
        let way = first.then(way);
        into.entry(origin.clone()).and_modify(|w| *w = (*w).max(way)).or_insert(way);
    }
}

fn through(from: &Origins, way: Way) -> Origins {
    let mut into = Origins::new();
    merge(&mut into, from, way);
    into
}
