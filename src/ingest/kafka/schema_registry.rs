//! A Confluent-compatible schema registry, read: schema ids to parsed schemas, each asked for once.
//!
//! Routes: `GET /schemas/ids/{id}`, and `GET /subjects/{subject}/versions/{version}` for the schemas it refers to
//! (Confluent's Schema Registry API reference).

use std::{collections::HashMap, sync::Arc};

use apache_avro::Schema;
use base64::Engine as _;
use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio::runtime::Handle;

use crate::ingest::{
    IngestError,
    http::{Client, Request},
};

/// A schema, or why messages that name it cannot be read.
pub type Known = Result<Arc<Schema>, String>;

pub struct SchemaRegistry {
    client: Client,
    url: String,
    authorization: Option<String>,
    known: Mutex<HashMap<u32, Known>>,
}

/// Schemas that refer to schemas that refer...; a circle of them must end.
const MOST_REFERENCES: usize = 200;

impl SchemaRegistry {
    /// `login`: user and password of basic authorization.
    pub fn new(client: Client, url: &str, login: Option<(String, String)>) -> Self {
        let authorization = login
            .map(|(user, password)| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))));
        Self { client, url: url.trim_end_matches('/').to_owned(), authorization, known: Mutex::default() }
    }

    /// Blocks; for threads that may. A registry that does not answer is an error, a schema that it does not have is not.
    pub fn schema(&self, id: u32) -> Result<Known, IngestError> {
        if let Some(known) = self.known.lock().get(&id) {
            return Ok(known.clone());
        }
        let known = Handle::current().block_on(self.ask(id))?;
        self.known.lock().insert(id, known.clone());
        Ok(known)
    }

    async fn ask(&self, id: u32) -> Result<Known, IngestError> {
        let Some(answer) = self.get(&format!("/schemas/ids/{id}")).await? else {
            return Ok(Err(format!("the schema {id} is not in the registry")));
        };
        if let Some(other) = answer.get("schemaType").and_then(Json::as_str).filter(|t| *t != "AVRO") {
            return Ok(Err(format!("the schema {id} is {other}, not Avro")));
        }
        let mut texts = vec![];
        if let Err(why) = self.references(&answer, &mut texts).await? {
            return Ok(Err(format!("the schema {id}: {why}")));
        }
        let Some(text) = answer.get("schema").and_then(Json::as_str) else {
            return Ok(Err(format!("the registry's answer for the schema {id} holds no schema")));
        };
        texts.push(text.to_owned());
        let parsed = Schema::parse_list(texts.iter().map(String::as_str)).map(|mut schemas| schemas.pop());
        Ok(match parsed {
            Ok(Some(schema)) => Ok(Arc::new(schema)),
            Ok(None) => Err(format!("the schema {id} is empty")),
            Err(e) => Err(format!("the schema {id} is no Avro schema: {e}")),
        })
    }

    /// The schemas that an answer refers to, those that they refer to first.
    async fn references(&self, answer: &Json, texts: &mut Vec<String>) -> Result<Result<(), String>, IngestError> {
        let mut open = vec![answer.clone()];
        let mut found = vec![];
        while let Some(one) = open.pop() {
            for reference in one.get("references").and_then(Json::as_array).into_iter().flatten() {
                let (Some(subject), Some(version)) =
                    (reference.get("subject").and_then(Json::as_str), reference.get("version").and_then(Json::as_u64))
                else {
                    return Ok(Err("one of its references names no subject and version".into()));
                };
                if found.len() >= MOST_REFERENCES {
                    return Ok(Err(format!("it refers to more than {MOST_REFERENCES} schemas")));
                }
                let subject = percent_encoding::utf8_percent_encode(subject, percent_encoding::NON_ALPHANUMERIC).to_string();
                let Some(next) = self.get(&format!("/subjects/{subject}/versions/{version}")).await? else {
                    return Ok(Err(format!("version {version} of `{subject}`, which it refers to, is not in the registry")));
                };
                if let Some(text) = next.get("schema").and_then(Json::as_str) {
                    found.push(text.to_owned());
                }
                open.push(next);
            }
        }
        found.reverse();
        found.dedup();
        texts.extend(found);
        Ok(Ok(()))
    }

    /// `None` is a 404.
    async fn get(&self, path: &str) -> Result<Option<Json>, IngestError> {
        let mut request = Request::get("the schema registry", format!("{}{path}", self.url)).accept(404);
        if let Some(authorization) = &self.authorization {
            request = request.secret_header("authorization", authorization);
        }
        let response = self.client.send(&request).await?;
        if response.status == 404 {
            return Ok(None);
        }
        serde_json::from_str(&response.body).map(Some).map_err(|e| {
            IngestError::new("ingest/schema-registry", format!("the schema registry at `{}` does not answer with JSON: {e}", self.url))
                .help("check `schema_registry` of the source's adapter")
        })
    }
}
