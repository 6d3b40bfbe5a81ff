//! Standard output for data. A reader that has gone (`segue ls | head`) ends the process quietly: nobody is left to tell.

use std::io::{self, Write};

/// Standard output whose closed pipe is a normal end. Only for commands that change nothing: a build goes on unseen.
pub(super) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_closed(io::stdout().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_closed(io::stdout().flush())
    }
}

fn unless_closed<T>(result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other,
    }
}

/// Writes text and ends its last line; an empty text writes nothing.
pub(super) fn print(text: &str) {
    let mut out = Stdout;
    let ending = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    // what else may be wrong with standard output (a full disk behind it) is told, since the data is not whole
    if let Err(e) = out.write_all(text.as_bytes()).and_then(|()| out.write_all(ending.as_bytes())).and_then(|()| out.flush()) {
        let _ = writeln!(io::stderr(), "error: cannot write to standard output: {e}");
        std::process::exit(2);
    }
}
