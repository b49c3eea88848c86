//! How much memory a decoder takes, and whether that is too much.
//!
//! A program that wants to know has [`Counting`] as its allocator; without it nothing is ever too much.

#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use crate::Decoder;

/// The system's allocator; it counts what each thread holds.
#[derive(Debug)]
pub struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // A thread that ends has no cells any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: all calls go to the system's allocator as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Decodes; `dir` is a directory of its own for what reads files.
///
/// # Panics
/// The decoder does, or takes more than it may.
pub fn check(decoder: &Decoder, input: &[u8], dir: &Path) {
    MOST.set(HELD.get());
    let before = HELD.get();
    (decoder.decode)(input, dir);
    let took = (MOST.get() - before).cast_unsigned();
    let may = BASE + decoder.factor * input.len();
    assert!(took <= may, "{} takes {took} bytes, {may} at most", decoder.name);
}

/// As [`check`], in a directory that this thread keeps.
///
/// # Panics
/// As [`check`], or when there is no such decoder.
pub fn fuzz(name: &str, input: &[u8]) {
    thread_local! {
        static DIR: tempfile::TempDir = {
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            made.expect("a temporary directory")
        };
    }
    DIR.with(|dir| check(crate::decoder(name), input, dir.path()));
}

/// What every decoder may take: readers' buffers, an empty tree.
const BASE: usize = 8 << 20;
