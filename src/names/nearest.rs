//! The nearest known name to an unknown one, for hints.

/// The candidate that a user most likely meant, or `None` when nothing is close. Case is ignored.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = unknown.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(score, _)| *score >= 0.82)
        // callers pass names in any order: of two that are equally near the same one is told every time
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_typos_and_rejects_strangers() {
        assert_eq!(nearest("stg_chart", ["orders", "stg_charts"]), Some("stg_charts"));
        assert_eq!(nearest("m17", ["m19", "m16"]), nearest("m17", ["m16", "m19"]));
        assert_eq!(nearest("zzz", ["orders", "stg_charts"]), None);
    }
}
