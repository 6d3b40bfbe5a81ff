//! What can go wrong on storage, told in terms of the warehouse and not of the libraries.

use deltalake::DeltaTableError;

/// A failed operation on the lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error("cannot {action} `{place}`: {cause}")]
    Storage { action: &'static str, place: String, cause: String, help: Option<String>, transient: bool },
    #[error("table `{table}` was changed by someone else at the same time: {cause}")]
    Conflict { table: String, cause: String },
    #[error("the warehouse `{root}` was written by a newer segue (format {found}, this one knows up to {known})")]
    NewerWarehouse { root: String, found: u64, known: u64 },
    #[error("table `{table}` was written by a newer program: {cause}")]
    NewerTable { table: String, cause: String },
    #[error("the warehouse location `{location}` is not supported: {reason}")]
    UnsupportedLocation { location: String, reason: String },
    #[error("`{place}` is damaged: {cause}")]
    Damaged { place: String, cause: String },
    #[error("column `{column}` has type {data_type}, which a table cannot hold")]
    UnsupportedType { column: String, data_type: String },
}

impl LakeError {
    /// From a Delta operation on `place`.
    pub fn delta(action: &'static str, place: &str, error: DeltaTableError) -> Self {
        let text = error.to_string();
        use deltalake::kernel::transaction::TransactionError as T;
        let collided = matches!(
            &error,
            DeltaTableError::Transaction { source: T::MaxCommitAttempts(_) | T::CommitConflict(_) | T::VersionAlreadyExists(_) }
                | DeltaTableError::VersionAlreadyExists(_)
        );
        if collided {
            return Self::Conflict { table: place.to_owned(), cause: text };
        }
        // the library has no kind of its own for these; its texts are "Unsupported minimum reader version", "... reader feature"
        if text.contains("Unsupported") && ["reader", "writer", "table feature"].iter().any(|w| text.to_lowercase().contains(w)) {
            return Self::NewerTable { table: place.to_owned(), cause: text };
        }
        if let Some(cause) = damage(&error, &text) {
            return Self::Damaged { place: place.to_owned(), cause };
        }
        Self::storage(action, place, &error)
    }

    /// From anything that ends in an operating system error somewhere down its chain of causes.
    pub fn storage(action: &'static str, place: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = error.to_string();
        let mut help = None;
        let mut source = Some(error);
        while let Some(e) = source {
            if let Some(io) = e.downcast_ref::<std::io::Error>() {
                let (text, advice) = explain(io);
                cause = text;
                help = advice;
            }
            source = e.source();
        }
        if help.is_none() {
            (cause, help) = explain_text(cause);
        }
        Self::Storage { action, place: place.to_owned(), cause, help, transient: false }
    }
}

/// What is wrong with a table's log, in words of the log; `None` where the fault is another.
fn damage(error: &DeltaTableError, text: &str) -> Option<String> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = source {
        if e.is::<std::io::Error>() {
            return None;
        }
        source = e.source();
    }
    let lower = text.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    // the log's reader says it in many ways: JSON that breaks off, missing actions, versions that do not follow
    if any(&[
        "json error",
        "invalid json",
        "expected value",
        "eof while parsing",
        "malformed json",
        "not valid json",
        "encountered unexpected",
    ]) {
        return Some("a commit in its `_delta_log` is no valid JSON".into());
    }
    if any(&["no table metadata", "no protocol", "missing metadata", "metadata action", "protocol action", "missing protocol"]) {
        return Some("its `_delta_log` lacks the first commit, which says what the table is".into());
    }
    if any(&["non-contiguous", "not contiguous", "expected ordered contiguous", "missing version"]) {
        return Some("a commit is missing in its `_delta_log`".into());
    }
    any(&["checkpoint"]).then(|| "a checkpoint in its `_delta_log` cannot be read".into())
}

fn explain(error: &std::io::Error) -> (String, Option<String>) {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::StorageFull | K::QuotaExceeded => (
            "no space left on the device".into(),
            Some("free some space or move `path:` of the profile to a larger disk; nothing was published".into()),
        ),
        K::PermissionDenied => {
            ("permission denied".into(), Some("make the warehouse folder writable, or set another `path:` in the profile".into()))
        }
        K::ReadOnlyFilesystem => ("the file system is read-only".into(), Some("set another `path:` in the profile".into())),
        _ => (error.to_string(), None),
    }
}

/// Some libraries keep only the text of the operating system's error.
fn explain_text(text: String) -> (String, Option<String>) {
    use std::io::{Error, ErrorKind as K};
    for (needle, kind) in [
        ("os error 28", K::StorageFull),
        ("os error 13", K::PermissionDenied),
        ("os error 1)", K::PermissionDenied),
        ("os error 30", K::ReadOnlyFilesystem),
    ] {
        if text.contains(needle) {
            return explain(&Error::from(kind));
        }
    }
    (text, None)
}
