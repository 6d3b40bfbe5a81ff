//! The session protocol of a Snowflake account, spoken by threads of the test process, with faults on demand.
//!
//! It runs no SQL: it remembers which statements ran in which session and answers them in the shape that their kind has. A
//! request id runs once; whoever sends it again gets the first answer.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

/// What goes wrong, for statements that contain the text, so often.
#[derive(Clone, Debug)]
pub struct Fault {
    pub on: &'static str,
    pub what: What,
    /// How many first attempts of different statements are hit.
    pub times: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The connection ends before the statement ran.
    DropBefore,
    /// It ran, and the answer is lost.
    DropAfter,
    Busy,
    /// 429, with the seconds to wait.
    Throttled(u32),
    /// Half of the answer, then nothing.
    CutOff,
    Expired,
    Gone,
    /// The statement fails with this error of Snowflake's.
    Fails(&'static str),
    /// It runs for so many polls.
    Polls(u32),
    /// A token expires with this code while the statement is waited for.
    ExpiresWaiting(&'static str),
    /// It runs until it is aborted.
    Endless,
}

#[derive(Clone, Debug)]
pub struct Executed {
    pub session: String,
    pub sql: String,
    pub request: String,
}

#[derive(Default)]
pub struct State {
    pub logins: Vec<Value>,
    pub executed: Vec<Executed>,
    pub aborted: Vec<String>,
    pub ended: Vec<String>,
    pub renewed: u32,
    pub uploaded: Vec<String>,
    faults: Vec<Fault>,
    /// Requests that were hit already.
    hit: HashMap<String, What>,
    answers: HashMap<String, Value>,
    polls: HashMap<String, (u32, Value)>,
    /// Token to session; an expired token is renewed to another one of the same session.
    tokens: HashMap<String, String>,
    /// `DATABASE.SCHEMA.NAME` of relations that exist.
    relations: BTreeMap<String, &'static str>,
    pub refuse_login: Option<(&'static str, &'static str)>,
    /// Chunks of `select ... from chunked`.
    chunks: u32,
    /// Statements whose next poll finds the token expired; tokens that are.
    expiring: HashMap<String, &'static str>,
    expired: Vec<String>,
    /// Chunks that can be fetched before their addresses expire, those that were, and how often there were new ones.
    pub chunk_life: Option<u32>,
    chunks_served: u32,
    pub reissued: u32,
    port: u16,
}

pub struct Server {
    pub port: u16,
    pub state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State { chunks: 20, port, ..State::default() }));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopping) = (Arc::clone(&state), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let _ = serve(stream, &state);
                });
            }
        });
        Self { port, state, stop }
    }

    pub fn fault(&self, on: &'static str, what: What, times: u32) {
        self.state.lock().expect("state").faults.push(Fault { on, what, times });
    }

    pub fn clear(&self) {
        let mut state = self.state.lock().expect("state");
        state.faults.clear();
        state.hit.clear();
        state.executed.clear();
        state.aborted.clear();
        state.renewed = 0;
    }

    pub fn statements(&self) -> Vec<String> {
        self.state.lock().expect("state").executed.iter().map(|e| e.sql.clone()).collect()
    }

    /// Nothing is left over: no open transaction, no temporary object in a session that lives, no table of work in progress, and no
    /// request ran twice.
    #[track_caller]
    pub fn expect_tidy(&self, when: &str) {
        let state = self.state.lock().expect("state");
        let mut requests: Vec<&String> = state.executed.iter().map(|e| &e.request).collect();
        let all = requests.len();
        requests.sort();
        requests.dedup();
        assert_eq!(requests.len(), all, "{when}: a request ran twice");
        let mut open: BTreeMap<&str, (bool, Vec<String>)> = BTreeMap::new();
        for e in &state.executed {
            let (in_transaction, temporary) = open.entry(&e.session).or_default();
            let lower = e.sql.to_lowercase();
            let word = |n: usize| lower.split_whitespace().nth(n).unwrap_or_default().to_owned();
            match word(0).as_str() {
                "begin" => *in_transaction = true,
                "commit" | "rollback" => *in_transaction = false,
                "create" if lower.contains("temporary") => temporary.push(word(3)),
                "drop" => temporary.retain(|t| *t != word(4)),
                _ => {}
            }
        }
        for (session, (in_transaction, temporary)) in &open {
            if !state.ended.iter().any(|e| e == session) {
                assert!(!in_transaction, "{when}: an open transaction in {session}: {:#?}", state.executed);
                assert!(temporary.is_empty(), "{when}: {temporary:?} is left in {session}: {:#?}", state.executed);
            }
        }
        let beside: Vec<&String> = state.relations.keys().filter(|r| r.contains("__DBT_TMP")).collect();
        assert!(beside.is_empty(), "{when}: {beside:?} is left: {:#?}", state.executed);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

struct Request {
    path: String,
    query: HashMap<String, String>,
    token: String,
    body: Vec<u8>,
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read(&mut reader)? {
        let Some((status, body)) = answer(&request, state) else { return Ok(()) };
        let cut = status == 299;
        let status = if cut { 200 } else { status };
        let (status, wait) = if status >= 1000 { (429, format!("retry-after: {}\r\n", status - 1000)) } else { (status, String::new()) };
        write!(stream, "HTTP/1.1 {status} X\r\n{wait}content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len())?;
        if cut {
            stream.write_all(&body[..body.len() / 2])?;
            return Ok(());
        }
        stream.write_all(&body)?;
    }
    Ok(())
}

fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split_whitespace().nth(1).unwrap_or("/").to_owned();
    let (mut length, mut token) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => token = value.trim().trim_start_matches("Snowflake Token=\"").trim_end_matches('"').to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query.split('&').filter_map(|p| p.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    Ok(Some(Request { path: path.to_owned(), query, token, body }))
}

/// `None` ends the connection.
fn answer(request: &Request, state: &Mutex<State>) -> Option<(u16, Vec<u8>)> {
    let json_of = |value: &Value| (200, value.to_string().into_bytes());
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let mut state = state.lock().expect("state");
    match request.path.as_str() {
        "/session/v1/login-request" => {
            state.logins.push(body["data"].clone());
            if let Some((code, message)) = state.refuse_login {
                return Some(json_of(&json!({"success": false, "code": code, "message": message, "data": null})));
            }
            let n = COUNT.fetch_add(1, Ordering::SeqCst);
            let (token, session) = (format!("token-{n}"), format!("session-{n}"));
            state.tokens.insert(token.clone(), session);
            Some(json_of(&json!({"success": true, "data": {
                "token": token, "masterToken": format!("master-{n}"), "validityInSeconds": 3600,
                "sessionInfo": {"databaseName": "SHOP", "schemaName": "DEV"},
            }})))
        }
        "/session/token-request" => {
            let old = body["oldSessionToken"].as_str().unwrap_or_default().to_owned();
            assert!(request.token.starts_with("master-"), "renewal is asked for with the master token");
            let session = state.tokens.remove(&old)?;
            state.renewed += 1;
            let token = format!("{old}+");
            state.tokens.insert(token.clone(), session);
            Some(json_of(&json!({"success": true, "data": {"sessionToken": token, "masterToken": request.token}})))
        }
        "/session" => {
            if let Some(session) = state.tokens.remove(&request.token) {
                state.ended.push(session);
            }
            Some(json_of(&json!({"success": true})))
        }
        "/queries/v1/abort-request" => {
            let id = body["requestId"].as_str().unwrap_or_default().to_owned();
            state.aborted.push(id);
            Some(json_of(&json!({"success": true})))
        }
        "/queries/v1/query-request" => statement(request, &body, &mut state),
        path if path.starts_with("/poll/") => {
            let id = path.trim_start_matches("/poll/").to_owned();
            if state.aborted.contains(&id) {
                return Some(json_of(&json!({"success": false, "code": "000604", "message": "SQL execution canceled", "data": {}})));
            }
            assert!(!state.expired.contains(&request.token), "asked with a token that has expired");
            if let Some(code) = state.expiring.remove(&id) {
                state.expired.push(request.token.clone());
                return Some(json_of(
                    &json!({"success": false, "code": code, "message": "Authentication token has expired.", "data": null}),
                ));
            }
            let (left, result) = state.polls.get(&id).cloned()?;
            if left == 0 {
                return Some(json_of(&result));
            }
            state.polls.insert(id.clone(), (left.saturating_sub(1), result));
            drop(state);
            std::thread::sleep(Duration::from_millis(5));
            Some(json_of(&json!({"success": false, "code": "333333", "data": {"getResultUrl": format!("/poll/{id}")}})))
        }
        "/queries/q/result" => {
            assert!(state.tokens.contains_key(&request.token), "a result is its owner's");
            state.reissued += 1;
            state.chunks_served = 0;
            Some(json_of(&chunked(&state)))
        }
        path if path.starts_with("/chunk/") => {
            let current = request.query.get("signed").is_some_and(|s| *s == state.reissued.to_string());
            if !current || state.chunk_life.is_some_and(|life| state.chunks_served >= life) {
                return Some((403, b"<Error><Message>Request has expired</Message></Error>".to_vec()));
            }
            state.chunks_served += 1;
            let n: u64 = path.trim_start_matches("/chunk/").parse().ok()?;
            drop(state);
            // later ones come sooner
            std::thread::sleep(Duration::from_millis((n * 7) % 23));
            let rows: Vec<String> = (0..100).map(|i| format!("[\"{}\"]", n * 100 + i)).collect();
            let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
            packed.write_all(rows.join(",").as_bytes()).expect("packed");
            Some((200, packed.finish().expect("packed")))
        }
        path if path.starts_with("/put/") => {
            state.uploaded.push(path.trim_start_matches("/put/").to_owned());
            Some((200, vec![]))
        }
        _ => Some((404, b"{}".to_vec())),
    }
}

fn statement(request: &Request, body: &Value, state: &mut State) -> Option<(u16, Vec<u8>)> {
    let json_of = |value: &Value| Some((200, value.to_string().into_bytes()));
    let Some(session) = state.tokens.get(&request.token).cloned() else {
        return json_of(
            &json!({"success": false, "code": "390104", "message": "You must login again to access the service.", "data": null}),
        );
    };
    let id = request.query.get("requestId").cloned().expect("a request id");
    let sql = body["sqlText"].as_str().expect("SQL").to_owned();
    // what is executed already is not executed again
    if let Some(first) = state.answers.get(&id) {
        return json_of(first);
    }
    let hit = match state.hit.get(&id) {
        Some(_) => None,
        None => {
            let found = state.faults.iter_mut().find(|f| f.times > 0 && sql.to_lowercase().contains(f.on));
            found.map(|f| {
                f.times -= 1;
                f.what
            })
        }
    };
    if let Some(what) = hit {
        state.hit.insert(id.clone(), what);
    }
    match hit {
        Some(What::DropBefore) => return None,
        Some(What::Busy) => return Some((503, b"busy".to_vec())),
        Some(What::Throttled(seconds)) => return Some((1000 + u16::try_from(seconds).expect("seconds"), vec![])),
        Some(What::Expired) => {
            return json_of(&json!({"success": false, "code": "390112", "message": "Your session has expired.", "data": null}));
        }
        Some(What::Gone) => {
            state.tokens.remove(&request.token);
            state.ended.push(session);
            return json_of(&json!({"success": false, "code": "390111", "message": "Session no longer exists.", "data": null}));
        }
        _ => {}
    }
    let described = body["describeOnly"].as_bool() == Some(true);
    if !described {
        state.executed.push(Executed { session, sql: sql.clone(), request: id.clone() });
    }
    let result = match hit {
        Some(What::Fails(code)) => {
            json!({"success": false, "code": code, "message": format!("told to fail with {code}"), "data": {"queryId": id}})
        }
        _ => result_of(&sql, described, state),
    };
    state.answers.insert(id.clone(), result.clone());
    match hit {
        Some(What::DropAfter) => None,
        Some(What::CutOff) => Some((299, result.to_string().into_bytes())),
        Some(what @ (What::Polls(_) | What::ExpiresWaiting(_))) => {
            let n = if let What::Polls(n) = what { n } else { 2 };
            if let What::ExpiresWaiting(code) = what {
                state.expiring.insert(id.clone(), code);
            }
            state.polls.insert(id.clone(), (n, result));
            let running = json!({"success": false, "code": "333334", "data": {"getResultUrl": format!("/poll/{id}")}});
            state.answers.insert(id, running.clone());
            json_of(&running)
        }
        Some(What::Endless) => {
            state.polls.insert(id.clone(), (u32::MAX, result));
            json_of(&json!({"success": false, "code": "333334", "data": {"getResultUrl": format!("/poll/{id}")}}))
        }
        _ => json_of(&result),
    }
}

fn column(name: &str, kind: &str) -> Value {
    let (precision, scale) = if kind == "fixed" { (json!(38), json!(0)) } else { (Value::Null, Value::Null) };
    json!({"name": name, "type": kind, "nullable": true, "precision": precision, "scale": scale, "length": null})
}

fn table(columns: &[(&str, &str)], rows: Value, kind: i64) -> Value {
    let rowtype: Vec<Value> = columns.iter().map(|(n, k)| column(n, k)).collect();
    json!({"success": true, "data": {
        "rowtype": rowtype, "rowset": rows, "queryResultFormat": "json", "queryId": "q", "statementTypeId": kind,
    }})
}

/// A result of which the first rows come with the answer.
fn chunked(state: &State) -> Value {
    let url = |n: u32| format!("http://127.0.0.1:{}/chunk/{n}?signed={}", state.port, state.reissued);
    let chunks: Vec<Value> = (1..state.chunks).map(|n| json!({"url": url(n), "rowCount": 100})).collect();
    let first: Vec<Value> = (0..100).map(|i| json!([i.to_string()])).collect();
    let mut answer = table(&[("N", "fixed")], Value::Array(first), 0x1000);
    answer["data"]["chunks"] = Value::Array(chunks);
    answer
}

fn result_of(sql: &str, described: bool, state: &mut State) -> Value {
    let lower = sql.to_lowercase();
    let lower = lower
        .trim_start_matches("/*")
        .split_once("*/")
        .map_or(lower.clone(), |(c, rest)| if sql.starts_with("/*") { rest.to_owned() } else { format!("{c}*/{rest}") });
    let words: Vec<&str> = lower.split_whitespace().collect();
    let word = |n: usize| words.get(n).copied().unwrap_or_default();
    let status = |text: &str| table(&[("status", "text")], json!([[text]]), 0x4000);
    if described {
        return table(&[("ID", "fixed"), ("NAME", "text")], json!([]), 0x1000);
    }
    let changed = |what: &str, n: u32| table(&[(&format!("number of rows {what}"), "fixed")], json!([[n.to_string()]]), 0x3100);
    match word(0) {
        "select" if lower.contains("information_schema.tables") => {
            let rows: Vec<Value> = state
                .relations
                .iter()
                .filter_map(|(name, kind)| {
                    let mut parts = name.split('.');
                    let (_, schema, table) = (parts.next()?, parts.next()?, parts.next()?);
                    Some(json!([schema, table, kind, "0"]))
                })
                .collect();
            let columns = [("TABLE_SCHEMA", "text"), ("TABLE_NAME", "text"), ("TABLE_TYPE", "text"), ("LAST_ALTERED", "timestamp_ltz")];
            table(&columns, Value::Array(rows), 0x1000)
        }
        "select" if lower.contains("information_schema.columns") => table(
            &[("a", "text"), ("b", "text"), ("c", "text"), ("d", "fixed"), ("e", "fixed"), ("f", "fixed"), ("g", "text")],
            json!([]),
            0x1000,
        ),
        "select" if lower.contains("from shop.segue.") => {
            json!({"success": false, "code": "002003", "message": "Object does not exist or not authorized.", "data": {}})
        }
        "select" if lower.contains("chunked") => chunked(state),
        "select" | "with" => table(&[("ID", "fixed"), ("NAME", "text")], json!([["1", "a"]]), 0x1000),
        "describe" => table(
            &[("name", "text"), ("type", "text"), ("kind", "text"), ("null?", "text")],
            json!([["ID", "NUMBER(38,0)", "COLUMN", "Y"], ["NAME", "VARCHAR(16777216)", "COLUMN", "Y"]]),
            0x1000,
        ),
        "insert" => changed("inserted", 1),
        "merge" => changed("inserted", 1),
        "update" => changed("updated", 1),
        "delete" => changed("deleted", 0),
        "copy" => table(&[("file", "text"), ("status", "text")], json!([["part-00000.parquet", "LOADED"]]), 0x3400),
        "put" => {
            let name = sql.split('\'').nth(1).and_then(|f| f.rsplit('/').next()).unwrap_or_default();
            json!({"success": true, "data": {
                "command": "UPLOAD", "src_locations": [name],
                "stageInfo": {"locationType": "GCS", "location": "stage/", "creds": {},
                    "presignedUrl": format!("http://127.0.0.1:{}/put/{name}", state.port)},
            }})
        }
        "create" => {
            let kind = if lower.contains(" view ") { "VIEW" } else { "BASE TABLE" };
            let temporary = lower.contains("temporary") || lower.contains(" schema ") || lower.contains(" stage ");
            if let Some(name) = words.iter().find(|w| w.matches('.').count() == 2).filter(|_| !temporary) {
                let name = name.trim_matches(|c: char| "();".contains(c)).to_uppercase();
                if !name.contains(".SEGUE.") {
                    state.relations.insert(name, kind);
                }
            }
            status("successfully created.")
        }
        "drop" => {
            if let Some(name) = words.iter().find(|w| w.matches('.').count() == 2) {
                state.relations.remove(&name.trim_matches(|c: char| "();".contains(c)).to_uppercase());
            }
            status("successfully dropped.")
        }
        _ => status("Statement executed successfully."),
    }
}
