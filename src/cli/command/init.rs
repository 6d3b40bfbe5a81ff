//! `init`: a small project that builds at once, in a new folder or in an empty one. Overwrites nothing.

use std::path::{Path, PathBuf};

use crate::{
    cli::{
        config::Config,
        message::{self, Failure},
    },
    diagnostic::Diagnostic,
};

/// Path in the new project, and the text. `__project__` stands for its name.
const FILES: [(&str, &str); 14] = [
    ("dbt_project.yml", include_str!("../scaffold/dbt_project.yml")),
    ("profiles.yml", include_str!("../scaffold/profiles.yml")),
    ("sources.yml", include_str!("../scaffold/sources.yml")),
    ("README.md", include_str!("../scaffold/README.md")),
    // not under its own name: it would hide files of this repository
    (".gitignore", include_str!("../scaffold/gitignore")),
    ("data/plays/2025-02-26.csv", include_str!("../scaffold/data/plays/2025-02-26.csv")),
    ("data/plays/2025-02-27.csv", include_str!("../scaffold/data/plays/2025-02-27.csv")),
    ("seeds/artists.csv", include_str!("../scaffold/seeds/artists.csv")),
    ("seeds/_seeds.yml", include_str!("../scaffold/seeds/_seeds.yml")),
    ("models/staging/stg_plays.sql", include_str!("../scaffold/models/staging/stg_plays.sql")),
    ("models/staging/_staging.yml", include_str!("../scaffold/models/staging/_staging.yml")),
    ("models/marts/top_artists.sql", include_str!("../scaffold/models/marts/top_artists.sql")),
    ("models/marts/_marts.yml", include_str!("../scaffold/models/marts/_marts.yml")),
    ("tests/no_play_from_the_future.sql", include_str!("../scaffold/tests/no_play_from_the_future.sql")),
];

pub(super) fn run(name: Option<&str>, config: &Config) -> Result<i32, Failure> {
    let (folder, name) = match name {
        Some(name) => (config.project_dir.join(name), name.to_owned()),
        None => {
            let name = config.project_dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            (config.project_dir.clone(), name.replace(['-', ' ', '.'], "_"))
        }
    };
    check_name(&name)?;
    check_empty(&folder)?;
    for (path, text) in FILES {
        let text = text.replace("__project__", &name).replace("__DATABASE__", &name.to_uppercase());
        write(&folder.join(path), &text)?;
    }
    let shown = folder.strip_prefix(&config.project_dir).unwrap_or(&folder);
    let go = if shown.as_os_str().is_empty() { String::new() } else { format!("cd {} && ", shown.display()) };
    message::note(
        &format!("Made the project `{name}`: {} files\n\nNext:\n  {go}segue build\n  segue show --select top_artists", FILES.len()),
        config,
    );
    Ok(0)
}

/// A project's name is part of macro names and ids, so it is an identifier.
fn check_name(name: &str) -> Result<(), Diagnostic> {
    let sound =
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if sound {
        return Ok(());
    }
    let better: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let better = better.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').to_lowercase();
    let fault = Diagnostic::error("cli/project-name", format!("`{name}` is no name for a project: letters, digits and underscores are"));
    Err(fault.help(if better.is_empty() { "e.g. `segue init music`".to_owned() } else { format!("e.g. `segue init {better}`") }))
}

/// Hidden files, such as those of a fresh repository, are not in the way.
fn check_empty(folder: &Path) -> Result<(), Diagnostic> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Diagnostic::error("cli/unreadable", format!("cannot read `{}`: {e}", folder.display()))),
    };
    let names = entries.filter_map(Result::ok).map(|e| PathBuf::from(e.file_name()));
    // of several the one that tells most: names sort behind hidden ones
    let in_the_way = names.filter(|n| !n.to_string_lossy().starts_with('.') || n == Path::new(".gitignore")).max();
    match in_the_way {
        None => Ok(()),
        Some(name) => {
            let message = format!("`{}` is not empty: it holds `{}`", folder.display(), name.display());
            Err(Diagnostic::error("cli/not-empty", message).help("nothing was written; choose another name, or an empty folder"))
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), Diagnostic> {
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, text)
    };
    write().map_err(|e| Diagnostic::error("cli/unwritable", format!("cannot write `{}`: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers() {
        for name in ["music", "_m2", "Music_Trends"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for (name, help) in [("my-music", "e.g. `segue init my_music`"), ("2nd", "e.g. `segue init nd`"), ("", "e.g. `segue init music`")] {
            assert_eq!(check_name(name).expect_err(name).help.as_deref(), Some(help));
        }
    }
}
