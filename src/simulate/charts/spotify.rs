//! A day's order to Spotify's embed page, a week's plays to its weekly CSV file.

use chrono::{Datelike, Days, NaiveDate, Weekday};
use serde_json::{Value, json};

use super::{ranking::History, service::Service};
use crate::simulate::{catalog::Catalog, chance::Chance};

pub(super) const WEEKLY_HEADER: &str = "rank,uri,artist_names,track_name,source,peak_rank,previous_rank,weeks_on_chart,streams";
const PLAYLIST: &str = "37i9dQZEVXbMDoHDwVN2tF";

/// The page with its state as JSON inside a script element.
pub(super) fn top50(catalog: &Catalog, history: &History, day: NaiveDate) -> String {
    let tracks: Vec<Value> = history
        .top(day, Service::Top50.rows())
        .iter()
        .map(|number| {
            let song = &catalog.songs[*number];
            let artists: Vec<(String, &str)> =
                credited(song).map(|a| (Service::Top50.spell(&catalog.artists[a]), catalog.artists[a].id.as_str())).collect();
            json!({
                "uri": format!("spotify:track:{}", song.id),
                "uid": Chance::of(*number as u64, &[8]).hexadecimal(16),
                "title": Service::Top50.title(catalog, song),
                "subtitle": artists.iter().map(|a| a.0.as_str()).collect::<Vec<_>>().join(",\u{a0}"),
                "artists": artists.iter().map(|(name, id)| json!({"name": name, "uri": format!("spotify:artist:{id}")})).collect::<Vec<_>>(),
                "isExplicit": song.explicit,
                "duration": milliseconds(song.length),
                "isPlayable": true,
                "entityType": "track",
            })
        })
        .collect();
    let state = json!({
        "props": {"pageProps": {"state": {"data": {"entity": {
            "type": "playlist",
            "name": "Top 50 - Global",
            "uri": format!("spotify:playlist:{PLAYLIST}"),
            "id": PLAYLIST,
            "title": "Top 50 - Global",
            "subtitle": "Spotify",
            "trackList": tracks,
        }}}}},
        "page": "/playlist/[id]",
        "query": {"id": PLAYLIST},
    });
    // a title with `</script>` in it must not end the element
    let state = state.to_string().replace('<', "\\u003c");
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"/><title>Top 50 - Global</title></head><body><div id=\"__next\"></div>\
         <script id=\"__NEXT_DATA__\" type=\"application/json\">{state}</script></body></html>\n"
    )
}

/// On Spotify guests are credited as artists too.
pub(super) fn credited(song: &crate::simulate::catalog::Song) -> impl Iterator<Item = usize> + '_ {
    song.artists.iter().chain(&song.guests).copied()
}

pub(super) fn milliseconds(length: f64) -> u64 {
    (length * 1_000.0).round() as u64
}

/// The chart of the week that ends with `day`; `None` unless `day` is a Thursday.
pub(super) fn weekly(catalog: &Catalog, history: &History, service: Service, day: NaiveDate) -> Option<String> {
    const LABELS: [&str; 6] =
        ["Halcyon Records", "Bluebird Entertainment", "North Pier Music", "Mirae Sound", "Oak & Ivory", "Self-released"];
    if day.weekday() != Weekday::Thu {
        return None;
    }
    let size = match service {
        Service::Kr => 2_900_000.0,
        Service::Us => 14_500_000.0,
        _ => 61_000_000.0,
    };
    let order = |day: NaiveDate| {
        let plays = history.week(day);
        let mut songs: Vec<usize> = (0..plays.len()).filter(|s| plays[*s] > 0.0).collect();
        songs.sort_by(|a, b| plays[*b].total_cmp(&plays[*a]).then(a.cmp(b)));
        songs.truncate(service.rows());
        (songs, plays)
    };
    let weeks: Vec<(Vec<usize>, Vec<f64>)> = (0..6).filter_map(|back| day.checked_sub_days(Days::new(7 * back))).map(order).collect();
    let (songs, plays) = weeks.first()?;
    let best = plays[*songs.first()?];
    let mut writer = csv::Writer::from_writer(vec![]);
    writer.write_record(WEEKLY_HEADER.split(',')).ok()?;
    for (i, number) in songs.iter().enumerate() {
        let song = &catalog.songs[*number];
        let rank_in = |week: &(Vec<usize>, Vec<f64>)| week.0.iter().position(|s| s == number).map(|p| p + 1);
        let peak = weeks.iter().filter_map(rank_in).min().unwrap_or(i + 1);
        let on_chart = weeks.iter().filter(|w| rank_in(w).is_some()).count();
        // songs that were there in every known week came earlier, at most with their release
        let earlier = if on_chart == weeks.len() { ((day - song.released).num_days() / 7 - on_chart as i64).clamp(0, 60) } else { 0 };
        let artists: Vec<String> = credited(song).map(|a| service.spell(&catalog.artists[a])).collect();
        writer
            .write_record([
                (i + 1).to_string(),
                format!("spotify:track:{}", song.id),
                artists.join(", "),
                service.title(catalog, song),
                LABELS[song.artists[0] % LABELS.len()].to_owned(),
                peak.to_string(),
                weeks.get(1).and_then(rank_in).map_or("-1".to_owned(), |r| r.to_string()),
                (on_chart as i64 + earlier).to_string(),
                ((plays[*number] / best * size) as u64).to_string(),
            ])
            .ok()?;
    }
    String::from_utf8(writer.into_inner().ok()?).ok()
}
