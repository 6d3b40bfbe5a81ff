//! Why a simulation could not run, as one type for its callers.

use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;

#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The configuration file is wrong at a place.
    #[error("{}", .0.message)]
    Config(Box<Diagnostic>),
    /// Options that cannot be met.
    #[error("{0}")]
    Options(String),
    #[error("cannot {action} {}: {source}", .path.as_ref().map_or("the output".into(), |p| format!("`{}`", p.display())))]
    Io { action: &'static str, path: Option<PathBuf>, source: std::io::Error },
    #[error("the simulation was cancelled")]
    Cancelled,
}

impl SimulateError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path: Some(path), source }
    }

    pub(super) fn output(source: std::io::Error) -> Self {
        Self::Io { action: "write to", path: None, source }
    }
}

impl From<SimulateError> for Diagnostic {
    fn from(error: SimulateError) -> Self {
        let message = error.to_string();
        match error {
            SimulateError::Config(diagnostic) => *diagnostic,
            SimulateError::Options(_) => Diagnostic::error("simulate/options", message),
            SimulateError::Cancelled => Diagnostic::error("simulate/cancelled", message),
            SimulateError::Io { source, .. } => {
                let help = match source.kind() {
                    std::io::ErrorKind::StorageFull => "free some space, or simulate fewer events",
                    std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => "choose a place that you may write to",
                    std::io::ErrorKind::NotFound => "check that the path exists",
                    _ => "check the path and the file system",
                };
                Diagnostic::error("simulate/io", message).help(help)
            }
        }
    }
}
