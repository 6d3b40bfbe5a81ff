//! `init`: a small project that builds at once: a seed, a staging view, a mart, tests.

use std::path::Path;

use crate::{
    cli::{
        message::{self, Failure},
        settings::Settings,
    },
    diagnostic::Diagnostic,
};

/// Files of the scaffold; `__NAME__` is the project's name.
const FILES: [(&str, &str); 9] = [
    ("dbt_project.yml", include_str!("scaffold/dbt_project.yml")),
    ("profiles.yml", include_str!("scaffold/profiles.yml")),
    ("seeds/raw_plays.csv", include_str!("scaffold/raw_plays.csv")),
    ("models/staging/stg_plays.sql", include_str!("scaffold/stg_plays.sql")),
    ("models/marts/top_songs.sql", include_str!("scaffold/top_songs.sql")),
    ("models/schema.yml", include_str!("scaffold/schema.yml")),
    ("tests/every_play_is_ranked.sql", include_str!("scaffold/every_play_is_ranked.sql")),
    ("README.md", include_str!("scaffold/README.md")),
    (".gitignore", "target/\nwarehouse/\n"),
];

pub fn run(name: Option<&str>, settings: &Settings) -> Result<i32, Failure> {
    let folder = match name {
        Some(name) => settings.project_dir.join(name),
        None => settings.project_dir.clone(),
    };
    let name = folder.file_name().map(|n| n.to_string_lossy().to_lowercase().replace(['-', ' ', '.'], "_")).unwrap_or_default();
    let valid = name.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        return Err(Diagnostic::error("cli/init", format!("`{name}` is not a name of a project"))
            .help("letters, digits and underscores, a letter first: segue init my_project")
            .into());
    }
    let taken: Vec<&str> = FILES.iter().map(|(path, _)| *path).filter(|path| folder.join(path).exists()).collect();
    if !taken.is_empty() {
        return Err(Diagnostic::error("cli/init", format!("`{}` holds {} already", folder.display(), taken.join(", ")))
            .help("choose another name or an empty folder: nothing was written")
            .into());
    }
    for (path, text) in FILES {
        write(&folder.join(path), &text.replace("__NAME__", &name))?;
    }
    let shown = folder.strip_prefix(&settings.project_dir).unwrap_or(&folder);
    message::note(&format!("Created the project `{name}` in {}", folder.display()), settings);
    let enter = if shown.as_os_str().is_empty() { String::new() } else { format!("cd {} && ", shown.display()) };
    message::note(&format!("Next:  {enter}segue build && segue show --select top_songs"), settings);
    Ok(0)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, text));
    written.map_err(|e| Diagnostic::error("cli/init", format!("cannot write `{}`: {e}", path.display())).into())
}
