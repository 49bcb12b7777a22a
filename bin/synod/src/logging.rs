//! What the node's parts say about themselves, on stderr.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Starts to log: at `level` unless `RUST_LOG` says otherwise.
pub(crate) fn start(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // Only a second call in one process can fail, and then somebody logs already.
    let _ = subscriber.try_init();
}
