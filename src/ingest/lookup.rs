//! Keys of a model to answers of an API, one request per key: only keys not yet known or known for too long, some of
//! them at a time. What a key, a request and a row are is the [`Question`]'s.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::SchemaRef;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::{
    Adapter, FetchContext, Fetched, FetchedContent, IngestError, Parsed, RawResponse, Rejected,
    replay::{RecordedAnswer, ReplayFolder},
    rows::{Cell, RowBuilder, days},
    settings::{Settings, quoted},
};

/// One API's way to ask for a key.
#[async_trait]
pub trait Question: Send + Sync {
    /// As in `type:`, for messages.
    fn name(&self) -> &'static str;

    fn schema(&self) -> SchemaRef;

    /// Columns of the input relation that make a key, in order; joined by a tab they are the subject.
    fn key_columns(&self) -> &[String];

    /// Asks the API. An answer "not found" is an answer.
    async fn ask(&self, subject: &str, now: DateTime<Utc>) -> Result<RawResponse, IngestError>;

    /// Below the replay folder.
    fn recording(&self) -> &'static str;

    /// What the API says of a key that it does not know: status and body.
    fn not_found(&self) -> RecordedAnswer;

    /// Rows of an answer, or why it is none. An API's own error is an `Err` that fails the source.
    fn parse(&self, response: &RawResponse) -> Result<Vec<Vec<Cell>>, Unusable>;

    /// The column whose rows an answer replaces, and the value that the answer is about.
    fn replaces(&self, subject: &str) -> Option<(&'static str, String)>;
}

/// An answer that gives no rows.
#[derive(Debug)]
pub enum Unusable {
    /// This one answer is malformed; others may be good.
    Rejected(String),
    /// The API refuses: every answer will be like this.
    Refused(IngestError),
}

impl From<String> for Unusable {
    fn from(reason: String) -> Self {
        Self::Rejected(reason)
    }
}

/// `max_age_days`, `batch_size`, `replay`.
pub struct LookupSettings {
    max_age_days: i32,
    batch_size: usize,
    replay: Option<ReplayFolder>,
}

impl LookupSettings {
    pub fn read(settings: &Settings<'_>, project_root: &std::path::Path) -> Self {
        let max_age = settings.integer("max_age_days", 1).unwrap_or(30);
        let batch_size = settings.integer("batch_size", 1).unwrap_or(500);
        Self {
            max_age_days: i32::try_from(max_age).unwrap_or(i32::MAX),
            batch_size: usize::try_from(batch_size).unwrap_or(usize::MAX),
            replay: settings.text("replay").map(|folder| ReplayFolder::new(project_root, &folder)),
        }
    }

    pub fn is_replay(&self) -> bool {
        self.replay.is_some()
    }
}

/// Keys to the day (since 1970) on which they were asked for.
#[derive(Default, Serialize, Deserialize)]
struct Position {
    known: BTreeMap<String, i32>,
}

pub struct LookupAdapter<Q> {
    question: Q,
    settings: LookupSettings,
    concurrency: usize,
    recorded: OnceCell<Arc<HashMap<String, RecordedAnswer>>>,
}

impl<Q: Question> LookupAdapter<Q> {
    pub fn new(question: Q, settings: LookupSettings, concurrency: usize) -> Self {
        Self { question, settings, concurrency: concurrency.max(1), recorded: OnceCell::new() }
    }

    /// Subjects that are due, each once, in the order of the input.
    fn due(&self, cx: &FetchContext, known: &BTreeMap<String, i32>) -> Result<Vec<String>, IngestError> {
        let columns = self.question.key_columns();
        let oldest = days(cx.now.date_naive()).saturating_sub(self.settings.max_age_days);
        let mut seen = HashSet::new();
        let mut due = vec![];
        for row in &cx.keys {
            let mut parts = vec![];
            for name in columns {
                match row.get(name) {
                    Some(Some(value)) if !value.trim().is_empty() => parts.push(value.as_str()),
                    Some(_) => break,
                    None => return Err(self.no_column(name, row.keys())),
                }
            }
            if parts.len() < columns.len() {
                continue; // nothing to ask for
            }
            let subject = parts.join("\t");
            if known.get(&subject).is_none_or(|asked| *asked <= oldest) && seen.insert(subject.clone()) {
                due.push(subject);
            }
        }
        Ok(due)
    }

    fn no_column<'k>(&self, name: &str, columns: impl Iterator<Item = &'k String>) -> IngestError {
        let columns: Vec<&String> = columns.collect();
        IngestError::new("ingest/unknown-key-column", format!("the input of `{}` has no column `{name}`", self.question.name()))
            .help(format!("it has {}; the adapter's settings say which one is the key", quoted(&columns)))
    }

    async fn answer(&self, subject: String, now: DateTime<Utc>) -> Result<RawResponse, IngestError> {
        let Some(folder) = &self.settings.replay else { return self.question.ask(&subject, now).await };
        let file = self.question.recording();
        let recorded = self.recorded.get_or_try_init(|| async { folder.answers(file).map(Arc::new) }).await?;
        let answer = recorded.get(&subject).cloned().unwrap_or_else(|| self.question.not_found());
        Ok(RawResponse {
            subject,
            url: format!("replay:{}", folder.shown_path(&folder.root().join(file))),
            status: answer.status,
            fetched_at: now,
            headers: "{}".into(),
            payload: answer.payload,
        })
    }
}

#[async_trait]
impl<Q: Question> Adapter for LookupAdapter<Q> {
    fn schema(&self) -> SchemaRef {
        self.question.schema()
    }

    async fn fetch(&self, position: Option<&str>, cx: &FetchContext) -> Result<Option<Fetched>, IngestError> {
        let mut position: Position = match position {
            None => Position::default(),
            Some(text) => serde_json::from_str(text).map_err(|e| {
                IngestError::new("ingest/position", format!("the recorded position of the source cannot be read: {e}"))
                    .help("`--full-refresh` of the source begins anew")
            })?,
        };
        let due = self.due(cx, &position.known)?;
        let batch = due.into_iter().take(self.settings.batch_size);
        let mut answers = stream::iter(batch.map(|subject| self.answer(subject, cx.now))).buffered(self.concurrency);
        let (mut responses, mut failed) = (vec![], None);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(response) => {
                    position.known.insert(response.subject.clone(), days(cx.now.date_naive()));
                    responses.push(response);
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        match (responses.is_empty(), failed) {
            (true, Some(error)) => Err(error),
            (true, None) => Ok(None),
            // what was answered is kept; the next call meets the failure again, or it has gone
            (false, failed) => {
                if let Some(error) = failed {
                    tracing::warn!("{error}; {} answers before it are kept", responses.len());
                }
                let position = serde_json::to_string(&position).expect("maps of texts are JSON");
                Ok(Some(Fetched { what: FetchedContent::Responses(responses), position }))
            }
        }
    }

    fn parse(&self, responses: &[RawResponse]) -> Parsed {
        let mut parsed = Parsed::default();
        let mut builder = RowBuilder::new(self.question.schema());
        let mut replace: Option<(String, Vec<String>)> = None;
        for response in responses {
            match self.question.parse(response) {
                Ok(rows) => {
                    rows.into_iter().for_each(|row| builder.push(row));
                    if let Some((column, value)) = self.question.replaces(&response.subject) {
                        replace.get_or_insert_with(|| (column.to_owned(), vec![])).1.push(value);
                    }
                }
                Err(Unusable::Rejected(reason)) => parsed.rejected.push(Rejected {
                    reason,
                    position: format!("{}: {}", self.question.name(), response.subject.replace('\t', " - ")),
                    record: response.payload.clone(),
                }),
                Err(Unusable::Refused(error)) => parsed.error = parsed.error.or(Some(error)),
            }
        }
        if let (Some(first), true) = (parsed.rejected.first(), parsed.rejected.len() == responses.len()) {
            let message = format!("none of the {} answers of `{}` can be read: {}", responses.len(), self.question.name(), first.reason);
            parsed.error = parsed.error.or(Some(IngestError::new("ingest/changed-shape", message)));
        }
        match builder.finish() {
            Ok(batches) => parsed.batches = batches,
            Err(error) => parsed.error = Some(error),
        }
        parsed.replace = replace;
        parsed
    }
}
