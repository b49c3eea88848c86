//! Runs seeds until the time is up; the first that fails is shrunk and told.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use sim::{Shape, run, shrink, spent, trace};

/// Runs simulated ensembles under faults, a seed each, and checks every step of them.
#[derive(Parser)]
struct Args {
    /// How long to go on, in seconds of a processor
    #[arg(long, default_value_t = 10, env = "SIM_SECONDS")]
    seconds: u64,
    /// Run this seed alone and tell what it did
    #[arg(long, env = "SIM_SEED")]
    seed: Option<u64>,
    /// Tell the last so many steps of a failure
    #[arg(long, default_value_t = 0)]
    trace: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = std::io::stdout().lock();
    let (mut runs, mut steps, mut committed, mut epochs) = (0_u64, 0_u64, 0_usize, 0_usize);
    let (mut damaged, mut mended, mut changes, mut full) = (0_u64, 0_u64, 0_usize, 0_usize);
    let (mut fed, mut fed_sessions) = (0_u64, 0_u64);
    let mut simulated = Duration::ZERO;
    while runs == 0 || args.seed.is_none() && spent() < Duration::from_secs(args.seconds) {
        let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
        let (shape, schedule) = Shape::drawn(seed);
        match run(&shape, &schedule) {
            Ok(tally) => {
                runs += 1;
                steps += tally.steps;
                committed += tally.committed;
                epochs += tally.epochs;
                full += tally.full;
                fed += tally.fed;
                fed_sessions += tally.fed_sessions;
                damaged += tally.damaged;
                mended += tally.mended;
                changes += tally.changes;
                simulated += tally.simulated;
            }
            Err(why) => {
                let _ = writeln!(out, "seed {seed} FAILED: {why}\n{shape:?}");
                let fewest = shrink(&shape, &schedule);
                let _ = writeln!(out, "{} of {} faults are enough:", fewest.len(), schedule.len());
                for (at, fault) in &fewest {
                    let _ = writeln!(out, "  {:>8} ms {fault:?}", at.as_millis());
                }
                if let Err(why) = run(&shape, &fewest) {
                    let _ = writeln!(out, "which ends with: {why}");
                }
                if args.trace > 0 {
                    for line in trace(&shape, &fewest).iter().rev().take(args.trace).rev() {
                        let _ = writeln!(out, "{line}");
                    }
                }
                let _ = writeln!(out, "again: cargo run --release -p sim -- --seed {seed}");
                return ExitCode::FAILURE;
            }
        }
    }
    let times = simulated.as_secs_f64() / spent().as_secs_f64();
    let _ = writeln!(
        out,
        "{runs} runs, {:.1} simulated days at {times:.0} times real time: {steps} steps, {committed} \
         transactions committed in {epochs} epochs, {full} of them full, {damaged} members damaged \
         and {mended} mended, members changed {changes} times, {fed} observers fed by followers \
         and {fed_sessions} sessions at them, every promise kept",
        simulated.as_secs_f64() / 86_400.0
    );
    ExitCode::SUCCESS
}
