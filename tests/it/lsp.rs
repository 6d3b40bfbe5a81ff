//! The language server as an editor sees it: the real binary, its protocol over standard input and output.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

const SHOP: &str = "\
-- file: seeds/items.csv
id,name,price
1,apple,1.50
2,pear,2.25
-- file: models/stg.sql
{{ config(materialized='table') }}
select id, name, price from {{ ref('items') }}
-- file: models/dear.sql
with costly as (
    select s.id, s.name as \"이름\", {{ cents('price') }} as cents from {{ ref('stg') }} s where s.price > 2
)
select * from costly
-- file: models/plays.sql
select song, seconds from {{ source('raw', 'plays') }}
-- file: models/schema.yml
sources:
  - name: raw
    tables:
      - name: plays
        columns:
          - {name: song, data_type: varchar, description: what was played}
          - {name: seconds, data_type: 'number(10,2)'}
models:
  - name: stg
    description: \"{{ doc('staging') }}\"
    columns:
      - name: id
        data_tests: [not_null, unique]
      - name: price
        description: of one piece
-- file: models/words.md
{% docs staging %}
Items as they come.
{% enddocs %}
-- file: macros/money.sql
{% macro cents(column, factor=100) %}({{ column }} * {{ factor }}){% endmacro %}
";

/// Long enough for the slowest machine; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

struct Editor<'a> {
    shop: &'a Sandbox,
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    /// Came while something else was waited for.
    aside: Vec<Value>,
    id: i64,
    version: i64,
}

impl<'a> Editor<'a> {
    fn start(shop: &'a Sandbox) -> Self {
        let mut child = shop
            .command(&["lsp", "--stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it starts");
        let (send, messages) = channel();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            loop {
                let mut length = None;
                loop {
                    let mut line = String::new();
                    if out.read_line(&mut line).unwrap_or(0) == 0 {
                        return;
                    }
                    match line.trim_end().split_once(": ") {
                        Some(("Content-Length", n)) => length = Some(n.parse::<usize>().expect("a number")),
                        Some(_) => {}
                        None => break,
                    }
                }
                let mut body = vec![0; length.expect("a length")];
                out.read_exact(&mut body).expect("a body");
                if send.send(serde_json::from_slice(&body).expect("JSON")).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take().expect("piped");
        let mut editor = Self { shop, child, input, messages, aside: vec![], id: 0, version: 0 };
        let folder = json!([{"uri": editor.uri(""), "name": "shop"}]);
        let ready = editor.ask("initialize", json!({"processId": null, "capabilities": {}, "workspaceFolders": folder, "rootUri": null}));
        assert_eq!(ready["capabilities"]["positionEncoding"], "utf-16");
        editor.tell("initialized", json!({}));
        editor
    }

    fn uri(&self, path: &str) -> String {
        format!("file://{}", self.shop.path().join(path).display()).trim_end_matches('/').to_owned()
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len()).expect("it listens");
        self.input.flush().expect("it listens");
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    #[track_caller]
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let id = self.id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let message = self.messages.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == id && message.get("method").is_none() {
                assert!(message.get("error").is_none(), "{message}");
                return message["result"].clone();
            }
            self.aside.push(message);
        }
    }

    fn open(&mut self, path: &str, text: &str) {
        self.version += 1;
        let document = json!({"uri": self.uri(path), "languageId": "sql", "version": self.version, "text": text});
        self.tell("textDocument/didOpen", json!({"textDocument": document}));
    }

    fn write(&mut self, path: &str, text: &str) {
        self.version += 1;
        let document = json!({"uri": self.uri(path), "version": self.version});
        self.tell("textDocument/didChange", json!({"textDocument": document, "contentChanges": [{"text": text}]}));
    }

    /// The findings of a file, as soon as they are as wanted.
    #[track_caller]
    fn findings(&mut self, path: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let uri = self.uri(path);
        let mut last = json!(null);
        loop {
            let message = if self.aside.is_empty() {
                self.messages.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never as wanted: {last}"))
            } else {
                self.aside.remove(0)
            };
            if message["method"] == "textDocument/publishDiagnostics" && message["params"]["uri"] == uri.as_str() {
                let found = message["params"]["diagnostics"].as_array().expect("a list").clone();
                if wanted(&found) {
                    return found;
                }
                last = json!(found);
            }
        }
    }

    /// `¦` in the text is the cursor; the document is left with the text without it.
    #[track_caller]
    fn at(&mut self, method: &str, path: &str, marked: &str) -> Value {
        let at = marked.find('¦').expect("a cursor");
        let before = &marked[..at];
        let line = before.matches('\n').count();
        let character = before.rsplit('\n').next().unwrap_or_default().encode_utf16().count();
        self.write(path, &marked.replacen('¦', "", 1));
        let params = json!({
            "textDocument": {"uri": self.uri(path)},
            "position": {"line": line, "character": character},
            "context": {"includeDeclaration": false, "triggerKind": 1},
        });
        self.ask(method, params)
    }

    #[track_caller]
    fn offered(&mut self, path: &str, marked: &str) -> Vec<String> {
        let list = self.at("textDocument/completion", path, marked);
        list["items"].as_array().expect("a list").iter().map(|i| i["label"].as_str().expect("a label").to_owned()).collect()
    }

    #[track_caller]
    fn shown(&mut self, path: &str, marked: &str) -> String {
        let hover = self.at("textDocument/hover", path, marked);
        hover["contents"]["value"].as_str().unwrap_or_default().to_owned()
    }

    /// `file:line:character` of where a definition is.
    #[track_caller]
    fn leads(&mut self, path: &str, marked: &str) -> String {
        let found = self.at("textDocument/definition", path, marked);
        place(self.shop, &found)
    }

    fn end(mut self) -> Option<i32> {
        self.ask("shutdown", json!(null));
        self.tell("exit", json!(null));
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Editor<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn place(shop: &Sandbox, location: &Value) -> String {
    let root = format!("file://{}/", shop.path().display());
    let start = &location["range"]["start"];
    let path = location["uri"].as_str().unwrap_or("nowhere").replace(&root, "");
    format!("{path}:{}:{}", start["line"], start["character"])
}

fn codes(found: &[Value]) -> Vec<&str> {
    found.iter().filter_map(|f| f["code"].as_str()).collect()
}

#[test]
fn findings_follow_the_unsaved_text() {
    let shop = Sandbox::new(SHOP);
    let dear = shop.read("models/dear.sql");
    let mut editor = Editor::start(&shop);
    editor.open("models/dear.sql", &dear);
    editor.findings("models/dear.sql", |f| f.is_empty());

    // a column that is not there, behind Korean text and an emoji: columns are UTF-16 units
    editor.write("models/dear.sql", "select '멜론 🎵' as a, prise from {{ ref('stg') }}\n");
    let found = editor.findings("models/dear.sql", |f| !f.is_empty());
    assert_eq!(codes(&found), ["sql/unknown-column"]);
    assert_eq!(found[0]["range"], json!({"start": {"line": 0, "character": 21}, "end": {"line": 0, "character": 26}}));
    assert!(found[0]["message"].as_str().expect("a text").contains("PRICE"), "{found:?}");

    // half-written Jinja; then a reference to nothing; what is below goes on being checked
    editor.write("models/dear.sql", "select * from {{ ref('stg'");
    let found = editor.findings("models/dear.sql", |f| codes(f).iter().any(|c| c.starts_with("template/")));
    assert_eq!(found.len(), 1, "{found:?}");
    editor.write("models/dear.sql", "select * from {{ ref('stgg') }}");
    let found = editor.findings("models/dear.sql", |f| codes(f) == ["graph/unknown-ref"]);
    assert_eq!(found[0]["range"]["start"], json!({"line": 0, "character": 21}));

    // another file gets a fault while this one is broken
    editor.open("models/plays.sql", "select songg from {{ source('raw', 'plays') }}");
    let found = editor.findings("models/plays.sql", |f| !f.is_empty());
    assert_eq!(codes(&found), ["sql/unknown-column"]);

    // a change of a parent shows in its child, which is not open in the editor
    editor.write("models/dear.sql", &dear);
    editor.findings("models/dear.sql", |f| f.is_empty());
    editor.open("models/stg.sql", "select id, name from {{ ref('items') }}");
    let found = editor.findings("models/dear.sql", |f| !f.is_empty());
    assert!(codes(&found).iter().all(|c| *c == "sql/unknown-column"), "{found:?}");

    // closed without saving: the file on disk holds again
    let uri = editor.uri("models/stg.sql");
    editor.tell("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    editor.findings("models/dear.sql", |f| f.is_empty());
    assert_eq!(editor.end(), Some(0));
}

#[test]
fn a_hundred_keystrokes_end_in_the_last_text() {
    let shop = Sandbox::new(SHOP);
    let mut editor = Editor::start(&shop);
    editor.open("models/plays.sql", "select song from {{ source('raw', 'plays') }}");
    for n in 0..100 {
        editor.write("models/plays.sql", &format!("select song, wrong_{n} from {{{{ source('raw', 'plays') }}}}"));
    }
    let found = editor.findings("models/plays.sql", |f| f.iter().any(|f| f["message"].as_str().is_some_and(|m| m.contains("WRONG_99"))));
    assert_eq!(codes(&found), ["sql/unknown-column"]);
    editor.write("models/plays.sql", "select song from {{ source('raw', 'plays') }}");
    editor.findings("models/plays.sql", |f| f.is_empty());
    assert_eq!(editor.end(), Some(0));
}

#[test]
fn names_are_completed() {
    let shop = Sandbox::new(SHOP);
    let mut editor = Editor::start(&shop);
    editor.open("models/new.sql", "");
    for (text, expect, without) in [
        ("select * from {{ ref('¦", &["stg", "dear", "items", "plays"][..], "raw"),
        ("select * from {{ ref('s¦') }}", &["stg"], "raw"),
        ("select * from {{ source('¦') }}", &["raw"], "stg"),
        ("select * from {{ source('raw', '¦') }}", &["plays"], "raw"),
        ("select s.¦ from {{ ref('stg') }} s", &["id", "name", "price"], "song"),
        ("select ¦ from {{ ref('stg') }}", &["id", "name", "price"], "song"),
        ("select d.¦ from {{ ref('dear') }} d", &["\"이름\"", "cents", "id"], "price"),
        ("with a as (select song as title from {{ source('raw', 'plays') }}) select ¦ from a", &["title", "a"], "seconds"),
        ("select {{ ce¦", &["cents", "ref", "is_incremental"], "stg"),
        ("select dat¦ from {{ ref('stg') }}", &["date_trunc", "dateadd"], "sum"),
        ("{{ config(materialized='¦') }}", &["table", "incremental"], "stg"),
        ("{{ config(¦) }}", &["materialized", "unique_key"], "stg"),
        ("{{ doc('¦') }}", &["staging"], "stg"),
        ("-- from {{ 한글 }} ¦", &[], "stg"),
    ] {
        let offered = editor.offered("models/new.sql", text);
        for word in expect {
            assert!(offered.iter().any(|o| o == word), "`{word}` is not offered in {text}: {offered:?}");
        }
        assert!(!offered.iter().any(|o| o == without), "`{without}` is offered in {text}");
    }
    editor.open("models/more.yml", "");
    for (text, expect) in [
        ("models:\n  - name: dear\n    columns:\n      - name: ¦\n", &["이름", "cents"][..]),
        ("models:\n  - name: ¦\n", &["stg", "dear"]),
        ("models:\n  - name: stg\n    columns:\n      - name: id\n        data_tests:\n          - ¦un\n", &["unique", "not_null"]),
        ("models:\n  - name: stg\n    data_tests:\n      - relationships: {to: ref('¦')}\n", &["items"]),
    ] {
        let offered = editor.offered("models/more.yml", text);
        for word in expect {
            assert!(offered.iter().any(|o| o == word), "`{word}` is not offered in {text}: {offered:?}");
        }
    }
    assert_eq!(editor.end(), Some(0));
}

#[test]
fn names_are_explained_and_lead_to_their_definition() {
    let shop = Sandbox::new(SHOP);
    let mut editor = Editor::start(&shop);
    let dear = shop.read("models/dear.sql");
    editor.open("models/dear.sql", &dear);
    let mark = |word: &str| dear.replacen(word, &format!("{}¦{}", &word[..1], &word[1..]), 1);
    for (text, expect) in [
        (mark("stg'"), &["**stg** (model, table)", "Items as they come.", "| `price` | FLOAT |", "of one piece"][..]),
        (mark("price >"), &["`price` FLOAT", "column of **stg**", "`items.price` (copy)", "of one piece"]),
        (mark("cents('"), &["cents(column, factor=100)", "macros/money.sql"]),
        (dear.replace("from costly", "from cos¦tly"), &["`costly`", "`이름`", "`cents`"]),
        ("select {{ ref('stg') }}, date_tr¦unc('day', x)".to_owned(), &["DATE_TRUNC(", "both engines"]),
        ("select s¦ong from {{ source('raw', 'plays') }}".to_owned(), &["`song` VARCHAR", "what was played"]),
    ] {
        let shown = editor.shown("models/dear.sql", &text);
        for word in expect {
            assert!(shown.contains(word), "no `{word}` in {shown:?} of {text}");
        }
    }
    for (text, expect) in [
        (mark("stg'"), "models/stg.sql:0:0"),
        (mark("ref('stg"), "models/stg.sql:0:0"),
        (mark("cents('"), "macros/money.sql:0:9"),
        (dear.replace("from costly", "from cos¦tly"), "models/dear.sql:0:5"),
        (mark("price > "), "models/schema.yml:13:14"),
        ("{{ source('raw', 'pl¦ays') }}".to_owned(), "models/schema.yml:3:14"),
        ("{{ doc('sta¦ging') }}".to_owned(), "models/words.md:0:8"),
    ] {
        assert_eq!(editor.leads("models/dear.sql", &text), expect, "{text}");
    }
    editor.open("models/schema.yml", "");
    let schema = shop.read("models/schema.yml");
    assert_eq!(editor.leads("models/schema.yml", &schema.replace("name: stg", "name: s¦tg")), "models/stg.sql:0:0");
    assert!(editor.shown("models/schema.yml", &schema.replace("name: price", "name: pri¦ce")).contains("`price` FLOAT"));

    let used = editor.at("textDocument/references", "models/stg.sql", "¦");
    let used: Vec<String> = used.as_array().expect("a list").iter().map(|l| place(&shop, l)).collect();
    assert!(used.iter().any(|u| u.starts_with("models/dear.sql:1:")), "{used:?}");

    let uri = editor.uri("models/dear.sql");
    editor.write("models/dear.sql", &dear);
    let outline = editor.ask("textDocument/documentSymbol", json!({"textDocument": {"uri": uri}}));
    assert_eq!(outline[0]["name"], "costly");
    let found = editor.ask("workspace/symbol", json!({"query": "cent"}));
    assert_eq!(found[0]["name"], "cents");
    assert_eq!(editor.end(), Some(0));
}

#[test]
fn a_workspace_without_a_project_is_no_fault() {
    let folder = Sandbox::empty();
    let mut editor = Editor::start(&folder);
    editor.open("a.sql", "select 1");
    assert_eq!(editor.shown("a.sql", "sele¦ct 1"), "");
    assert_eq!(editor.end(), Some(0));
    // a project whose profile is missing tells so
    let shop = Sandbox::new(SHOP);
    shop.write("profiles.yml", "other: {}\n");
    let mut editor = Editor::start(&shop);
    let found = editor.findings("dbt_project.yml", |f| !f.is_empty());
    assert!(codes(&found)[0].starts_with("project/"), "{found:?}");
}

#[test]
fn an_editor_that_goes_without_a_word_leaves_no_server() {
    let shop = Sandbox::new(SHOP);
    let mut child = shop.command(&["lsp"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
}
