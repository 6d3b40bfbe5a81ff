//! The parsed macros of all packages and the passes over a text.

use std::{ops::Range, sync::Arc};

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::{Collected, MacroFile, NodeContext, ProjectContext, Rendered, Resolver, Returned, Warehouse};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, SourceFile};

/// Immutable; share it by reference or `Arc`.
pub struct Environment {
    context: ProjectContext,
}

/// A macro called from outside a template (`run-operation`, `generate_schema_name`).
#[derive(Clone, Debug, Default)]
pub struct MacroCall {
    /// `name` or `package.name`.
    pub name: String,
    pub args: Vec<Json>,
    pub kwargs: IndexMap<String, Json>,
}

/// A generic test as YAML declares it: calls the macro `test_<name>`.
#[derive(Clone, Debug)]
pub struct TestCall {
    /// `not_null`, or `package.name`.
    pub name: String,
    /// The tested relation as an expression: `ref('orders')`, `source('raw', 'orders')`.
    pub model: String,
    /// Texts with `{{ }}` and texts that are one call of `ref`, `source`, `var`, `env_var` are evaluated.
    pub arguments: IndexMap<String, Json>,
    /// The entry in the YAML file, for messages.
    pub place: Place,
}

impl Environment {
    /// Parses every macro; all faults of all files are reported together.
    pub fn new(context: ProjectContext, _macros: &[MacroFile]) -> Result<Self, Diagnostics> {
        Ok(Self { context })
    }

    pub fn context(&self) -> &ProjectContext {
        &self.context
    }

    /// What the text in `range` of `file` refers to.
    pub fn collect(&self, _file: &Arc<SourceFile>, _range: Range<usize>, _node: &NodeContext) -> Result<Collected, Diagnostics> {
        Err(Diagnostic::error("template/unfinished", "the evaluator is not in place yet").into())
    }

    /// The SQL of the text in `range` of `file`.
    pub fn render(
        &self,
        _file: &Arc<SourceFile>,
        _range: Range<usize>,
        _node: &NodeContext,
        _resolver: &dyn Resolver,
        _warehouse: &dyn Warehouse,
    ) -> Result<Rendered, Diagnostics> {
        Err(Diagnostic::error("template/unfinished", "the evaluator is not in place yet").into())
    }

    /// A text that is not a whole file's (a hook, `--inline`): as [`render`](Self::render); `place` is where it stands.
    pub fn render_text(
        &self,
        _text: &str,
        _place: &Place,
        _node: &NodeContext,
        _resolver: &dyn Resolver,
        _warehouse: &dyn Warehouse,
    ) -> Result<Rendered, Diagnostics> {
        Err(Diagnostic::error("template/unfinished", "the evaluator is not in place yet").into())
    }

    /// What such a text refers to.
    pub fn collect_text(&self, _text: &str, _place: &Place, _node: &NodeContext) -> Result<Collected, Diagnostics> {
        Err(Diagnostic::error("template/unfinished", "the evaluator is not in place yet").into())
    }

    /// A string of a YAML file: `env_var`, `var`, `target`. A text that is one expression gives that expression's value.
    pub fn render_yaml_text(&self, text: &str, _place: &Place) -> Result<Json, Diagnostics> {
        Ok(Json::String(text.to_owned()))
    }

    pub fn collect_test(&self, _test: &TestCall, _node: &NodeContext) -> Result<Collected, Diagnostics> {
        Err(Diagnostic::error("template/unfinished", "the evaluator is not in place yet").into())
    }

    pub fn render_test(
        &self,
        _test: &TestCall,
        _node: &NodeContext,
        _resolver: &dyn Resolver,
        _warehouse: &dyn Warehouse,
    ) -> Result<Rendered, Diagnostics> {
        Err(Diagnostic::error("template/unfinished", "the evaluator is not in place yet").into())
    }

    /// `place` is where the call comes from, for messages; `None` for the command line.
    pub fn call_macro(
        &self,
        _call: &MacroCall,
        _place: Option<&Place>,
        _node: &NodeContext,
        _resolver: &dyn Resolver,
        _warehouse: &dyn Warehouse,
    ) -> Result<Returned, Diagnostics> {
        Err(Diagnostic::error("template/unfinished", "the evaluator is not in place yet").into())
    }

    /// `package.name` of every macro, built-in ones as `dbt.name`, in no particular order.
    pub fn macro_names(&self) -> Vec<String> {
        vec![]
    }

    /// By `name` (root project, then built-in, then any package) or `package.name`.
    pub fn has_macro(&self, _name: &str) -> bool {
        false
    }

    pub fn macro_place(&self, _name: &str) -> Option<Place> {
        None
    }
}
