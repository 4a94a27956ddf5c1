//! The `callspan` program.

use std::process::ExitCode;

/// Many small buffers come and go on several threads; mimalloc returns them to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = callspan::cli::command().get_matches();
    actix_web::rt::System::new().block_on(callspan::cli::run(matches))
}
