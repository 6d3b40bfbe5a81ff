//! What `packages.yml` and `dependencies.yml` ask for.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::fetch::Vars;
use crate::{
    diagnostic::{Diagnostic, Place, SourceFile},
    template::{Environment, ProjectContext},
};

/// One entry of `packages:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Requirement {
    /// Relative to the project that asks.
    Local {
        path: String,
    },
    Git {
        url: String,
        revision: Option<String>,
        subdirectory: Option<String>,
    },
    Tarball {
        url: String,
        name: String,
    },
    /// Of the package index; all bounds must hold.
    Hub {
        package: String,
        versions: Vec<String>,
        prerelease: bool,
    },
}

impl Requirement {
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Local { path } => format!("<local @ {path}>"),
            Self::Git { url, revision, .. } => format!("{url} (revision {})", revision.as_deref().unwrap_or("HEAD")),
            Self::Tarball { url, .. } => url.clone(),
            Self::Hub { package, versions, .. } => format!("{package} {}", versions.join(", ")),
        }
    }

    pub(super) fn to_json(&self) -> Json {
        match self {
            Self::Local { path } => json!({"local": path}),
            Self::Git { url, revision, subdirectory } => {
                let mut entry = json!({"git": url});
                for (key, value) in [("revision", revision), ("subdirectory", subdirectory)] {
                    if let Some(value) = value {
                        entry[key] = json!(value);
                    }
                }
                entry
            }
            Self::Tarball { url, name } => json!({"tarball": url, "name": name}),
            Self::Hub { package, versions, .. } => match versions.as_slice() {
                [one] => json!({"package": package, "version": one}),
                many => json!({"package": package, "version": many}),
            },
        }
    }

    pub(super) fn of(entry: &Json) -> Result<Self, String> {
        let text = |key: &str| match entry.get(key) {
            Some(Json::String(text)) => Some(text.clone()),
            Some(Json::Number(n)) => Some(n.to_string()),
            _ => None,
        };
        if let Some(path) = text("local") {
            return Ok(Self::Local { path });
        }
        if let Some(url) = text("git") {
            return Ok(Self::Git { url, revision: text("revision"), subdirectory: text("subdirectory") });
        }
        if let Some(url) = text("tarball") {
            let name = text("name").ok_or("a tarball needs a `name`")?;
            return Ok(Self::Tarball { url, name });
        }
        if let Some(package) = text("package") {
            let versions: Vec<String> = match entry.get("version") {
                Some(Json::Array(all)) => all.iter().filter_map(|v| v.as_str()).map(str::to_owned).collect(),
                Some(Json::String(one)) => one.split(',').map(|v| v.trim().to_owned()).collect(),
                Some(Json::Number(n)) => vec![n.to_string()],
                _ => return Err(format!("`{package}` needs a `version`")),
            };
            let prerelease =
                entry.get("install_prerelease").or_else(|| entry.get("install-prerelease")).and_then(Json::as_bool) == Some(true);
            return Ok(Self::Hub { package, versions, prerelease });
        }
        Err("a package is `package:`, `git:`, `local:` or `tarball:`".into())
    }
}

/// All entries of a folder's two files.
pub(super) fn read(folder: &Path, vars: &Vars) -> Result<Vec<Requirement>, Diagnostic> {
    let mut all = vec![];
    for name in ["packages.yml", "dependencies.yml"] {
        let Ok(text) = std::fs::read_to_string(folder.join(name)) else { continue };
        let bad = |message: String| Diagnostic::error("deps/bad-packages", format!("`{name}`: {message}"));
        let text = rendered(name, text, vars)?;
        let yaml: Json = serde_yaml_ng::from_str(&text).map_err(|e| bad(e.to_string()))?;
        for entry in yaml.get("packages").and_then(Json::as_array).into_iter().flatten() {
            all.push(Requirement::of(entry).map_err(bad)?);
        }
    }
    Ok(all)
}

/// Package files may read variables and the environment, secrets too (dbt documentation, "Packages").
fn rendered(name: &str, text: String, vars: &Vars) -> Result<String, Diagnostic> {
    if !text.contains("{{") {
        return Ok(text);
    }
    let mut context = ProjectContext::new("");
    context.env = std::sync::Arc::new(|name| std::env::var(name).ok());
    context.cli_vars = vars.clone();
    let first = |faults: crate::diagnostic::Diagnostics| {
        faults.0.into_iter().next().unwrap_or_else(|| Diagnostic::error("deps/bad-packages", format!("`{name}` cannot be rendered")))
    };
    let environment = Environment::new(context, &[]).map_err(first)?;
    let file = SourceFile::new(name, text.clone());
    let value = environment.render_yaml_text_with_secrets(&text, &Place::new(&file, 0..text.len())).map_err(first)?;
    Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_apart() {
        for (entry, expect) in [
            (json!({"local": "../p"}), Requirement::Local { path: "../p".into() }),
            (json!({"git": "u", "revision": 1.5}), Requirement::Git { url: "u".into(), revision: Some("1.5".into()), subdirectory: None }),
            (
                json!({"package": "a/b", "version": [">=1.0.0", "<2.0.0"]}),
                Requirement::Hub { package: "a/b".into(), versions: vec![">=1.0.0".into(), "<2.0.0".into()], prerelease: false },
            ),
        ] {
            let read = Requirement::of(&entry).expect("an entry");
            assert_eq!(read, expect);
            assert_eq!(Requirement::of(&read.to_json()), Ok(expect));
        }
        assert!(Requirement::of(&json!({"package": "a/b"})).is_err());
    }
}
