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
    let parsed = EnvFilter::try_new(with_defaults(filter)).unwrap_or_else(|why| {
        complain(&format!("troupe: --log {filter:?}: {why}; logging warnings"));
        EnvFilter::new(with_defaults("warn"))
    });
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(io::stderr)
        .with_ansi(colours)
        .init();
}

/// The filter with what is logged of some targets unless it names them.
fn with_defaults(filter: &str) -> String {
    let mut all = filter.to_owned();
    for (target, level) in DEFAULTS {
        if !filter.contains(target) {
            all.push_str(&format!(",{target}={level}"));
        }
    }
    all
}

const DEFAULTS: [(&str, &str); 2] = [
    // The client warns at each try, several a second; who waits for a session tells so in a condition.
    ("zookeeper_client", "error"),
    // There are such lines only where the member's configuration asks for them.
    ("audit", "info"),
];

/// `say!("…")`: one line to standard output.
macro_rules! say {
    ($($arg:tt)*) => { $crate::out::line(format_args!($($arg)*)) };
}
pub(crate) use say;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_lines_are_logged_unless_the_filter_says_otherwise() {
        assert_eq!(with_defaults("warn"), "warn,zookeeper_client=error,audit=info");
        assert_eq!(with_defaults("warn,audit=off"), "warn,audit=off,zookeeper_client=error");
    }
}
