//! The segue binary; everything is in the library.

fn main() {
    std::process::exit(segue::cli::main());
}
