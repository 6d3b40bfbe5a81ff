//! The committed recordings are what the committed program makes.

use std::path::Path;

use segue::simulate::charts::{Options, Recording, recordings};

/// Three days of the 21 (a day does not depend on the range), and of the look-ups the same number of files.
#[test]
fn regenerating_gives_the_committed_bytes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/recordings");
    let (charts, _) = recordings(&Options { days: 3, ..Options::new("unused") }).expect("options are fine");
    assert_eq!(charts.len(), 6 * 3 + 3);
    for Recording { path, text } in charts {
        let committed = std::fs::read_to_string(root.join("charts").join(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        // not assert_eq: a chart is too long to show
        assert!(committed == text, "`{}` differs from what `segue simulate charts` makes", path.display());
    }
}

#[test]
fn regenerating_gives_the_committed_look_ups() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/recordings");
    let (charts, lookups) =
        recordings(&Options { lookups_out: Some("unused".into()), ..Options::new("unused") }).expect("options are fine");
    assert_eq!(charts.len(), 6 * 21 + 3 * 3);
    for Recording { path, text } in lookups {
        let committed = std::fs::read_to_string(root.join("lookups").join(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(committed == text, "`{}` differs from what `segue simulate charts` makes", path.display());
    }
}
