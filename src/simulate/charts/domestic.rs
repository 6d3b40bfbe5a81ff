//! A day's order to the response of a Korean service, key by key as the service sends it.

use chrono::{Days, NaiveDate, NaiveTime};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{ranking::History, service::Service};
use crate::simulate::{
    catalog::{Album, Catalog},
    chance::Chance,
};

/// A service counts who was this far down yesterday as a climber, below as new.
const KNOWN: usize = 150;
/// What Genie's encoder leaves as it is.
const GENIE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'_').remove(b'.').remove(b'-').remove(b'~');

struct Row<'a> {
    rank: usize,
    /// The rank of yesterday as deep as ranks are known.
    last: Option<usize>,
    peak: usize,
    title: String,
    artists: Vec<String>,
    album: &'a Album,
}

/// The response, and the artists as its parser will name them.
pub(super) fn document(catalog: &Catalog, history: &History, service: Service, day: NaiveDate, seed: u64) -> (Value, Vec<(usize, String)>) {
    let mut spellings = vec![];
    let rows: Vec<Row<'_>> = history
        .top(day, service.rows())
        .iter()
        .enumerate()
        .map(|(i, number)| {
            let song = &catalog.songs[*number];
            let artists: Vec<String> = song.artists.iter().map(|a| service.spell(&catalog.artists[*a])).collect();
            // Genie has all artists in one text
            let shown = if service == Service::Genie { artists.join(" & ") } else { artists[0].clone() };
            spellings.push((song.artists[0], shown));
            Row {
                rank: i + 1,
                last: history.last(*number, day),
                peak: history.peak(*number, day),
                title: service.title(catalog, song),
                artists,
                album: &catalog.albums[song.album],
            }
        })
        .collect();
    let document = match service {
        Service::Melon => melon(&rows, day, seed),
        Service::Bugs => bugs(&rows, day),
        Service::Genie => genie(&rows),
        Service::Flo => flo(&rows, seed),
        _ => vibe(&rows, day),
    };
    (document, spellings)
}

/// Milliseconds of an hour in Seoul.
fn seoul(day: NaiveDate, hour: u32) -> i64 {
    let time = NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or_default();
    day.and_time(time).and_utc().timestamp_millis() - 9 * 3_600_000
}

fn melon(rows: &[Row<'_>], day: NaiveDate, seed: u64) -> Value {
    let list: Vec<Value> = rows
        .iter()
        .map(|r| {
            // only the hundred of yesterday are known to Melon
            let last = r.last.filter(|l| *l <= rows.len()).unwrap_or(0);
            let (kind, gap) = match last {
                0 => ("NEW", r.rank),
                l if l > r.rank => ("UP", l - r.rank),
                l if l < r.rank => ("DOWN", r.rank - l),
                _ => ("NONE", 0),
            };
            let n = 10_000_000 + r.album.number % 1_900_000;
            let image = format!(
                "https://cdnimg.melon.co.kr/cm2/album/images/{:03}/{:02}/{:03}/{n}_{}160403_500.jpg?{}/melon/resize/500/optimize/90",
                n / 100_000,
                n / 1_000 % 100,
                n % 1_000,
                r.album.released.format("%Y%m%d"),
                Chance::of(seed, &[6, n]).hexadecimal(32),
            );
            json!({
                "SONGNAME": r.title,
                "ARTISTLIST": r.artists.iter().map(|a| json!({"ARTISTNAME": a})).collect::<Vec<_>>(),
                "ALBUMIMG": image,
                "CURRANK": r.rank.to_string(),
                "PASTRANK": last.to_string(),
                "RANKTYPE": kind,
                "RANKGAP": gap.to_string(),
            })
        })
        .collect();
    json!({"response": {"PAGE": "멜론차트 TOP100", "RANKDAY": day.format("%Y.%m.%d").to_string(), "RANKHOUR": "11:00", "SONGLIST": list}})
}

fn bugs(rows: &[Row<'_>], day: NaiveDate) -> Value {
    let list: Vec<Value> = rows
        .iter()
        .map(|r| {
            let n = r.album.number / 2;
            json!({
                "track_title": r.title,
                "artists": r.artists.iter().map(|a| json!({"artist_nm": a})).collect::<Vec<_>>(),
                "album": {"image": {"path": format!("/{}/{n}.jpg", n / 100)}},
                "list_attr": {"rank": r.rank, "rank_peak": r.peak, "rank_last": r.last.unwrap_or(0)},
            })
        })
        .collect();
    json!({"ret_code": 0, "ret_msg": "SUCCESS", "info": {"end_dt": seoul(day, 11)}, "list": list})
}

fn genie(rows: &[Row<'_>]) -> Value {
    let encoded = |text: &str| utf8_percent_encode(text, GENIE).to_string();
    let data: Vec<Value> = rows
        .iter()
        .map(|r| {
            let n = 80_000_000 + r.album.number % 6_000_000;
            let made = r.album.released.and_time(NaiveTime::MIN).and_utc().timestamp_millis() + (n % 86_400_000) as i64;
            let image = format!(
                "https://image.genie.co.kr/Y/IMAGE/IMG_ALBUM/{:03}/{:03}/{:03}/{n}_{made}_1_140x140.JPG/dims/resize/Q_80,0",
                n / 1_000_000,
                n / 1_000 % 1_000,
                n % 1_000,
            );
            json!({
                "SONG_NAME": encoded(&r.title),
                "ARTIST_NAME": encoded(&r.artists.join(" & ")),
                "ALBUM_IMG_PATH": encoded(&image),
                "TOP_RANK_NO": "",
                "PRE_RANK_NO": r.last.unwrap_or(0).to_string(),
                "RANK_NO": r.rank.to_string(),
            })
        })
        .collect();
    json!({
        "Result": {"RetCode": "0", "RetMsg": "SUCCESS", "UserMsg": ""},
        "PageInfo": {"ChartTime": "11:00", "TotCount": rows.len().to_string()},
        "DataSet": {"DATA": data},
    })
}

fn flo(rows: &[Row<'_>], seed: u64) -> Value {
    let list: Vec<Value> = rows
        .iter()
        .map(|r| {
            let last = r.last.filter(|l| *l <= KNOWN);
            let n = 420_000_000 + r.album.number;
            let part = |at: u64| n / 1_000u64.pow(at as u32) % 1_000;
            let url = format!(
                "https://cdn.music-flo.com/image/v2/album/{:03}/{:03}/{:02}/04/{n}_{}_s.jpg?{}/dims/resize/256x256/quality/90",
                part(0),
                part(1),
                n / 1_000_000 % 100,
                Chance::of(seed, &[7, n]).hexadecimal(16),
                r.album.released.and_time(NaiveTime::MIN).and_utc().timestamp_millis(),
            );
            json!({
                "name": r.title,
                "representationArtist": {"name": r.artists[0]},
                "album": {"imgList": [{"size": 75, "url": url}]},
                "rank": {
                    "rankBadge": last.map_or(0, |l| l as i64 - r.rank as i64),
                    "newYn": if last.is_none() { "Y" } else { "N" },
                },
            })
        })
        .collect();
    json!({"code": "2000000", "data": {"name": "FLO 차트", "basedOnUpdate": "24시간 누적 차트", "trackList": list}})
}

fn vibe(rows: &[Row<'_>], day: NaiveDate) -> Value {
    let list: Vec<Value> = rows
        .iter()
        .map(|r| {
            let last = r.last.filter(|l| *l <= KNOWN);
            let n = 30_000_000 + r.album.number % 2_900_000;
            let version = r.album.released.checked_add_days(Days::new(1)).unwrap_or(r.album.released);
            let image = format!(
                "https://musicmeta-phinf.pstatic.net/album/{:03}/{:03}/{n}.jpg?type=r256Fll&v={}170757",
                n / 1_000_000,
                n / 1_000 % 1_000,
                version.format("%Y%m%d"),
            );
            json!({
                "trackTitle": r.title,
                "artists": r.artists.iter().map(|a| json!({"artistName": a})).collect::<Vec<_>>(),
                "album": {"imageUrl": image},
                "rank": {"currentRank": r.rank, "rankVariation": last.map_or(0, |l| l as i64 - r.rank as i64), "isNew": last.is_none()},
            })
        })
        .collect();
    json!({"response": {"result": {"chart": {
        "title": "오늘 Top100",
        "date": seoul(day, 7),
        "chartTotalCount": rows.len(),
        "items": {"tracks": list},
    }}}})
}
