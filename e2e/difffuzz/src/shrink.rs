//! A failing program made short.

use crate::program::{Program, Step};

/// Takes away steps and requests as long as `still_fails` says so; it is asked `most` times at most.
pub fn shrink(
    program: &Program,
    most: usize,
    mut still_fails: impl FnMut(&Program) -> bool,
) -> Program {
    let mut best = program.clone();
    let mut left = most;
    let mut chunk = best.steps.len() / 2;
    while chunk > 0 {
        let mut at = 0;
        while at < best.steps.len() && left > 0 {
            let mut tried = best.clone();
            tried.steps.drain(at..(at + chunk).min(tried.steps.len()));
            left -= 1;
            if still_fails(&tried) { best = tried } else { at += chunk }
        }
        chunk /= 2;
    }
    for at in 0..best.steps.len() {
        let mut number = 0;
        while let Step::Send(_, sends) | Step::Torn(_, sends, _) = &best.steps[at]
            && sends.len() > 1
            && number < sends.len()
            && left > 0
        {
            let mut tried = best.clone();
            if let Step::Send(_, sends) | Step::Torn(_, sends, _) = &mut tried.steps[at] {
                sends.remove(number);
            }
            left -= 1;
            if still_fails(&tried) { best = tried } else { number += 1 }
        }
    }
    best
}
