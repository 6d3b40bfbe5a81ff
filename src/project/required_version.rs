//! `require-dbt-version`: versions of dbt that a project says it was written for, held against the one that segue is like.
//!
//! dbt documentation, "require-dbt-version": one bound or a list of them, each `>=1.6.0`, `<2.0.0`, `=1.11.0` or `1.11.0`; all hold.

use semver::{Version, VersionReq};

use crate::diagnostic::{Diagnostic, Diagnostics, Place};

/// Says what does not hold, at its place.
pub(super) fn check(bounds: &[(String, Place)], package: &str, ours: &str, faults: &mut Diagnostics) {
    let Ok(version) = Version::parse(ours) else { return };
    for (text, place) in bounds {
        for bound in text.split(',').map(str::trim).filter(|b| !b.is_empty()) {
            match requirement(bound) {
                None => faults.push(
                    Diagnostic::error("project/bad-version", format!("`{bound}` is not a bound of versions"))
                        .at(place.clone(), "in this value")
                        .help("`\">=1.6.0\"`, `\"<2.0.0\"`, or a list of such bounds"),
                ),
                Some(wanted) if wanted.matches(&version) => {}
                Some(_) => faults.push(
                    Diagnostic::error("project/dbt-version", format!("`{package}` requires dbt `{bound}`, and segue is like dbt {ours}"))
                        .at(place.clone(), "required here")
                        .help("install a version of the package for it, or run with `--no-version-check`"),
                ),
            }
        }
    }
}

/// A bound without an operator means that very version, in dbt; parts that are left out are zero.
fn requirement(bound: &str) -> Option<VersionReq> {
    let at = bound.find(|c: char| c.is_ascii_digit())?;
    let (operator, number) = (bound[..at].trim(), bound[at..].trim());
    let operator = match operator {
        "" | "=" | "==" => "=",
        ">=" | "<=" | ">" | "<" => operator,
        _ => return None,
    };
    let (numbers, pre) = number.split_at(number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len()));
    let parts: Option<Vec<u64>> = numbers.split('.').map(|p| p.parse().ok()).collect();
    let mut parts = parts.filter(|p| p.len() <= 3)?;
    parts.resize(3, 0);
    // Python writes `1.6.0b1` or `1.6.0rc1` where others write `1.6.0-rc1`
    let pre = pre.trim_start_matches(['-', '.']);
    let pre = if pre.is_empty() { String::new() } else { format!("-{pre}") };
    VersionReq::parse(&format!("{operator}{}.{}.{}{pre}", parts[0], parts[1], parts[2])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceFile;

    #[test]
    fn all_bounds_hold() {
        let file = SourceFile::new("dbt_project.yml", "require-dbt-version: x");
        let place = Place::new(&file, 21..22);
        for (bounds, codes) in [
            (&[">=1.6.0"][..], &[][..]),
            (&[">=1.6.0", "<2.0.0"], &[]),
            (&[">=1.6.0,<2.0.0"], &[]),
            (&[">= 1.6"], &[]),
            (&["1.11.0"], &[]),
            (&["=1.11"], &[]),
            (&[">=1.11.0-b1"], &[]),
            (&[">=1.10.0b2"], &[]),
            (&["1.10.0"], &["project/dbt-version"]),
            (&[">=0.1.0", "<1.0.0"], &["project/dbt-version"]),
            (&[">1.11.0"], &["project/dbt-version"]),
            (&["~1.2", "soon"], &["project/bad-version", "project/bad-version"]),
            (&[">=1.2.3.4"], &["project/bad-version"]),
        ] {
            let mut faults = Diagnostics::default();
            let bounds: Vec<(String, Place)> = bounds.iter().map(|b| ((*b).to_owned(), place.clone())).collect();
            check(&bounds, "shop", "1.11.0", &mut faults);
            assert_eq!(faults.0.iter().map(|d| d.code).collect::<Vec<_>>(), codes, "{bounds:?}");
        }
    }
}
