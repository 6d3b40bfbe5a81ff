//! A session with `watch`: edit, break, fix, rename, delete, a burst of saves. Every step waits for what the command prints.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use serde_json::json;

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
{{ config(materialized='table') }}
select name from {{ ref('stg') }} where price > 2
";

/// Long enough for the slowest machine; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

struct Session {
    child: Child,
    lines: Receiver<String>,
}

impl Session {
    fn start(sandbox: &Sandbox) -> Self {
        Self::start_with(sandbox, &["watch"])
    }

    fn start_with(sandbox: &Sandbox, args: &[&str]) -> Self {
        let mut child =
            sandbox.command(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let (send, lines) = channel();
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let other = send.clone();
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).for_each(|l| drop(send.send(l))));
        std::thread::spawn(move || BufReader::new(err).lines().map_while(Result::ok).for_each(|l| drop(other.send(l))));
        let session = Self { child, lines };
        session.until("watching for changes");
        session
    }

    /// Until each of the texts stood in a line.
    #[track_caller]
    fn until_all(&self, texts: &[&str]) {
        let (mut open, mut seen) = (texts.to_vec(), vec![]);
        while !open.is_empty() {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    open.retain(|text| !line.contains(text));
                    seen.push(line);
                }
                Err(_) => panic!("{open:?} never came; there was\n{}", seen.join("\n")),
            }
        }
    }

    /// The next line that has the text in it.
    #[track_caller]
    fn until(&self, text: &str) -> String {
        let mut seen = vec![];
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("`{text}` never came; there was\n{}", seen.join("\n")),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_session_ends_in_the_right_state() {
    let shop = Sandbox::new(SHOP);
    shop.run(&["build"]).expect_code(0);
    let session = Session::start(&shop);

    // edit
    shop.write("models/dear.sql", "{{ config(materialized='table') }}\nselect name from {{ ref('stg') }} where price > 1\n");
    session.until("changed: dear");
    session.until("built in");
    // nothing says what tells its rows apart: they are compared as a whole
    session.until("dear@previous -> dear: 1 rows added, 0 removed, 1 the same");
    session.until("+ NAME: apple");
    assert_eq!(shop.rows("select count(*) as n from dev.dear"), json!([{"N": 2}]));

    // a model with a key
    shop.write(
        "models/stg.sql",
        "{{ config(materialized='table', unique_key='id') }}\nselect id, name, price + id - 1 as price from {{ ref('items') }}\n",
    );
    session.until("changed: stg");
    session.until("stg@previous -> stg: 0 rows added, 0 removed, 1 changed, 1 the same");
    session.until("~ ID: 2, PRICE: 2.25 -> 3.25");

    // break: the SQL, then the template
    shop.write("models/dear.sql", "{{ config(materialized='table') }}\nselect nome from {{ ref('stg') }}\n");
    // one on standard output, one on standard error: in any order
    session.until_all(&["there is no column `NOME`", "1 error"]);
    shop.write("models/dear.sql", "{{ config(materialized='table' }}\nselect");
    session.until("waiting: 1 error");

    // fix
    shop.write("models/dear.sql", "{{ config(materialized='table') }}\nselect name, price from {{ ref('stg') }} where price > 2\n");
    session.until("built in");
    assert_eq!(shop.rows("select name from dev.dear"), json!([{"NAME": "pear"}]));

    // rename, and what reads it
    std::fs::rename(shop.path().join("models/dear.sql"), shop.path().join("models/costly.sql")).expect("renamed");
    session.until("changed: costly");
    session.until("built in");
    assert_eq!(shop.rows("select name from dev.costly"), json!([{"NAME": "pear"}]));

    // a burst
    for i in 0..100 {
        shop.write(
            "models/costly.sql",
            &format!("{{{{ config(materialized='table') }}}}\nselect name, {i} as n from {{{{ ref('stg') }}}}\n"),
        );
    }
    shop.write("models/last.sql", "{{ config(materialized='table') }}\nselect max(n) as n from {{ ref('costly') }}\n");
    loop {
        session.until("built in");
        let shown = shop.run(&["sql", "--output", "json", "select n from dev.last"]);
        if shown.code == Some(0) {
            assert!(shown.out.contains("99"), "{shown:?}");
            break;
        }
    }

    // delete
    std::fs::remove_file(shop.path().join("models/last.sql")).expect("removed");
    session.until("checked 3 nodes");
}

#[test]
fn new_data_of_sources_is_followed() {
    let shop = Sandbox::new(
        "-- file: data/plays/1.csv\nsong\na\n-- file: models/s.yml\nsources:\n  - name: raw\n    tables:\n      - name: plays\n        \
         adapter: {type: file, path: data/plays}\n-- file: models/counted.sql\n{{ config(materialized='table') }}\nselect count(*) as n from {{ source('raw', 'plays') }}\n",
    );
    let session = Session::start_with(&shop, &["watch", "--follow"]);
    session.until("new rows: plays");
    session.until("built in");
    assert_eq!(shop.rows("select n from dev.counted"), json!([{"N": 1}]));
    shop.write("data/plays/2.csv", "song\nb\nc\n");
    session.until("new rows: plays");
    session.until("built in");
    assert_eq!(shop.rows("select n from dev.counted"), json!([{"N": 3}]));
    // an edit meanwhile is built as ever
    shop.write("models/counted.sql", "{{ config(materialized='table') }}\nselect count(*) * 10 as n from {{ source('raw', 'plays') }}\n");
    session.until("changed: counted");
    session.until("built in");
    assert_eq!(shop.rows("select n from dev.counted"), json!([{"N": 30}]));
}
