//! The macros of all packages, parsed once: package -> name -> definition.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use super::{
    MacroFile,
    jinja::{
        self,
        ast::{MacroDef, Name, Stmt},
    },
};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, SourceFile};

pub(super) type Package = HashMap<Name, Arc<MacroDef>>;

/// The package of segue's own macros; dbt calls its own so.
pub const BUILTIN_PACKAGE: &str = "dbt";

const BUILTIN: &[(&str, &str)] = &[
    ("builtin/calendar.sql", include_str!("builtin/calendar.sql")),
    ("builtin/cross_database.sql", include_str!("builtin/cross_database.sql")),
    ("builtin/materializations.sql", include_str!("builtin/materializations.sql")),
    ("builtin/snapshot.sql", include_str!("builtin/snapshot.sql")),
    ("builtin/names.sql", include_str!("builtin/names.sql")),
    ("builtin/queries.sql", include_str!("builtin/queries.sql")),
    ("builtin/series.sql", include_str!("builtin/series.sql")),
    ("builtin/tests.sql", include_str!("builtin/tests.sql")),
    ("builtin/types.sql", include_str!("builtin/types.sql")),
];

/// The same for every project: parsed once in a process.
fn builtin() -> &'static Package {
    static PARSED: OnceLock<Package> = OnceLock::new();
    PARSED.get_or_init(|| {
        let (mut macros, mut faults) = (Package::new(), Diagnostics::default());
        for (path, text) in BUILTIN {
            define(&mut macros, BUILTIN_PACKAGE, &SourceFile::new(*path, *text), &mut faults);
        }
        debug_assert!(!faults.has_errors(), "{faults:?}");
        macros
    })
}

pub(super) fn load(files: &[MacroFile]) -> Result<HashMap<String, Arc<Package>>, Diagnostics> {
    let mut packages = HashMap::from([(BUILTIN_PACKAGE.to_owned(), builtin().clone())]);
    let mut faults = Diagnostics::default();
    for file in files {
        define(packages.entry(file.package.clone()).or_default(), &file.package, &file.file, &mut faults);
    }
    if faults.has_errors() { Err(faults) } else { Ok(packages.into_iter().map(|(name, macros)| (name, Arc::new(macros))).collect()) }
}

fn define(macros: &mut Package, package: &str, file: &Arc<SourceFile>, faults: &mut Diagnostics) {
    let parsed = match jinja::parse(file, 0..file.text.len(), &Name::from(package)) {
        Ok(parsed) => parsed,
        Err(fault) => return faults.push(*fault),
    };
    for statement in parsed.body {
        let Stmt::Macro(def) = statement else { continue };
        match macros.get(&def.name) {
            Some(first) => {
                let place = |d: &MacroDef| Place::new(&d.file, d.name_span.range());
                faults.push(
                    Diagnostic::error("template/duplicate-macro", format!("the macro `{}` is defined twice", def.name))
                        .at(place(&def), "defined again")
                        .related(place(first), "first defined here"),
                );
            }
            None => {
                macros.insert(def.name.clone(), def);
            }
        }
    }
}
