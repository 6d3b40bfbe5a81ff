//! A view: a small JSON file holding its SQL, columns and comment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Content of `<NAME>.view.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewFile {
    /// Snowflake SQL of the query, with fully qualified names as its author wrote them.
    pub sql: String,
    /// Database and schema that unqualified names in `sql` resolve in.
    pub database: String,
    pub schema: String,
    /// Names and Snowflake types at creation.
    pub columns: Vec<ViewColumn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}
