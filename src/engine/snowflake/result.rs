//! The answer to a statement: its columns, what came with it, and the chunks that are fetched as they are read.
//!
//! Chunks are fetched a few at a time and given in their order, so a result of any size passes through bounded memory.
//! Their addresses are signed for some hours: a reader that is slower gets new ones from the account, which keeps the result.

use std::{io::Read, sync::Arc, time::Duration};

use ::datafusion::arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{Stream, StreamExt, stream};
use serde_json::Value as Json;

use super::{
    Link, arrow,
    column::{self, ResultColumn},
    login::Login,
    query::{SESSION_EXPIRED, code_of},
    text,
    transport::Call,
};
use crate::engine::EngineError;

/// Chunks that are fetched ahead of the reader.
const AHEAD: usize = 3;
const CHUNK_ATTEMPTS: u32 = 7;
/// New addresses that one chunk is worth.
const RENEWALS: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Arrow,
    Json,
}

/// Where the chunks are by now.
struct Addresses {
    urls: Vec<String>,
    /// Go with every request for a chunk.
    headers: Arc<Vec<(String, String)>>,
    /// How often the account was asked for new ones.
    renewed: u64,
}

impl Addresses {
    /// Takes them out of an answer's data.
    fn take(data: &mut Json) -> Result<Self, EngineError> {
        let url = |c: &Json| c.get("url").and_then(Json::as_str).map(str::to_owned).ok_or_else(|| broken("a chunk has no address"));
        let urls = match data.get_mut("chunks").map(Json::take) {
            Some(Json::Array(list)) => list.iter().map(url).collect::<Result<_, _>>()?,
            _ => vec![],
        };
        let mut headers: Vec<(String, String)> = match data.get("chunkHeaders") {
            Some(Json::Object(map)) => map.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect(),
            _ => vec![],
        };
        if headers.is_empty()
            && let Some(key) = data.get("qrmk").and_then(Json::as_str).filter(|k| !k.is_empty())
        {
            headers.push(("x-amz-server-side-encryption-customer-algorithm".into(), "AES256".into()));
            headers.push(("x-amz-server-side-encryption-customer-key".into(), key.to_owned()));
        }
        Ok(Self { urls, headers: Arc::new(headers), renewed: 0 })
    }
}

/// The chunks of one result.
struct Chunks {
    addresses: tokio::sync::Mutex<Addresses>,
    query_id: String,
    link: Arc<Link>,
    login: Arc<Login>,
}

/// What a statement gave.
pub(super) struct Reply {
    pub(super) columns: Arc<Vec<ResultColumn>>,
    format: Format,
    /// Rows that came with the answer.
    rows: Rows,
    addresses: Addresses,
    pub(super) query_id: String,
    pub(super) is_query: bool,
    /// All else that the server said, without the rows.
    pub(super) data: Json,
    link: Arc<Link>,
    login: Arc<Login>,
}

enum Rows {
    Arrow(Vec<u8>),
    Json(Vec<Json>),
}

/// Statement types of the protocol: a query; SHOW and DESCRIBE answer with rows too.
const SELECT: i64 = 0x1000;
const DML: std::ops::Range<i64> = 0x3000..0x4000;

impl Reply {
    pub(super) fn read(mut answer: Json, link: &Arc<Link>, login: &Arc<Login>) -> Result<Self, EngineError> {
        let mut data = answer.get_mut("data").map(Json::take).unwrap_or_default();
        let columns: Vec<ResultColumn> =
            data.get("rowtype").and_then(Json::as_array).into_iter().flatten().map(ResultColumn::read).collect();
        let format = match data.get("queryResultFormat").and_then(Json::as_str) {
            Some("arrow") => Format::Arrow,
            _ => Format::Json,
        };
        let rows = match format {
            Format::Arrow => {
                let text = data.get_mut("rowsetBase64").map(Json::take);
                let text = text.as_ref().and_then(Json::as_str).unwrap_or_default();
                Rows::Arrow(BASE64_STANDARD.decode(text).map_err(|e| broken(&e.to_string()))?)
            }
            Format::Json => match data.get_mut("rowset").map(Json::take) {
                Some(Json::Array(rows)) => Rows::Json(rows),
                _ => Rows::Json(vec![]),
            },
        };
        let addresses = Addresses::take(&mut data)?;
        let kind = data.get("statementTypeId").and_then(Json::as_i64).unwrap_or(SELECT);
        Ok(Self {
            columns: Arc::new(columns),
            format,
            rows,
            addresses,
            query_id: data.get("queryId").and_then(Json::as_str).unwrap_or_default().to_owned(),
            is_query: kind == SELECT,
            data,
            link: Arc::clone(link),
            login: Arc::clone(login),
        })
    }

    /// Rows inserted, updated and deleted, together: the columns of a change's answer count them.
    pub(super) fn rows_affected(&self) -> Option<u64> {
        let kind = self.data.get("statementTypeId").and_then(Json::as_i64)?;
        if !DML.contains(&kind) {
            return None;
        }
        let Rows::Json(rows) = &self.rows else { return None };
        let cells = rows.first()?.as_array()?;
        let counts = self.columns.iter().zip(cells).filter(|(c, _)| c.name.to_lowercase().starts_with("number of"));
        let counts = counts.filter(|(c, _)| !c.name.to_lowercase().contains("multi-joined"));
        Some(counts.filter_map(|(_, cell)| cell.as_str()?.parse::<u64>().ok().or_else(|| cell.as_u64())).sum())
    }

    /// The batches in order, with the schema that they all have. With `wide`, whole numbers of any size fit; without it one of
    /// more than 64 bits ends the stream with [`column::TOO_WIDE`].
    pub(super) fn stream(self, wide: bool) -> (SchemaRef, impl Stream<Item = Result<RecordBatch, EngineError>> + Send) {
        let schema = column::schema(&self.columns, wide);
        let (columns, format) = (Arc::clone(&self.columns), self.format);
        let (of_first, first_schema) = (Arc::clone(&columns), Arc::clone(&schema));
        let first = match self.rows {
            Rows::Arrow(bytes) => arrow::decode(&bytes, &of_first, &first_schema),
            Rows::Json(rows) => text::decode(&rows, &of_first, &first_schema).map(|b| vec![b]),
        };
        let count = self.addresses.urls.len();
        let addresses = tokio::sync::Mutex::new(self.addresses);
        let chunks = Arc::new(Chunks { addresses, query_id: self.query_id, link: self.link, login: self.login });
        let target = Arc::clone(&schema);
        let rest = stream::iter(0..count)
            .map(move |n| {
                let (chunks, columns, schema) = (Arc::clone(&chunks), Arc::clone(&columns), Arc::clone(&target));
                async move {
                    let bytes = chunks.fetch(n).await?;
                    match format {
                        Format::Arrow => arrow::decode(&bytes, &columns, &schema),
                        Format::Json => text::decode(&text::rows(&bytes)?, &columns, &schema).map(|b| vec![b]),
                    }
                }
            })
            .buffered(AHEAD);
        let batches = stream::iter([first]).chain(rest).flat_map(|batches| match batches {
            Ok(batches) => stream::iter(batches.into_iter().filter(|b| b.num_rows() > 0).map(Ok).collect::<Vec<_>>()),
            Err(e) => stream::iter(vec![Err(e)]),
        });
        (schema, batches)
    }
}

impl Chunks {
    /// A chunk, unpacked. The addresses are signed: they need no token, and errors never show them.
    async fn fetch(&self, n: usize) -> Result<Vec<u8>, EngineError> {
        let (mut attempt, mut renewals) = (0, 0);
        loop {
            let (request, renewed) = {
                let now = self.addresses.lock().await;
                let url = now.urls.get(n).ok_or_else(|| broken("it has fewer parts than it had"))?;
                let request = self.link.transport.http().get(url);
                (now.headers.iter().fold(request, |r, (name, value)| r.header(name, value)), now.renewed)
            };
            let fetched = match request.send().await.and_then(reqwest::Response::error_for_status) {
                Ok(response) => response.bytes().await,
                Err(e) => Err(e),
            };
            let e = match fetched {
                Ok(bytes) => return unpacked(&bytes),
                Err(e) => e,
            };
            let lasting = e.status().is_some_and(|s| s.is_client_error() && s.as_u16() != 429 && s.as_u16() != 408);
            // stores refuse a signature that is too old in different words
            if lasting && renewals < RENEWALS && !self.query_id.is_empty() {
                renewals += 1;
                self.renew(renewed).await?;
                continue;
            }
            attempt += 1;
            if lasting || attempt >= CHUNK_ATTEMPTS {
                let mut fault =
                    EngineError::new("engine/unreachable", format!("a part of the result could not be fetched: {}", e.without_url()));
                fault.transient = !lasting;
                return Err(fault);
            }
            tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
        }
    }

    /// New addresses of the same result, unless another chunk has brought them since `seen`. The statement does not run again.
    async fn renew(&self, seen: u64) -> Result<(), EngineError> {
        let mut now = self.addresses.lock().await;
        if now.renewed != seen {
            return Ok(());
        }
        let (link, path) = (&self.link, format!("/queries/{}/result", self.query_id));
        let mut again = true;
        let mut answer = loop {
            let token = self.login.token();
            let call = Call { path: &path, parameters: vec![], token: Some(token.clone()), patience: link.settings.network_timeout };
            let answer = link.transport.get(call).await?.body;
            let expired = answer.get("code").map(code_of).is_some_and(|c| c == SESSION_EXPIRED);
            if !(expired && std::mem::take(&mut again)) {
                break answer;
            }
            self.login.renew(&token, &link.transport, &link.settings).await?;
        };
        if answer.get("success").and_then(Json::as_bool) != Some(true) {
            let why = answer.get("message").and_then(Json::as_str).unwrap_or("Snowflake does not say why");
            let message = format!("the addresses of the result expired and there are no new ones: {why}");
            return Err(
                EngineError::new("engine/unreachable", message).help("Snowflake keeps a result for 24 hours; run the command again")
            );
        }
        let mut data = answer.get_mut("data").map(Json::take).unwrap_or_default();
        let new = Addresses::take(&mut data)?;
        if new.urls.len() != now.urls.len() {
            return Err(broken("it has another number of parts than before"));
        }
        *now = Addresses { renewed: seen + 1, ..new };
        Ok(())
    }
}

/// Stores say of gzip what they like; the bytes say it best.
fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, EngineError> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes.to_vec());
    }
    let mut plain = vec![];
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain).map_err(|e| broken(&e.to_string()))?;
    Ok(plain)
}

pub(super) fn broken(what: &str) -> EngineError {
    EngineError::new("engine/internal", format!("Snowflake's result cannot be read: {what}")).help("please report this with the statement")
}
