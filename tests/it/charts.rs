//! One day of the five domestic charts through the reference project, against the same figures computed here from the
//! services' answers: the SQL, the adapters and the engine must agree with a few lines of Rust that know none of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::sandbox::Sandbox;

const DAY: &str = "2025-02-27";
const PROVIDERS: [&str; 5] = ["melon", "genie", "bugs", "flo", "vibe"];

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Song {
    source: String,
    rank: i64,
    title: String,
    artist: String,
    /// Services that do not tell count as not new.
    is_new: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The reference project without what it has built: it runs from anywhere, its recordings are named by `--vars`.
pub fn reference_project() -> Sandbox {
    let sandbox = Sandbox::empty();
    let mut files: Vec<PathBuf> = ["dbt_project.yml", "profiles.yml", "sources.yml"].map(|f| root().join(f)).into();
    for (folder, depth) in [("models", 9), ("macros", 9), ("seeds", 9), ("analyses", 9), ("tests/generic", 9), ("tests", 1)] {
        let entries = walkdir::WalkDir::new(root().join(folder)).max_depth(depth).into_iter();
        files.extend(entries.map(|e| e.expect("readable")).filter(|e| e.file_type().is_file()).map(|e| e.into_path()));
    }
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        sandbox.write(file.strip_prefix(root()).expect("below").to_str().expect("UTF-8"), &text);
    }
    sandbox
}

/// The cells of each row of one query, decimals as texts.
fn rows(sandbox: &Sandbox, sql: &str) -> Vec<Value> {
    let ran = sandbox.run(&["sql", "--output", "jsonl", sql]).expect_code(0);
    let line: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}", ran.out));
    line["rows"].as_array().unwrap_or_else(|| panic!("no rows: {line}")).clone()
}

/// `numerator / denominator` with `scale` digits, half away from zero; in integers, for floats would not be exact.
fn quotient(numerator: i64, denominator: i64, scale: u32) -> i64 {
    (numerator * 10_i64.pow(scale) * 2 + denominator) / (2 * denominator)
}

fn decimal(unscaled: i64, scale: u32) -> String {
    let one = 10_i64.pow(scale);
    format!("{}.{:0width$}", unscaled / one, unscaled % one, width = scale as usize)
}

/// Builds the two gold tables with all they need and compares them, and what lies below, with `songs`.
fn compare(replay: &Path, songs: Vec<Song>) {
    let project = reference_project();
    let vars = json!({"chart_replay": replay, "lookups_replay": root().join("data/recordings/lookups"), "run_date": DAY}).to_string();
    project
        // the seed is no ancestor, but tests of the chosen tables refer to it
        .run(&["build", "--vars", &vars, "--select", "+artist_performance", "+new_songs_analysis", "chart_services"])
        .expect_code(0)
        .expect_all(&["ERROR=0 SKIP=0"]);

    assert_eq!(rows(&project, "select count(*) from raw_data.music_charts"), [json!([600])]);
    let mut built: Vec<Song> = rows(&project, "select source, rank, title, artist, coalesce(isnew, false) from raw_data.music_charts")
        .into_iter()
        .map(|row| Song {
            source: row[0].as_str().expect("text").into(),
            rank: row[1].as_i64().expect("whole"),
            title: row[2].as_str().expect("text").into(),
            artist: row[3].as_str().expect("text").into(),
            is_new: row[4].as_bool().expect("yes or no"),
        })
        .collect();
    let mut expected = songs.clone();
    built.sort();
    expected.sort();
    // one by one: a difference of 600 rows at once is not readable
    for (built, expected) in built.iter().zip(&expected) {
        assert_eq!(built, expected);
    }
    assert_eq!((built.len(), expected.len()), (600, 600));

    let mut by_artist: BTreeMap<&str, (BTreeSet<&str>, Vec<i64>)> = BTreeMap::new();
    for song in &songs {
        let (titles, ranks) = by_artist.entry(&song.artist).or_default();
        titles.insert(&song.title);
        ranks.push(song.rank);
    }
    let performance: Vec<Value> = by_artist
        .iter()
        .map(|(artist, (titles, ranks))| {
            let average = quotient(ranks.iter().sum(), ranks.len() as i64, 6);
            json!([artist, titles.len(), ranks.iter().min(), decimal(average, 6)])
        })
        .collect();
    // UTF-8 sorts by code point, there as here
    let built = rows(&project, "select artist, total_songs, best_rank, avg_rank from analytics.artist_performance order by artist");
    for (built, expected) in built.iter().zip(&performance) {
        assert_eq!(built, expected);
    }
    assert_eq!(built.len(), performance.len());

    let (total, new) = (songs.len() as i64, songs.iter().filter(|s| s.is_new).count() as i64);
    // a quotient of NUMBERs has six digits, which ROUND(_, 2) then rounds again
    let percentage = quotient(quotient(100 * new, total, 6), 10_i64.pow(4), 0);
    assert!(new > 0, "a day without a new song shows nothing");
    assert_eq!(
        rows(&project, "select total_songs, new_songs, new_song_percentage from analytics.new_songs_analysis"),
        [json!([total, new, decimal(percentage, 2)])]
    );
}

#[test]
fn the_real_charts_of_a_day_give_the_figures_of_their_csv_files() {
    let folder = root().join("tests/it/fixtures/charts").join(DAY);
    let mut songs = vec![];
    for source in PROVIDERS {
        let path = folder.join(format!("{source}_chart_{DAY}.csv"));
        let mut reader = csv::Reader::from_path(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let header = reader.headers().expect("a header").clone();
        let at = |name: &str| header.iter().position(|column| column == name);
        let (rank, title, artist) = (at("rank").expect("rank"), at("title").expect("title"), at("artist").expect("artist"));
        for record in reader.records() {
            let record = record.expect("a row");
            songs.push(Song {
                source: source.into(),
                rank: record[rank].parse().expect("a rank"),
                title: record[title].into(),
                artist: record[artist].into(),
                is_new: at("isNew").is_some_and(|i| &record[i] == "True"),
            });
        }
    }
    compare(&folder, songs);
}

/// Nothing but what is in this repository, and the JSON read without the adapters.
#[test]
fn a_recorded_day_gives_the_figures_of_its_answers() {
    let replay = tempfile::tempdir().expect("a temporary folder");
    let mut songs = vec![];
    for source in PROVIDERS {
        let path = root().join(format!("data/recordings/charts/{source}/{DAY}.json"));
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        fs::write(replay.path().join(format!("{source}.json")), &text).expect("written");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        let (list, rank, title, artist) = match source {
            "melon" => ("/response/SONGLIST", "/CURRANK", "/SONGNAME", "/ARTISTLIST/0/ARTISTNAME"),
            "genie" => ("/DataSet/DATA", "/RANK_NO", "/SONG_NAME", "/ARTIST_NAME"),
            "bugs" => ("/list", "/list_attr/rank", "/track_title", "/artists/0/artist_nm"),
            "flo" => ("/data/trackList", "", "/name", "/representationArtist/name"),
            _ => ("/response/result/chart/items/tracks", "/rank/currentRank", "/trackTitle", "/artists/0/artistName"),
        };
        for (i, row) in answer.pointer(list).and_then(Value::as_array).expect("a list").iter().enumerate() {
            let text = |pointer| {
                let text = row.pointer(pointer).and_then(Value::as_str).expect("a text");
                if source == "genie" { percent_decode_str(text).decode_utf8_lossy().into_owned() } else { text.to_owned() }
            };
            songs.push(Song {
                source: source.into(),
                // FLO's list has no ranks but its order
                rank: match row.pointer(rank) {
                    Some(Value::String(rank)) => rank.parse().expect("a rank"),
                    Some(Value::Number(rank)) => rank.as_i64().expect("a rank"),
                    _ => i as i64 + 1,
                },
                title: text(title),
                artist: text(artist),
                is_new: match source {
                    "melon" => row["RANKTYPE"] == "NEW",
                    "flo" => row["rank"]["newYn"] == "Y",
                    "vibe" => row["rank"]["isNew"] == true,
                    _ => false,
                },
            });
        }
    }
    compare(replay.path(), songs);
}
