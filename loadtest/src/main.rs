//! The load generator: see [`callspan_loadtest::load`].

fn main() -> std::process::ExitCode {
    callspan_loadtest::load::run(std::env::args_os()).into()
}
