//! Events per second of the simulator, written to a file: `cargo bench --bench eventsim -- 100000000 [FILE]`.

use std::{fs::File, io::Write, path::PathBuf};

use segue::simulate::eventsim::{Options, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // cargo adds flags of its own
    let mut arguments = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let events = arguments.next().map_or(Ok(3_000_000), |a| a.replace('_', "").parse::<u64>())?;
    let named = arguments.next().map(PathBuf::from);
    let path = named.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("segue-eventsim-{}.jsonl", std::process::id())));
    let mut file = File::create(&path)?;
    let mut last = 0;
    let result = run(&Options { events: Some(events), ..Options::default() }, &mut file, &mut |made| {
        if made / 10_000_000 > last {
            last = made / 10_000_000;
            eprintln!("{made} events");
        }
    });
    if named.is_none() {
        std::fs::remove_file(&path)?;
    }
    let stats = result?;
    let seconds = stats.elapsed.as_secs_f64();
    writeln!(
        std::io::stdout(),
        "{} events, {} sessions, {} users, {:.1} MB in {seconds:.2} s: {:.0} events/s",
        stats.events,
        stats.sessions,
        stats.users,
        stats.bytes as f64 / 1e6,
        stats.events as f64 / seconds
    )?;
    Ok(())
}
