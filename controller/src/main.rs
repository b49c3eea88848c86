//! `troupe`: one binary, a verb for each part.

fn main() {}
