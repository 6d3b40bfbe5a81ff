//! Requirements of the project and of its packages, to one version of each package.

use semver::Version;

use super::{fetch::Fetcher, requirement::Requirement};
use crate::diagnostic::Diagnostic;

/// Breadth first: what the project asks for comes before what its packages ask for. Bounds of one package add up.
pub(super) fn resolve(wanted: Vec<Requirement>, fetcher: &Fetcher) -> Result<Vec<Requirement>, Diagnostic> {
    let mut chosen: Vec<(String, Requirement)> = vec![];
    let mut bounds: Vec<(String, Vec<String>)> = vec![];
    let mut open: std::collections::VecDeque<Requirement> = wanted.into();
    while let Some(next) = open.pop_front() {
        let pinned = match &next {
            Requirement::Hub { package, versions, prerelease } => {
                let all = match bounds.iter_mut().find(|(name, _)| name == package) {
                    Some((_, all)) => {
                        all.extend(versions.iter().cloned());
                        all.clone()
                    }
                    None => {
                        bounds.push((package.clone(), versions.clone()));
                        versions.clone()
                    }
                };
                let version = newest(package, &fetcher.versions(package)?, &all, *prerelease)?;
                Requirement::Hub { package: package.clone(), versions: vec![version], prerelease: *prerelease }
            }
            other => other.clone(),
        };
        let key = key(&pinned);
        match chosen.iter_mut().find(|(k, _)| *k == key) {
            Some((_, before)) if *before == pinned => continue,
            Some((_, before)) => *before = pinned.clone(),
            None => chosen.push((key, pinned.clone())),
        }
        open.extend(fetcher.requirements(&pinned)?);
    }
    Ok(chosen.into_iter().map(|(_, r)| r).collect())
}

fn key(requirement: &Requirement) -> String {
    match requirement {
        Requirement::Local { path } => format!("local {path}"),
        Requirement::Git { url, subdirectory, .. } => {
            format!("git {} {}", url.trim_end_matches(".git"), subdirectory.as_deref().unwrap_or_default())
        }
        Requirement::Tarball { name, .. } => format!("tarball {name}"),
        Requirement::Hub { package, .. } => format!("hub {package}"),
    }
}

/// The newest version within all bounds.
fn newest(package: &str, known: &[String], bounds: &[String], prerelease: bool) -> Result<String, Diagnostic> {
    let exact = |v: &Version| bounds.iter().any(|b| parse(b).as_ref() == Some(v));
    let mut fitting: Vec<(Version, &String)> = known
        .iter()
        .filter_map(|text| Some((parse(text)?, text)))
        .filter(|(v, _)| bounds.iter().all(|b| within(v, b)) && (v.pre.is_empty() || prerelease || exact(v)))
        .collect();
    fitting.sort();
    fitting.pop().map(|(_, text)| text.clone()).ok_or_else(|| {
        Diagnostic::error("deps/no-version", format!("Could not find a matching compatible version for package {package}"))
            .note(format!("asked for: {}", bounds.join(", ")))
            .note(format!("available: {}", known.join(", ")))
    })
}

fn parse(text: &str) -> Option<Version> {
    let text = text.trim().trim_start_matches(['=', 'v']).trim();
    let (numbers, rest) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
    let dots = numbers.matches('.').count();
    Version::parse(&format!("{numbers}{}{rest}", ".0".repeat(2usize.saturating_sub(dots)))).ok()
}

fn within(version: &Version, bound: &str) -> bool {
    let bound = bound.trim();
    let split = bound.find(|c: char| c.is_ascii_digit() || c == 'v').unwrap_or(bound.len());
    let (operator, rest) = bound.split_at(split);
    let Some(other) = parse(rest) else { return false };
    match operator.trim() {
        ">=" => *version >= other,
        ">" => *version > other,
        "<=" => *version <= other,
        "<" => *version < other,
        _ => *version == other,
    }
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_newest_version_within_bounds_is_taken() {
        let known = ["0.9.0", "1.0.0", "1.1.1", "1.2.0-rc1", "2.0.0"].map(str::to_owned);
        for (bounds, prerelease, expect) in [
            (vec![">=1.0.0", "<2.0.0"], false, Some("1.1.1")),
            (vec![">=1.0.0", "<2.0.0"], true, Some("1.2.0-rc1")),
            (vec!["1.0.0"], false, Some("1.0.0")),
            (vec!["=1.0"], false, Some("1.0.0")),
            (vec!["1.2.0-rc1"], false, Some("1.2.0-rc1")),
            (vec![">2.0.0"], false, None),
        ] {
            let bounds: Vec<String> = bounds.into_iter().map(str::to_owned).collect();
            assert_eq!(newest("a/b", &known, &bounds, prerelease).ok().as_deref(), expect, "{bounds:?}");
        }
    }
}
