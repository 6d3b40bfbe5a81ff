//! `build --follow`: one build after the other, until a signal. Each takes in what came since the last one and builds what
//! that makes stale, so that a source's rows reach the gold tables in micro-batches. A round in which nothing happened
//! prints nothing and leaves the artifacts of the last one.
//!
//! A round is a whole invocation with its own id and moment, and reads the project anew: a saved model counts from the next
//! round on. A failed node does not end following (what it waits for may come) unless `--fail-fast` asks for that.

use std::{
    io::Write,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::nodes::{self, Extra};
use crate::{
    cli::{args::Running, config::Config, interrupt, message::Failure},
    names::RunId,
    plan::Verb,
};

pub(super) fn build(running: &Running, pause: f64, config: &Config) -> Result<i32, Failure> {
    let stop = interrupt::flag();
    let pause = Duration::from_secs_f64(pause.clamp(0.0, 86_400.0));
    let mut running = running.clone();
    let mut config = config.clone();
    let mut is_first = true;
    loop {
        let extra = Extra { only_changes: !is_first, ..Extra::default() };
        let code = nodes::run_with(Verb::Build, &running, extra, &config)?;
        if stop.load(Ordering::Relaxed) {
            return Ok(if code == interrupt::EXIT_CODE { 0 } else { code });
        }
        if code != 0 && config.fail_fast {
            return Ok(code);
        }
        if is_first {
            let _ = writeln!(std::io::stderr(), "waiting for changes, every {:.1} s; Ctrl-C ends it", pause.as_secs_f64());
            is_first = false;
            // once is what was asked for
            running.full_refresh = false;
            running.force = false;
        }
        let since = Instant::now();
        while since.elapsed() < pause {
            if stop.load(Ordering::Relaxed) {
                return Ok(code);
            }
            std::thread::sleep(Duration::from_millis(50).min(pause));
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(code);
        }
        config.now = chrono::Utc::now();
        config.invocation = RunId::random();
    }
}
