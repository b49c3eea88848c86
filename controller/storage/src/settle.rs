//! What a member read at its start, made durable before it is served and built upon: a process that was killed leaves
//! some of it in the system's memory only.

use types::Zxid;

use crate::{DataDir, EpochError, TxnLogError, epochs, watermark};

/// Why it could not be made durable.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The epochs.
    #[error(transparent)]
    Epochs(#[from] EpochError),
    /// The log.
    #[error(transparent)]
    Log(#[from] TxnLogError),
}

/// Makes durable what was read; `last` is where the log, or a snapshot behind it, ends. A full disk is no error.
pub fn settle(dirs: &DataDir, last: Zxid) -> Result<(), SettleError> {
    epochs::settle(dirs.snapshots(), last.epoch())?;
    Ok(watermark::settle(dirs.logs(), last)?)
}
