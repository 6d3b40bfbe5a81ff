//! The table or view that a node is: dbt's `generate_database_name`, `generate_schema_name` and `generate_alias_name`.
//!
//! The standard macros are plain enough to be answered without a template; a macro of the project's own is called.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value as Json, json};

use super::{profile::Profile, project_file::Quoting};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    graph::NodeConfig,
    names::{Identifier, RelationName},
    template::{Environment, MacroCall, NoResolver, NoWarehouse, NodeContext},
};

/// Makes relation names for one project.
pub struct Namer<'a> {
    environment: &'a Environment,
    profile: &'a Profile,
    /// Whether the project brings its own macro for the database, the schema, the alias.
    own: [bool; 3],
    /// A macro of the project's own looked at what is another thing in each invocation.
    varied: AtomicBool,
}

const MACROS: [&str; 3] = ["generate_database_name", "generate_schema_name", "generate_alias_name"];

impl<'a> Namer<'a> {
    pub fn new(environment: &'a Environment, profile: &'a Profile, root_package: &str) -> Self {
        // the standard macros dispatch, so that an override may also be `default__generate_schema_name`
        let prefixes = ["", "default__", "datafusion__", "snowflake__"];
        let own = MACROS.map(|name| prefixes.iter().any(|p| environment.has_macro(&format!("{root_package}.{p}{name}"))));
        Self { environment, profile, own, varied: AtomicBool::new(false) }
    }

    /// Whether names that were given may be others in the next invocation.
    pub fn varied(&self) -> bool {
        self.varied.load(Ordering::Relaxed)
    }

    /// The relation and dbt's `alias`. `name` is the alias when nothing is configured.
    pub fn name(
        &self,
        config: &NodeConfig,
        name: &str,
        quoting: Quoting,
        node: &NodeContext,
        fqn: &[String],
        place: &Place,
    ) -> Result<(RelationName, String), Diagnostics> {
        let model = if self.own.contains(&true) { self.model(config, node, fqn) } else { Json::Null };
        let target = self.profile;
        let part = |which: usize, custom: Option<&String>, native: &dyn Fn(Option<&str>) -> String| {
            let custom = custom.map(|c| c.trim()).filter(|c| !c.is_empty());
            match self.own[which] {
                true => self.call(MACROS[which], custom, &model, node, place),
                false => Ok(native(custom)),
            }
        };
        let database = part(0, config.database.as_ref(), &|custom| custom.unwrap_or(&target.database).to_owned())?;
        let schema = part(1, config.schema.as_ref(), &|custom| match custom {
            Some(custom) => format!("{}_{custom}", target.schema),
            None => target.schema.clone(),
        })?;
        let alias = part(2, config.alias.as_ref(), &|custom| custom.unwrap_or(name).to_owned())?;
        for (part, what) in [(&database, "database"), (&schema, "schema"), (&alias, "alias")] {
            if part.is_empty() {
                let fault = Diagnostic::error("project/empty-name", format!("the {what} of `{}` is empty", node.unique_id));
                return Err(fault.at(place.clone(), "for this node").into());
            }
        }
        Ok((relation(&database, &schema, &alias, quoting), alias))
    }

    fn call(&self, name: &str, custom: Option<&str>, model: &Json, node: &NodeContext, place: &Place) -> Result<String, Diagnostics> {
        let call = MacroCall {
            name: name.to_owned(),
            args: vec![custom.map_or(Json::Null, Json::from), model.clone()],
            kwargs: indexmap::IndexMap::new(),
        };
        let returned = self.environment.call_macro(&call, Some(place), node, &NoResolver, &NoWarehouse)?;
        if returned.varies {
            self.varied.store(true, Ordering::Relaxed);
        }
        Ok(returned.text.trim().to_owned())
    }

    fn model(&self, config: &NodeConfig, node: &NodeContext, fqn: &[String]) -> Json {
        let mut model: Map<String, Json> = (*node.model).clone();
        model.extend([
            ("name".to_owned(), json!(node.name)),
            ("unique_id".to_owned(), json!(node.unique_id)),
            ("resource_type".to_owned(), json!(node.kind.as_str())),
            ("package_name".to_owned(), json!(node.package)),
            ("fqn".to_owned(), json!(fqn)),
            ("config".to_owned(), json!(config.all)),
            ("tags".to_owned(), config.all.get("tags").cloned().unwrap_or(json!([]))),
        ]);
        Json::Object(model)
    }
}

pub fn relation(database: &str, schema: &str, name: &str, quoting: Quoting) -> RelationName {
    let part = |text: &str, quoted: Option<bool>| match quoted {
        Some(true) => Identifier::exact(text.trim_matches('"')),
        _ => Identifier::parse(text),
    };
    RelationName::new(part(database, quoting.database), part(schema, quoting.schema), part(name, quoting.identifier))
}
