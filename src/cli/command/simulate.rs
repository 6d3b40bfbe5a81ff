//! `simulate`: data made on the spot.

use std::{
    io::{BufWriter, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    cli::{
        args::Simulate,
        message::{self, Failure},
        settings::Settings,
    },
    diagnostic::{Diagnostic, SourceFile},
    simulate::{self, charts, eventsim},
};

pub fn run(what: Simulate, settings: &Settings) -> Result<i32, Failure> {
    let runtime = super::runtime()?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = cancelled.clone();
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            flag.store(true, Ordering::Relaxed);
        }
    });
    let fault = |e: simulate::SimulateError| Failure { diagnostics: Diagnostic::from(e).into(), exit_code: 1 };
    match what {
        Simulate::Charts { out, lookups_out, days, end, seed } => {
            let mut options = charts::Options::new(out);
            options.lookups_out = lookups_out;
            options.days = days;
            options.end = end.unwrap_or_else(simulate::default_end);
            options.seed = seed.unwrap_or(simulate::DEFAULT_SEED);
            options.cancel = cancelled;
            let stats = charts::run(&options).map_err(fault)?;
            message::note(&format!("{} files, {:.1} MB", stats.files, stats.bytes as f64 / 1e6), settings);
        }
        Simulate::Eventsim { out, events, users, days, start, end, seed, config } => {
            let mut options = eventsim::Options { seed, events, users, days, cancel: cancelled, ..eventsim::Options::default() };
            if let Some(path) = config {
                let text = std::fs::read_to_string(&path)
                    .map_err(|e| Diagnostic::error("simulate/config", format!("cannot read `{}`: {e}", path.display())))?;
                options.config = eventsim::Config::parse(&SourceFile::new(path, text)).map_err(|d| Failure::from(*d))?;
            }
            let midnight = |day: chrono::NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc();
            options.start = start.map(midnight);
            // the last day counts whole
            options.end = end.and_then(|day| day.succ_opt()).map(midnight);
            let began = Instant::now();
            let bar = settings.progress.then(|| {
                let bar = indicatif::ProgressBar::new_spinner();
                bar.enable_steady_tick(Duration::from_millis(200));
                bar
            });
            let mut progress = |done: u64| {
                if let Some(bar) = &bar {
                    bar.set_message(format!("{done} events, {:.0} per second", done as f64 / began.elapsed().as_secs_f64().max(1e-3)));
                }
            };
            let stats = if out == "-" {
                let mut sink = BufWriter::with_capacity(1 << 20, super::Pipe);
                let stats = eventsim::run(&options, &mut sink, &mut progress).map_err(fault)?;
                let _ = sink.flush();
                stats
            } else {
                let file =
                    std::fs::File::create(&out).map_err(|e| Diagnostic::error("simulate/write", format!("cannot write `{out}`: {e}")))?;
                let mut sink = BufWriter::with_capacity(1 << 20, file);
                let stats = eventsim::run(&options, &mut sink, &mut progress).map_err(fault)?;
                sink.flush().map_err(|e| Diagnostic::error("simulate/write", format!("cannot write `{out}`: {e}")))?;
                stats
            };
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            let seconds = began.elapsed().as_secs_f64();
            message::note(
                &format!("{} events in {seconds:.1} s, {:.0} per second", stats.events, stats.events as f64 / seconds.max(1e-3)),
                settings,
            );
        }
    }
    Ok(0)
}
