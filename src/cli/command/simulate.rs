//! `simulate`: data made on the spot, with progress on a terminal.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget};

use crate::{
    cli::{
        args::{Eventsim, Simulate},
        config::Config,
        interrupt,
        message::{self, Failure},
        stdout::Stdout,
    },
    diagnostic::{Diagnostic, SourceFile},
    ingest::{IngestError, kafka::Sink},
    simulate::{DEFAULT_SEED, SimulateError, charts, default_end, eventsim},
};

const BUFFER_BYTES: usize = 1 << 20;

pub(super) fn run(what: Simulate, config: &Config) -> Result<i32, Failure> {
    let made = match what {
        Simulate::Charts { out, lookups_out, days, end, seed } => charts::run(&charts::Options {
            out,
            lookups_out,
            days,
            end: end.unwrap_or_else(default_end),
            seed: seed.unwrap_or(DEFAULT_SEED),
            cancel: interrupt::flag(),
        })
        .map(|stats| format!("{} files, {:.1} MB", stats.files, stats.bytes as f64 / 1e6)),
        Simulate::Eventsim(what) => events(&what, config)?,
    };
    match made {
        Ok(text) => {
            message::note(&text, config);
            Ok(0)
        }
        Err(SimulateError::Cancelled) => {
            message::failure(&Failure::of_work(Diagnostic::from(SimulateError::Cancelled)), config);
            Ok(interrupt::EXIT_CODE)
        }
        Err(error @ (SimulateError::Options(_) | SimulateError::Config(_))) => Err(Diagnostic::from(error).into()),
        Err(error) => Err(Failure::of_work(Diagnostic::from(error))),
    }
}

fn events(what: &Eventsim, config: &Config) -> Result<Result<String, SimulateError>, Failure> {
    let options = eventsim::Options {
        config: what.config.as_deref().map(read).transpose()?.unwrap_or_default(),
        seed: what.seed,
        catalog_seed: what.catalog_seed.unwrap_or(DEFAULT_SEED),
        start: what.start,
        end: what.end,
        days: what.days,
        users: what.users,
        events: what.events,
        first_user: what.first_user_id,
        growth: what.growth_rate,
        attrition: what.attrition_rate,
        tag: what.tag.clone(),
        anchor: None,
        threads: what.workers,
        cancel: interrupt::flag(),
    };
    let mut sink = match &what.to {
        Some(address) => Some(Sink::open(address.clone()).map_err(|e| Failure::of_work(of_sink(e)))?),
        None => None,
    };
    let mut out: Box<dyn Write + '_> = if let Some(sink) = &mut sink {
        Box::new(sink)
    } else if what.out == Path::new("-") {
        Box::new(BufWriter::with_capacity(BUFFER_BYTES, Stdout))
    } else {
        Box::new(BufWriter::with_capacity(BUFFER_BYTES, create(&what.out)?))
    };
    let bar = (config.progress && !config.quiet).then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    });
    let begun = Instant::now();
    let rate = |events: u64| events as f64 / begun.elapsed().as_secs_f64().max(1e-3);
    let stats = eventsim::run(&options, &mut out, &mut |done| {
        if let Some(bar) = &bar {
            bar.set_message(format!("{done} events, {:.0} per second", rate(done)));
        }
    });
    drop(out);
    let delivered = match (&mut sink, &stats) {
        (Some(sink), Ok(_)) => sink.finish().map(Some),
        _ => Ok(None),
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if let Err(e) = delivered {
        return Err(Failure::of_work(Diagnostic::error("simulate/kafka", e.to_string())));
    }
    Ok(stats.map(|s| {
        let (events, users, sessions) = (s.events, s.users, s.sessions);
        let (megabytes, seconds) = (s.bytes as f64 / 1e6, s.elapsed.as_secs_f64());
        format!(
            "{events} events of {users} users in {sessions} sessions: {megabytes:.1} MB in {seconds:.1} s, {:.0} per second",
            rate(events)
        )
    }))
}

fn of_sink(error: IngestError) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(error.code, error.message);
    diagnostic.help = error.help;
    diagnostic
}

fn read(path: &Path) -> Result<eventsim::Config, Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|e| Diagnostic::error("cli/unreadable", format!("cannot read `{}`: {e}", path.display())))?;
    Ok(eventsim::Config::parse(&SourceFile::new(path, text)).map_err(|d| *d)?)
}

fn create(path: &Path) -> Result<File, Failure> {
    let fault = |e: std::io::Error| Diagnostic::error("cli/unwritable", format!("cannot write `{}`: {e}", path.display()));
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(fault)?;
    }
    Ok(File::create(path).map_err(fault)?)
}
