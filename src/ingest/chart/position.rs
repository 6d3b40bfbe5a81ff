//! Which days of a chart have landed, and with what content: the position of chart sources.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{ingest::IngestError, names::Fingerprint};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Day to a digest of its responses.
    #[serde(default)]
    pub days: BTreeMap<String, String>,
    /// The invocation that asked last: a live chart is asked for once in each.
    #[serde(default)]
    pub asked: Option<DateTime<Utc>>,
}

impl Position {
    pub fn read(text: Option<&str>) -> Result<Self, IngestError> {
        let Some(text) = text else { return Ok(Self::default()) };
        serde_json::from_str(text).map_err(|e| {
            IngestError::new("ingest/position", format!("the recorded position of the source cannot be read: {e}"))
                .help("`--full-refresh` of the source begins anew")
        })
    }

    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("maps of texts are JSON")
    }

    pub fn holds(&self, day: &str, digest: &str) -> bool {
        self.days.get(day).is_some_and(|known| known == digest)
    }
}

/// Short, since a position grows by one of these each day.
pub fn digest<'a>(payloads: impl IntoIterator<Item = &'a str>) -> String {
    let whole = Fingerprint::of(payloads.into_iter().map(|payload| ("payload", payload)));
    whole.as_str()[..16].to_owned()
}
