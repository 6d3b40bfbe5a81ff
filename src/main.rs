//! The segue binary; everything is in the library.

/// Loading a project and running a query are many small allocations on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    std::process::exit(segue::cli::main());
}
