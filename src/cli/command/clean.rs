//! `clean`: removes the folders of `clean-targets`, and nothing outside of the project.

use super::load;
use crate::{
    cli::{
        message::{self, Failure},
        settings::Settings,
    },
    diagnostic::Diagnostic,
};

pub fn run(settings: &Settings) -> Result<i32, Failure> {
    let project = load("clean", false, settings)?;
    let canonical = |p: &std::path::Path| p.canonicalize().ok();
    let root = canonical(&project.root);
    for folder in project.clean_targets() {
        let Some(real) = canonical(&folder) else {
            message::note(&format!("Nothing to remove at {}", folder.display()), settings);
            continue;
        };
        let inside = root.as_ref().is_some_and(|root| real.starts_with(root) && real != *root);
        let holds_sources = root.as_ref().is_some_and(|root| real == root.join("models") || root.starts_with(&real));
        if !inside || holds_sources {
            return Err(Diagnostic::error("cli/clean", format!("`{}` is not a folder that may be removed", folder.display()))
                .help("`clean-targets` names folders inside of the project that hold no sources")
                .into());
        }
        std::fs::remove_dir_all(&real).map_err(|e| Diagnostic::error("cli/clean", format!("cannot remove `{}`: {e}", folder.display())))?;
        message::note(&format!("Removed {}", folder.display()), settings);
    }
    Ok(0)
}
