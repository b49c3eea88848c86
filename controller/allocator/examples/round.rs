//! How long rounds take: `cargo run --release -p allocator --example round [agents] [frameworks]`.
//!
//! Every agent is offered and declined for ever, as in Mesos's DeclineOffers. For information: figures
//! of different machines do not compare.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant as Clock};

use allocator::{AgentId, Allocator, FrameworkId, FrameworkSpec, Options};
use types::{Instant, Resources, Role};

#[allow(clippy::disallowed_methods, reason = "an example that measures time reads the clock")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut sizes = std::env::args().skip(1).map(|size| size.parse::<usize>());
    let agents = sizes.next().transpose()?.unwrap_or(10_000);
    let frameworks = sizes.next().transpose()?.unwrap_or(1_000);
    let mut out = std::io::stdout();
    let mut pool = Allocator::new(Options::default());
    let began = Clock::now();
    for at in 0..agents {
        let total = Resources::parse("cpus:24;mem:4096;disk:4096;ports:[31000-32000]")?;
        pool.add_agent(AgentId::from(format!("agent-{at}").as_str()), total, &[])?;
    }
    for at in 0..frameworks {
        let role = Role::parse(&format!("dept{}/team{}", at % 10, at % 100))?;
        let spec = FrameworkSpec {
            roles: BTreeSet::from([role]),
            active: true,
            ..FrameworkSpec::default()
        };
        pool.add_framework(FrameworkId::from(format!("framework-{at}").as_str()), &spec)?;
    }
    writeln!(out, "{agents} agents x {frameworks} frameworks: set up in {:?}", began.elapsed())?;
    let year = Duration::from_secs(365 * 24 * 3600);
    for number in 1..=5 {
        let began = Clock::now();
        let round = pool.allocate(Instant::from_nanos(number), number);
        let decided = began.elapsed();
        for o in &round.offers {
            let now = Instant::from_nanos(number);
            pool.recover(now, &o.framework, &o.role, &o.agent, &o.resources, Some(year))?;
        }
        let offers = round.offers.len();
        writeln!(
            out,
            "round {number}: {offers} offers in {decided:?}, declined by {:?}",
            began.elapsed()
        )?;
    }
    let began = Clock::now();
    let mut quiet = pool.clone();
    writeln!(out, "(a copy of all accounts: {:?})", began.elapsed())?;
    quiet.allocate(Instant::from_nanos(9), 9);
    let began = Clock::now();
    let round = quiet.allocate(Instant::from_nanos(9), 9);
    writeln!(
        out,
        "a round with nothing changed: {} offers in {:?}",
        round.offers.len(),
        began.elapsed()
    )?;
    Ok(())
}
