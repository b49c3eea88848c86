//! Memory that connections use by turns, so that an idle one has none: one for each thread that serves.

use std::cell::RefCell;

use bytes::BytesMut;

use crate::core::Asked;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static WRITES: RefCell<Vec<Vec<Asked>>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's buffer to one read. Not to be nested.
pub(crate) fn with_scratch<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| use_it(scratch))
}

/// A buffer for answers, in place of one that has no room of its own.
pub(crate) fn provide(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 {
        *buffer =
            SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(SPARE_BYTES));
    }
}

/// Takes an empty buffer back, to be lent again when it is of the usual size.
pub(crate) fn give_back(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 {
        return;
    }
    let mut buffer = std::mem::take(buffer);
    buffer.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARES && (SPARE_BYTES..=SPARE_MAX).contains(&buffer.capacity()) {
            spare.push(buffer);
        }
    });
}

/// An empty list of writes.
pub(crate) fn provide_writes() -> Vec<Asked> {
    WRITES.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes a list back. What is left in it was not done, and must never be done for another connection.
pub(crate) fn give_back_writes(mut writes: Vec<Asked>) {
    writes.clear();
    WRITES.with_borrow_mut(|spare| {
        if spare.len() < SPARES && (1..=WRITES_MAX).contains(&writes.capacity()) {
            spare.push(writes);
        }
    });
}

/// What one read takes at most.
const SCRATCH_BYTES: usize = 64 << 10;
/// What a buffer for answers begins with, and what is kept.
const SPARE_BYTES: usize = 4 << 10;
const SPARE_MAX: usize = 128 << 10;
const SPARES: usize = 64;
/// The longest list of writes that is kept.
const WRITES_MAX: usize = 512;
