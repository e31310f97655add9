//! The binary: what has to be chosen once for the whole process, then the command line.

use std::process::ExitCode;

use orqen::{cli, config::Environment};

/// Many small allocations of many threads are what a gateway does; glibc's allocator keeps their memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // First of all: rustls panics on its first use if two providers are linked in and none is chosen. Only
    // another choice made before could refuse this one, and there is no before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Huge pages behind small allocations are memory that nobody uses: a quarter of what the process took.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
    cli::main(std::env::args_os(), &Environment::of_process())
}
