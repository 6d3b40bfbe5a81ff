//! The Snowflake engine against its protocol: what happens when answers are lost, tokens expire, statements fail or never end.
//!
//! What the SQL itself does is tested on a Snowflake-compatible server (`tests/snowflake/run`).

mod server;

use std::{process::Stdio, time::Duration};

use server::{Server, What};

use crate::sandbox::{Ran, Sandbox};

const MODELS: &str = "-- file: models/t.sql
{{ config(materialized='table') }} select 1 as id, 'a' as name
-- file: models/v.sql
{{ config(materialized='view') }} select * from {{ ref('t') }}
-- file: models/appended.sql
{{ config(materialized='incremental', incremental_strategy='append') }} select * from {{ ref('t') }}
-- file: models/merged.sql
{{ config(materialized='incremental', unique_key='id') }} select * from {{ ref('t') }}
-- file: models/replaced.sql
{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='id') }} select * from {{ ref('t') }}
-- file: models/overwritten.sql
{{ config(materialized='incremental', incremental_strategy='insert_overwrite') }} select * from {{ ref('t') }}
-- file: seeds/s.csv
id,name
1,a
2,b
";

fn project(server: &Server, more: &str) -> Sandbox {
    let sandbox = Sandbox::new(MODELS);
    sandbox.write(
        "profiles.yml",
        &format!(
            "shop:\n  target: dev\n  outputs:\n    dev:\n      type: snowflake\n      account: test\n      user: me\n      host: 127.0.0.1\n      \
             port: {}\n      protocol: http\n      database: SHOP\n      schema: DEV\n      threads: 1\n{more}",
            server.port
        ),
    );
    sandbox
}

const PASSWORD: &str = "      password: secret-word\n";

/// Statements without what differs from run to run.
fn shapes(server: &Server) -> Vec<String> {
    let hex =
        |word: &str| word.len() >= 32 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-' || c == '_' || c.is_ascii_uppercase());
    let shape = |sql: &String| {
        let sql = sql.split("\n/* {").next().unwrap_or_default();
        let words = sql.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'));
        let mut text = sql.to_owned();
        for word in words.filter(|w| hex(w)) {
            text = text.replace(word, "#");
        }
        // when it was
        let moment = regex::Regex::new(r"\d{4}-\d\d-\d\dT[0-9:.]+\+00:00").expect("a pattern");
        moment.replace_all(&text, "#").into_owned()
    };
    // two questions at the start are asked at once
    let mut shapes: Vec<String> = server.statements().iter().map(shape).collect();
    shapes.sort();
    shapes
}

#[test]
fn answers_that_get_lost_run_nothing_twice_and_lose_nothing() {
    let server = Server::start();
    let sandbox = project(&server, PASSWORD);
    sandbox.run(&["build"]).expect_code(0);
    server.clear();
    // the second build changes tables that exist
    sandbox.run(&["build"]).expect_code(0);
    server.expect_tidy("undisturbed");
    let undisturbed = shapes(&server);
    assert!(undisturbed.iter().any(|s| s.starts_with("merge into SHOP.DEV.MERGED")), "{undisturbed:#?}");
    for what in [What::DropAfter, What::DropBefore, What::Busy, What::CutOff, What::Expired, What::Polls(3)] {
        server.clear();
        // every statement's first attempt
        server.fault("", what, 10_000);
        sandbox.run(&["build"]).expect_code(0);
        server.expect_tidy(&format!("{what:?}"));
        let disturbed = shapes(&server);
        let only = |a: &[String], b: &[String]| a.iter().filter(|s| !b.contains(s)).cloned().collect::<Vec<_>>();
        assert!(
            disturbed == undisturbed,
            "{what:?}: {} statements instead of {}; new {:#?}, missing {:#?}",
            disturbed.len(),
            undisturbed.len(),
            only(&disturbed, &undisturbed),
            only(&undisturbed, &disturbed)
        );
    }
    assert!(server.state.lock().expect("state").renewed == 0, "the last fault needed no renewal");
}

#[test]
fn a_statement_that_fails_leaves_nothing_half_done() {
    let server = Server::start();
    let sandbox = project(&server, PASSWORD);
    sandbox.run(&["build"]).expect_code(0);
    for (model, on) in [
        ("t", "create or replace transient table shop.dev.t"),
        ("v", "create or replace view shop.dev.v"),
        ("appended", "insert into shop.dev.appended"),
        ("merged", "merge into shop.dev.merged"),
        ("replaced", "create temporary table"),
        ("replaced", "delete from shop.dev.replaced"),
        ("replaced", "insert into shop.dev.replaced"),
        ("replaced", "commit"),
        ("overwritten", "insert overwrite into shop.dev.overwritten"),
        ("s", "create or replace transient table shop.dev.s__dbt_tmp"),
        ("s", "create temporary stage"),
        ("s", "put 'file"),
        ("s", "copy into"),
        ("s", "clone shop.dev.s__dbt_tmp"),
    ] {
        server.clear();
        server.fault(on, What::Fails("000630"), 1);
        sandbox.run(&["build", "--force", "--select", model]).expect_code(1).expect_all(&[
            "engine/timeout",
            "told to fail with 000630",
            "Snowflake's error 000630",
        ]);
        server.expect_tidy(&format!("{model}: {on}"));
    }
}

#[test]
fn a_session_that_is_gone_is_begun_again_unless_it_had_something() {
    let server = Server::start();
    let sandbox = project(&server, PASSWORD);
    server.fault("create or replace transient table shop.dev.t", What::Gone, 1);
    sandbox.run(&["run", "--select", "t"]).expect_code(0);
    server.expect_tidy("a clean session");
    sandbox.run(&["run", "--select", "replaced"]).expect_code(0);
    server.clear();
    server.fault("delete from shop.dev.replaced", What::Gone, 1);
    sandbox.run(&["run", "--force", "--select", "replaced"]).expect_code(1).expect_all(&["engine/login", "run the command again"]);
    server.expect_tidy("within a transaction");
}

#[test]
fn chunks_come_in_their_order() {
    let server = Server::start();
    let sandbox = project(&server, PASSWORD);
    let ran = sandbox.run(&["sql", "--output", "csv", "select n from chunked order by n"]).expect_code(0);
    let lines: Vec<&str> = ran.out.lines().skip(1).collect();
    assert_eq!(lines.len(), 2000);
    assert!(lines.iter().enumerate().all(|(i, l)| *l == i.to_string()), "{lines:?}");
}

#[test]
fn addresses_of_chunks_that_expired_are_renewed_and_nothing_runs_again() {
    let server = Server::start();
    let sandbox = project(&server, PASSWORD);
    server.state.lock().expect("state").chunk_life = Some(5);
    let ran = sandbox.run(&["sql", "--output", "csv", "select n from chunked order by n"]).expect_code(0);
    assert!(ran.out.lines().skip(1).enumerate().all(|(i, l)| l == i.to_string()) && ran.out.lines().count() == 2001, "{ran:?}");
    // 19 chunks, 5 for each set of addresses
    assert_eq!(server.state.lock().expect("state").reissued, 3);
    assert_eq!(server.statements().iter().filter(|s| s.contains("chunked")).count(), 1);
    server.state.lock().expect("state").chunk_life = Some(0);
    sandbox.run(&["sql", "select n from chunked"]).expect_code(1).expect_all(&["engine/unreachable", "a part of the result", "403"]);
}

#[test]
fn a_token_that_expires_while_a_statement_is_waited_for_is_renewed() {
    for code in ["390112", "390114"] {
        let server = Server::start();
        let sandbox = project(&server, PASSWORD);
        server.fault("create or replace transient table shop.dev.t", What::ExpiresWaiting(code), 1);
        sandbox.run(&["run", "--select", "t"]).expect_code(0);
        server.expect_tidy(code);
        assert_eq!(server.state.lock().expect("state").renewed, 1, "{code}");
        assert_eq!(server.statements().iter().filter(|s| s.contains("transient table SHOP.DEV.T ")).count(), 1, "{code}");
    }
}

#[test]
fn a_server_that_says_when_to_come_back_is_left_alone_until_then() {
    let server = Server::start();
    let sandbox = project(&server, PASSWORD);
    server.fault("create or replace transient table shop.dev.t", What::Throttled(2), 1);
    let began = std::time::Instant::now();
    sandbox.run(&["run", "--select", "t"]).expect_code(0);
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    server.expect_tidy("throttled");
}

#[test]
fn a_statement_that_nobody_waits_for_is_aborted() {
    let server = Server::start();
    let sandbox = project(&server, PASSWORD);
    server.fault("create or replace transient table shop.dev.t", What::Endless, 1);
    let mut command = sandbox.command(&["run", "--select", "t"]);
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let until = |what: &str, done: &dyn Fn() -> bool| {
        for _ in 0..600 {
            if done() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{what} never happened");
    };
    until("the statement", &|| server.statements().iter().any(|s| s.contains("SHOP.DEV.T ")));
    let interrupt = || {
        let sent = std::process::Command::new("kill").args(["-INT", &process.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    };
    interrupt();
    std::thread::sleep(Duration::from_millis(300));
    interrupt();
    until("the abort", &|| !server.state.lock().expect("state").aborted.is_empty());
    assert_eq!(process.wait().expect("it ends").code(), Some(130));
}

#[test]
fn logins_say_who_they_are_and_refusals_say_why() {
    let server = Server::start();
    for (keys, authenticator) in [
        (PASSWORD, None),
        ("      authenticator: oauth\n      token: an-oauth-token\n", Some("OAUTH")),
        ("      authenticator: programmatic_access_token\n      token: a-token\n", Some("PROGRAMMATIC_ACCESS_TOKEN")),
        ("      private_key_path: key.p8\n      private_key_passphrase: open sesame\n", Some("SNOWFLAKE_JWT")),
    ] {
        let sandbox = project(&server, keys);
        sandbox.write("key.p8", include_str!("key.p8"));
        sandbox.run(&["sql", "select 1"]).expect_code(0);
        let login = server.state.lock().expect("state").logins.pop().expect("a login");
        assert_eq!(login["AUTHENTICATOR"].as_str(), authenticator);
        assert_eq!(login["ACCOUNT_NAME"], "TEST");
        if authenticator == Some("SNOWFLAKE_JWT") {
            assert_eq!(login["TOKEN"].as_str().expect("a token").matches('.').count(), 2);
        }
    }
    let sandbox = project(&server, PASSWORD);
    server.state.lock().expect("state").refuse_login = Some(("390100", "Incorrect username or password was specified."));
    let refused = |ran: Ran| {
        assert!(!ran.err.contains("secret-word") && !ran.out.contains("secret-word"), "{ran:?}");
        ran.expect_all(&["engine/login", "Incorrect username or password", "check `user` and `password`"])
    };
    refused(sandbox.run(&["sql", "select 1"]).expect_code(1));
    refused(sandbox.run(&["run", "--select", "t"]).expect_code(1));
}

#[test]
fn an_account_that_is_not_there_is_told_soon() {
    let server = Server::start();
    let sandbox = project(&server, "      password: x\n      login_timeout: 1\n");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let text = sandbox.read("profiles.yml").replace(&format!("port: {}", server.port), &format!("port: {closed}"));
    sandbox.write("profiles.yml", &text);
    sandbox.run(&["sql", "select 1"]).expect_code(1).expect_all(&["engine/unreachable", "cannot be reached", "segue debug"]);
}
