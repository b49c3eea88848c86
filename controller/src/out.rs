//! What a person reads: standard output and standard error, and the log.

use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

/// Prints one line to standard output. A reader that went away (`troupe status | head`) is no error.
pub(crate) fn line(text: Arguments<'_>) {
    let _gone = writeln!(io::stdout().lock(), "{text}");
}

/// Prints one line to standard error.
pub(crate) fn complain(text: &str) {
    let _gone = writeln!(io::stderr().lock(), "{text}");
}

/// Starts the log on standard error. `filter` is `RUST_LOG`'s syntax; a filter that does not parse is
/// named, and warnings are logged instead.
pub(crate) fn init_log(filter: &str) {
    // The client warns at each try, several a second; who waits for a session tells so in a condition.
    let quiet = if filter.contains("zookeeper_client") { "" } else { ",zookeeper_client=error" };
    let parsed = EnvFilter::try_new(format!("{filter}{quiet}")).unwrap_or_else(|why| {
        complain(&format!("troupe: --log {filter:?}: {why}; logging warnings"));
        EnvFilter::new("warn")
    });
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(io::stderr)
        .with_ansi(colours)
        .init();
}

/// `say!("…")`: one line to standard output.
macro_rules! say {
    ($($arg:tt)*) => { $crate::out::line(format_args!($($arg)*)) };
}
pub(crate) use say;
