//! A view: a small JSON file holding its SQL, columns and comment. A relation of files that are read where they lie is one too:
//! in place of SQL it says what the files are.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::Schema;
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalFile>,
}

/// Files that are read in place: which they are stands in the table `<name>__files`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExternalFile {
    /// Another text with every change of the files or of how they are read.
    pub version: String,
    /// As it is stored: a Snowflake type does not tell the layout of a large whole number.
    pub schema: Schema,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}
