//! Plants each known defect back and counts the seeds until the simulation finds it.
//!
//! Prints a table; `controller/sim/MUTANTS.md` keeps one. Ends with an error when a defect is not found in time.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use sim::{Defect, Shape, run, spent};
use zab::Mutation;

/// Plants known defects of ZooKeeper's past and looks for a seed that shows each.
#[derive(Parser)]
struct Args {
    /// How long to look for each, in seconds of a processor
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Only the defects whose names end so: 2845
    #[arg(long)]
    only: Vec<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "| defect | seed | found after | what was seen |\n|---|---|---|---|");
    let mut missed = false;
    let mutations = Mutation::ALL.map(|mutation| {
        (format!("{mutation:?}").replace("Zk", "ZOOKEEPER-"), Some(mutation), None)
    });
    let defects = Defect::ALL.map(|defect| (format!("{defect:?}"), None, Some(defect)));
    for (name, mutation, defect) in mutations.into_iter().chain(defects) {
        if !args.only.is_empty() && !args.only.iter().any(|only| name.ends_with(only)) {
            continue;
        }
        let before = spent();
        let limit = Duration::from_secs(args.seconds);
        let found = (1..).take_while(|_| spent() - before < limit).find_map(|seed| {
            let (shape, schedule) = Shape::drawn(seed);
            let shape = Shape { mutation, defect, ..shape };
            run(&shape, &schedule).err().map(|why| (seed, why))
        });
        let took = (spent() - before).as_secs_f64();
        let _ = match found {
            Some((seed, why)) => writeln!(out, "| {name} | {seed} | {took:.1} s | {why} |"),
            None => {
                missed = true;
                writeln!(out, "| {name} | | not in {took:.0} s | |")
            }
        };
        let _ = out.flush();
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
