//! Where a topic was read up to, and the columns that were frozen on the way, as the text that is committed with the rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ingest::IngestError;

/// Next offset to read, by partition.
pub type Offsets = BTreeMap<i32, i64>;

/// Digest of the message before [`Offsets`]'s, by partition.
pub type Marks = BTreeMap<i32, String>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub topic: String,
    pub offsets: Offsets,
    /// Digest of the last message of each partition: whether the topic is still the one that it was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub marks: Marks,
    /// Names and types of inferred or evolved columns; declared ones are the project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<(String, String)>>,
}

impl Position {
    pub fn new(topic: &str) -> Self {
        Self { topic: topic.to_owned(), offsets: Offsets::new(), marks: Marks::new(), columns: None }
    }

    /// Fails when the position is another topic's: its offsets mean nothing here.
    pub fn read(text: &str, topic: &str) -> Result<Self, IngestError> {
        let position: Self = serde_json::from_str(text).map_err(|e| {
            IngestError::new("ingest/position", format!("the recorded position of the topic cannot be read: {e}"))
                .help("`segue ingest --full-refresh` reads the topic from its beginning")
        })?;
        if position.topic != topic {
            let message = format!("the table was filled from the topic `{}`, not from `{topic}`", position.topic);
            return Err(IngestError::new("ingest/other-topic", message)
                .help("`segue ingest --full-refresh` replaces the table with the new topic's messages"));
        }
        Ok(position)
    }

    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("maps of texts and numbers are JSON")
    }
}
