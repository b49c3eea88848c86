//! Runs `testdata/*.txt`: commands, `----`, and all that the allocator did. `UPDATE=1` rewrites them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use types::resources::Scalar;
use types::{Instant, Resources, Role};

use crate::*;

#[test]
fn scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("testdata").map(|e| e.expect("entry").path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a text");
        let played = play(&text);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &played).expect("rewritten");
            continue;
        }
        assert_eq!(played, text, "{}: run with UPDATE=1 and review the diff", file.display());
    }
}

fn play(text: &str) -> String {
    let mut world = World::default();
    let mut out = String::new();
    for block in text.split_inclusive("\n\n") {
        let commands = block.split("----\n").next().unwrap_or_default();
        out.push_str(commands.trim_end());
        out.push_str("\n----\n");
        for command in commands.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
            world.run(command, &mut out);
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

struct World {
    allocator: Allocator,
    now: Instant,
}

impl Default for World {
    fn default() -> Self {
        Self { allocator: Allocator::new(Options::default()), now: Instant::ZERO }
    }
}

impl World {
    fn run(&mut self, command: &str, out: &mut String) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let said = match self.command(&words) {
            Ok(()) => return,
            Err(said) if said.is_empty() => self.round(),
            Err(said) => said,
        };
        out.push_str(&said);
    }

    /// `Err("")` asks for a round; other errors are what to print.
    fn command(&mut self, words: &[&str]) -> Result<(), String> {
        let a = &mut self.allocator;
        let told = |result: Result<(), AllocatorError>| result.map_err(|e| format!("! {e}\n"));
        match *words {
            ["agent", id, has] => told(a.add_agent(id.into(), resources(has), &[])),
            ["agent-has", id, has] => told(a.update_agent(&id.into(), resources(has))),
            ["agent-off", id] => told(a.set_agent_active(&id.into(), false)),
            ["agent-on", id] => told(a.set_agent_active(&id.into(), true)),
            ["agent-gone", id] => {
                a.remove_agent(&id.into());
                Ok(())
            }
            ["framework", id, names] => {
                let spec =
                    FrameworkSpec { roles: roles(names), active: true, ..FrameworkSpec::default() };
                told(a.add_framework(id.into(), &spec))
            }
            ["disconnect", id] => told(a.set_framework_active(&id.into(), false)),
            ["connect", id] => told(a.set_framework_active(&id.into(), true)),
            ["framework-gone", id] => {
                a.remove_framework(&id.into());
                Ok(())
            }
            ["suppress", id] => told(a.suppress(&id.into(), &BTreeSet::new())),
            ["suppress", id, names] => told(a.suppress(&id.into(), &roles(names))),
            ["revive", id] => told(a.revive(&id.into(), &BTreeSet::new())),
            ["weight", name, weight] => {
                let weight = Weight::new(weight.parse().expect("a number"));
                a.set_weight(&role(name), weight.map_err(|e| format!("! {e}\n"))?);
                Ok(())
            }
            ["quota", name, guarantees, limits] => {
                let quota = Quota { guarantees: amounts(guarantees), limits: amounts(limits) };
                told(a.set_quota(&role(name), quota))
            }
            ["back", id, in_role, agent, what] => told(a.recover(
                self.now,
                &id.into(),
                &role(in_role),
                &agent.into(),
                &resources(what),
                None,
            )),
            ["decline", id, in_role, agent, what, seconds] => told(a.recover(
                self.now,
                &id.into(),
                &role(in_role),
                &agent.into(),
                &resources(what),
                Some(Duration::from_secs(seconds.parse().expect("seconds"))),
            )),
            ["pass", seconds] => {
                self.now = self.now + Duration::from_secs(seconds.parse().expect("seconds"));
                Ok(())
            }
            ["round"] => Err(String::new()),
            ["why", id] => {
                let why = a.why(self.now, &id.into()).map_err(|e| format!("! {e}\n"))?;
                Err(why.iter().fold(String::new(), |mut out, (role, why)| {
                    let _infallible = writeln!(out, "{id} in {role}: {why}");
                    out
                }))
            }
            ["shares"] => Err(a.roles().iter().fold(String::new(), |mut out, role| {
                let _infallible = writeln!(out, "{} {:.3}", role.role, role.share);
                out
            })),
            _ => panic!("no such command: {words:?}"),
        }
    }

    fn round(&mut self) -> String {
        let round = self.allocator.allocate(self.now, 7);
        let mut out = format!("looked at {}\n", round.looked_at);
        // The seed decides the order of agents, which is not what a scenario is about.
        let mut offers: Vec<String> = round
            .offers
            .iter()
            .map(|o| format!("{} in {}: {} {}\n", o.framework, o.role, o.agent, o.resources))
            .collect();
        offers.sort();
        out.extend(offers);
        for skipped in &round.skipped {
            let _infallible =
                writeln!(out, "{} in {}: none; {}", skipped.framework, skipped.role, skipped.why);
        }
        out
    }
}

fn resources(text: &str) -> Resources {
    Resources::parse(text).expect("resources")
}

fn role(name: &str) -> Role {
    Role::parse(name).expect("a role")
}

fn roles(names: &str) -> BTreeSet<Role> {
    names.split(',').map(role).collect()
}

fn amounts(text: &str) -> std::collections::BTreeMap<std::sync::Arc<str>, Scalar> {
    let all = if text == "-" { Resources::new() } else { resources(text) };
    all.iter().map(|(key, _)| (key.name.clone(), all.scalar(&key.name))).collect()
}
