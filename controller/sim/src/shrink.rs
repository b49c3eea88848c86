//! The fewest faults that still fail.

use crate::{Schedule, Shape, run};

/// Leaves out faults, the most at once first, as long as the run still fails.
///
/// The same seed draws delays for another schedule differently, so that this finds a small failure and not always
/// the smallest; what it returns fails for certain.
pub fn shrink(shape: &Shape, schedule: &Schedule) -> Schedule {
    let mut best = schedule.clone();
    let mut part = best.len().div_ceil(2);
    while part > 0 {
        let mut from = 0;
        while from < best.len() {
            let mut fewer = best.clone();
            fewer.drain(from..(from + part).min(best.len()));
            if run(shape, &fewer).is_err() {
                best = fewer;
            } else {
                from += part;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    best
}
