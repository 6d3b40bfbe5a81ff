//! `query-comment`: what stands beside every statement, so that the warehouse's history tells who sent it.

use serde_json::{Map, Value as Json, json};

use super::{Project, World};
use crate::{
    diagnostic::{Diagnostic, Diagnostics, Place},
    names::NodeId,
    template::NoWarehouse,
};

impl Project {
    /// The comment's text and whether it stands behind the statement; `None` where the project wants none.
    ///
    /// The default is dbt's: application, version, profile, target and node as JSON (dbt documentation, "query-comment").
    pub fn query_comment(&self, node: Option<&NodeId>) -> Result<Option<(String, bool)>, Diagnostics> {
        let file = &self.root_package().file;
        let (template, append) = match &file.query_comment {
            None => return Ok(Some((self.default_comment(node), true))),
            Some(Json::Null) => return Ok(None),
            Some(Json::Object(map)) => {
                // the Snowflake adapter puts comments behind, since the warehouse drops those in front
                let append = map.get("append").and_then(Json::as_bool).unwrap_or(true);
                match map.get("comment") {
                    None => return Ok(Some((self.default_comment(node), append))),
                    Some(Json::String(text)) => (text.clone(), append),
                    Some(Json::Null) => return Ok(None),
                    Some(other) => (other.to_string(), append),
                }
            }
            Some(Json::String(text)) => (text.clone(), true),
            Some(other) => (other.to_string(), true),
        };
        if template.trim().is_empty() {
            return Ok(None);
        }
        let name = node.map_or("master", |id| id.as_str());
        let variables = Map::from_iter([
            ("connection_name".to_owned(), json!(name)),
            ("node".to_owned(), node.and_then(|id| self.graph.node(id)).map_or(Json::Null, |n| Json::Object(super::compile::model(n)))),
        ]);
        let place = Place::start_of(&file.file);
        // within a macro, so that `return` may stand in it
        let template = format!("{{% macro segue_query_comment() %}}{template}{{% endmacro %}}{{{{ segue_query_comment() }}}}");
        let rendered = self.render_text(&template, &place, None, &World::with(variables), &NoWarehouse)?;
        let text = rendered.sql.trim().to_owned();
        if text.contains("*/") {
            let fault = Diagnostic::error("project/query-comment", "query comment contains illegal value: `*/`");
            return Err(fault.at(place, "`query-comment` of this file").help("it would end the comment early").into());
        }
        Ok((!text.is_empty()).then_some((text, append)))
    }

    fn default_comment(&self, node: Option<&NodeId>) -> String {
        let text = |value: &str| Json::from(value).to_string();
        let mut comment = format!(
            "{{\"app\": \"dbt\", \"dbt_version\": {}, \"profile_name\": {}, \"target_name\": {}",
            text(&self.environment.context().dbt_version),
            text(&self.profile.name),
            text(&self.profile.target_name),
        );
        match node {
            Some(id) => comment.push_str(&format!(", \"node_id\": {}}}", text(id.as_str()))),
            None => comment.push_str(", \"connection_name\": \"master\"}"),
        }
        comment
    }
}
