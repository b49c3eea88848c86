//! The decoder that the environment's `DECODER` names, under libFuzzer. One program for all of them: each
//! would be linked with a whole member.

#![no_main]

use std::sync::OnceLock;

use decoders::bounds::{Counting, fuzz};
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(|input: &[u8]| {
    static NAME: OnceLock<String> = OnceLock::new();
    fuzz(NAME.get_or_init(|| std::env::var("DECODER").expect("DECODER names one")), input);
});
