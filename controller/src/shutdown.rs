//! The signals that end a part in order.

use std::io;

use ensemble::{Policy, schedule};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Becomes true at the first SIGTERM or SIGINT; a second one ends the process at once with code 130.
///
/// Must be called on a tokio runtime.
///
/// # Errors
/// The signal handlers cannot be installed.
pub(crate) fn on_signal() -> io::Result<watch::Receiver<bool>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let (told, heard) = watch::channel(false);
    tokio::spawn(async move {
        let mut seen = 0;
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => seen += 1,
            }
            if seen > 1 {
                std::process::exit(130);
            }
            // The receiver may have ended already; then there is nobody left to tell.
            let _gone = told.send(true);
        }
    });
    Ok(heard)
}

/// Waits until told to end.
pub(crate) async fn told(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: nobody can end us any more but a signal's default.
    if shutdown.wait_for(|end| *end).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Nothing is left to do but to end, where the system takes the memory back: of a large tree that is 20 ms of a processor without a
/// break. Whoever else is ready to run goes first from now on, such as the next leader. Best effort.
pub(crate) fn give_way() {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return };
    for thread in threads.flatten() {
        if let Some(id) = thread.file_name().to_str().and_then(|id| id.parse::<i32>().ok()) {
            schedule(id, Policy::Idle);
        }
    }
}
