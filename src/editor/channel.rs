//! Standard input and output as streams of the runtime. Blocking reads and writes stay on threads of their own, so that an editor
//! that is slow to read holds up nothing else.

use std::{
    io::{Read, Write},
    thread::JoinHandle,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    runtime::Handle,
};

const CAPACITY: usize = 64 << 10;

/// What comes in. The thread ends with its input, or with the process.
pub(super) fn input() -> DuplexStream {
    let (near, mut far) = duplex(CAPACITY);
    let runtime = Handle::current();
    std::thread::spawn(move || {
        let mut buffer = vec![0; CAPACITY];
        loop {
            match std::io::stdin().read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => {
                    if runtime.block_on(far.write_all(&buffer[..n])).is_err() {
                        return;
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    near
}

/// What goes out, and the thread that ends when all of it is written.
pub(super) fn output() -> (DuplexStream, JoinHandle<()>) {
    let (near, mut far) = duplex(CAPACITY);
    let runtime = Handle::current();
    let thread = std::thread::spawn(move || {
        let mut buffer = vec![0; CAPACITY];
        let mut out = std::io::stdout();
        while let Ok(n @ 1..) = runtime.block_on(far.read(&mut buffer)) {
            // an editor that is gone reads nothing
            if out.write_all(&buffer[..n]).and_then(|()| out.flush()).is_err() {
                return;
            }
        }
    });
    (near, thread)
}
