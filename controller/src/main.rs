//! `troupe`: one binary, a verb for each part.
//!
//! Lives here: the command line, and the wiring of the drivers. Must not: decisions; those are in the
//! crates below. Start at [`args::Verb`]; each verb has a file of its name in `verbs`.

mod args;
mod health;
mod kubeconfig;
mod manifests;
mod merge;
mod out;
mod progress;
mod shutdown;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Verb};

fn main() -> ExitCode {
    let args = Args::parse();
    out::init_log(&args.log);
    let outcome = match args.verb {
        Verb::Up(up) => verbs::up::main(up),
        Verb::Status(status) => verbs::status::main(status),
        Verb::Zk(zk) => verbs::zk::main(zk),
        Verb::Crds => verbs::crds::main(),
        Verb::Controller(controller) => verbs::controller::main(controller),
        Verb::Member(member) => verbs::member::main(member),
        Verb::Master(master) => verbs::master::main(master),
        Verb::Agent(agent) => verbs::agent::main(agent),
        Verb::Holder(holder) => verbs::agent::holder(holder),
    };
    outcome.unwrap_or_else(|why| {
        out::complain(&format!("troupe: {why:#}"));
        ExitCode::FAILURE
    })
}
