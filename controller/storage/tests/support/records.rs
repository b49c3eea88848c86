//! What logs and snapshots of tests hold.

use types::Zxid;

/// As a transaction's: the zxid at byte 12; no byte of it is zero, so that what is lost is seen.
pub(crate) fn body(at: Zxid, length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(at.bits().cast_unsigned());
    let mut body: Vec<_> = (0..length).map(|_| rng.u8(1..)).collect();
    body[12..20].copy_from_slice(&at.bits().to_be_bytes());
    body
}
