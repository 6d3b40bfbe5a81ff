//! `package-lock.yml`: which packages were chosen, and for which requirements.

use std::{fmt::Write, path::Path};

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::requirement::Requirement;
use crate::{diagnostic::Diagnostic, state::write_atomically};

const FILE: &str = "package-lock.yml";

/// What stands for the requirements: another one, and the lock is out of date.
pub(super) fn digest(wanted: &[Requirement]) -> String {
    let text: String = wanted.iter().map(|r| r.to_json().to_string()).collect();
    Sha256::digest(text.as_bytes()).iter().take(20).fold(String::new(), |mut out, byte| {
        // writing to a string cannot fail
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// `None` when there is no lock, or one for other requirements.
pub(super) fn read(root: &Path, digest: &str) -> Result<Option<Vec<Requirement>>, Diagnostic> {
    let Ok(text) = std::fs::read_to_string(root.join(FILE)) else { return Ok(None) };
    let bad =
        |message: String| Diagnostic::error("deps/bad-lock", format!("`{FILE}`: {message}")).help("`segue deps --upgrade` writes it anew");
    let yaml: Json = serde_yaml_ng::from_str(&text).map_err(|e| bad(e.to_string()))?;
    if yaml.get("sha1_hash").and_then(Json::as_str) != Some(digest) {
        return Ok(None);
    }
    let entries = yaml.get("packages").and_then(Json::as_array);
    entries.into_iter().flatten().map(Requirement::of).collect::<Result<Vec<_>, _>>().map(Some).map_err(bad)
}

pub(super) fn write(root: &Path, digest: &str, resolved: &[Requirement]) -> Result<(), Diagnostic> {
    let packages: Vec<Json> = resolved.iter().map(Requirement::to_json).collect();
    let text = serde_yaml_ng::to_string(&serde_json::json!({"packages": packages, "sha1_hash": digest}))
        .map_err(|e| Diagnostic::error("deps/bad-lock", format!("`{FILE}` cannot be written: {e}")))?;
    write_atomically(&root.join(FILE), text.as_bytes())
}
