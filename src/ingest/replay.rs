//! Recorded responses in a folder, in place of the network. What is read here goes the same way as what was fetched.
//!
//! Charts: `<provider>.json|html` (one response) or `<provider>/<date>.json|html` (one per day). Look-ups: a
//! `.jsonl` file with one `{"subject": ..., "status": ..., "body": ...}` per line. Does not parse any body.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use chrono::NaiveDate;
use serde_json::Value as Json;

use super::{IngestError, RawResponse};

/// The folder of a `replay:` setting.
#[derive(Clone, Debug)]
pub struct ReplayFolder {
    root: PathBuf,
    /// As the user wrote it.
    shown: String,
}

/// What a folder holds of one chart.
#[derive(Debug, PartialEq, Eq)]
pub enum ChartRecordings {
    /// One response; its day is that of the run.
    Single(PathBuf),
    /// In order of days.
    Days(Vec<(NaiveDate, PathBuf)>),
    Missing,
}

impl ReplayFolder {
    pub fn new(project_root: &Path, folder: &str) -> Self {
        Self { root: project_root.join(folder), shown: folder.trim_end_matches('/').to_owned() }
    }

    /// Called otherwise in messages.
    pub fn named(self, shown: String) -> Self {
        Self { shown, ..self }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// A file below the folder as messages and raw rows name it.
    pub fn shown_path(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        format!("{}/{}", self.shown, below.display())
    }

    pub fn chart(&self, provider: &str, extension: &str) -> Result<ChartRecordings, IngestError> {
        if !self.root.is_dir() {
            return Err(IngestError::new("ingest/no-recording", format!("there is no replay folder `{}`", self.shown))
                .help("`replay:` is relative to the project's folder; leave it out to ask the provider itself"));
        }
        let folder = self.root.join(provider);
        if folder.is_dir() {
            let mut days = vec![];
            for path in list(&folder).map_err(|e| self.unreadable(&folder, &e))? {
                let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
                if path.extension().is_some_and(|e| e == extension)
                    && let Ok(day) = stem.parse()
                {
                    days.push((day, path));
                }
            }
            return Ok(ChartRecordings::Days(days));
        }
        let single = self.root.join(format!("{provider}.{extension}"));
        Ok(if single.is_file() { ChartRecordings::Single(single) } else { ChartRecordings::Missing })
    }

    /// Text of a file; what is not UTF-8 becomes replacement characters, as of a response.
    pub fn read(&self, path: &Path) -> Result<String, IngestError> {
        let bytes = std::fs::read(path).map_err(|e| self.unreadable(path, &e))?;
        let text = String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }

    pub fn raw(&self, subject: impl Into<String>, path: &Path, payload: String, now: chrono::DateTime<chrono::Utc>) -> RawResponse {
        RawResponse {
            subject: subject.into(),
            url: format!("replay:{}", self.shown_path(path)),
            status: 200,
            fetched_at: now,
            headers: "{}".into(),
            payload,
        }
    }

    fn unreadable(&self, path: &Path, error: &std::io::Error) -> IngestError {
        IngestError::new("ingest/unreadable", format!("the recording `{}` cannot be read: {error}", self.shown_path(path)))
    }

    /// Recorded answers by subject; of several for one subject the last counts.
    pub fn answers(&self, file: &str) -> Result<HashMap<String, RecordedAnswer>, IngestError> {
        let path = self.root.join(file);
        if !path.is_file() {
            return Err(IngestError::new("ingest/no-recording", format!("there is no recording `{}`", self.shown_path(&path)))
                .help("one line per answer: {\"subject\": \"...\", \"status\": 200, \"body\": {...}}"));
        }
        let text = self.read(&path)?;
        let mut answers = HashMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let (subject, answer) = recorded(line).map_err(|why| {
                IngestError::new("ingest/bad-recording", format!("{}:{}: {why}", self.shown_path(&path), number + 1))
                    .help("one line per answer: {\"subject\": \"...\", \"status\": 200, \"body\": {...}}")
            })?;
            answers.insert(subject, answer);
        }
        Ok(answers)
    }
}

/// One line of a `.jsonl` recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAnswer {
    pub status: u16,
    pub payload: String,
}

fn recorded(line: &str) -> Result<(String, RecordedAnswer), String> {
    let value: Json = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let subject = value.get("subject").and_then(Json::as_str).ok_or("`subject` is missing or no text")?;
    let status = match value.get("status") {
        None => 200,
        Some(status) => status.as_u64().and_then(|s| u16::try_from(s).ok()).ok_or("`status` is no HTTP status")?,
    };
    let payload = match value.get("body").ok_or("`body` is missing")? {
        Json::String(text) => text.clone(),
        body => body.to_string(),
    };
    Ok((subject.to_owned(), RecordedAnswer { status, payload }))
}

/// Files of a folder by name.
pub fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_and_bad_lines() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = dir.path().join("r").join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        let folder = ReplayFolder::new(dir.path(), "r/");
        assert_eq!(folder.chart("melon", "json").expect_err("no folder").message, "there is no replay folder `r`");
        write("melon.json", "\u{feff}{}");
        write("bugs/2025-02-28.json", "{}");
        write("bugs/2025-02-27.json", "{}");
        write("bugs/README.md", "");
        write("a.jsonl", "{\"subject\": \"x\", \"body\": {\"a\": 1}}\n\n{\"subject\": \"x\", \"status\": 404, \"body\": \"gone\"}\n");
        write("b.jsonl", "\n{\"subject\": 1}\n");
        let root = folder.root().to_path_buf();
        assert_eq!(folder.chart("melon", "json").ok(), Some(ChartRecordings::Single(root.join("melon.json"))));
        assert_eq!(folder.read(&root.join("melon.json")).ok().as_deref(), Some("{}"));
        assert_eq!(folder.chart("flo", "json").ok(), Some(ChartRecordings::Missing));
        let Ok(ChartRecordings::Days(days)) = folder.chart("bugs", "json") else { panic!("days") };
        assert_eq!(days.iter().map(|(d, _)| d.to_string()).collect::<Vec<_>>(), ["2025-02-27", "2025-02-28"]);
        let answers = folder.answers("a.jsonl").expect("answers");
        assert_eq!(answers.get("x"), Some(&RecordedAnswer { status: 404, payload: "gone".into() }));
        assert_eq!(folder.answers("b.jsonl").expect_err("bad").message, "r/b.jsonl:2: `subject` is missing or no text");
    }
}
