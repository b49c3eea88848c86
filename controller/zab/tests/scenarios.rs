//! Runs every text scenario under `tests/scenarios`; `UPDATE=1` rewrites their answers.
//!
//! Above the rule are commands, below it what the core answered to each that it answered at all.

use std::fmt::Write as _;
use std::path::Path;

use types::{Epoch, Instant, PeerId, Zxid};
use zab::{Durable, Input, Output, SavedEpoch, Settings, Txn, Voters, Zab};

#[test]
fn the_core_answers_as_the_scenarios_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut ran = 0;
    for entry in std::fs::read_dir(folder).expect("the folder of scenarios is in the tree") {
        let path = entry.expect("a folder that can be opened can be listed").path();
        let text = std::fs::read_to_string(&path).expect("a scenario is text");
        let (commands, expected) = text.split_once("----\n").expect("a scenario has a rule");
        let actual = run(commands);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, format!("{commands}----\n{actual}")).expect("UPDATE may write");
        } else {
            assert_eq!(actual, expected, "{}", path.display());
        }
        ran += 1;
    }
    assert!(ran > 0, "no scenario found");
}

fn run(commands: &str) -> String {
    let mut zab = None;
    let mut out = String::new();
    for line in commands.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |word: &str| match word.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).expect("a hexadecimal number"),
            None => word.parse().expect("a number"),
        };
        let zxid = |word: &str| Zxid::from_bits(number(word).cast_signed());
        let epoch = |word: &str| Epoch(u32::try_from(number(word)).expect("an epoch"));
        let input = match words[0] {
            // start <me> <voters,…> <accepted> <current> <last logged>
            "start" => {
                let peer = |word: &str| PeerId(number(word).cast_signed());
                let settings = Settings {
                    voters: Voters::majority(words[2].split(',').map(peer)),
                    ..Settings::alone(peer(words[1]))
                };
                zab = Some(Zab::new(
                    settings,
                    Durable {
                        accepted: epoch(words[3]),
                        current: epoch(words[4]),
                        last_logged: zxid(words[5]),
                    },
                ));
                continue;
            }
            "tick" => Input::Tick,
            "accepted-saved" => Input::EpochSaved(SavedEpoch::Accepted(epoch(words[1]))),
            "current-saved" => Input::EpochSaved(SavedEpoch::Current(epoch(words[1]))),
            "propose" => {
                Input::Propose(Txn { zxid: zxid(words[1]), body: words[2].to_owned().into() })
            }
            "flushed" => Input::Flushed(zxid(words[1])),
            "append-refused" => Input::AppendRefused { first: zxid(words[1]) },
            other => panic!("no command {other}"),
        };
        let zab = zab.as_mut().expect("a scenario begins with start");
        let outputs: Vec<_> = zab.step(Instant::ZERO, input).map(show).collect();
        let next = zab.next_zxid().map_or_else(|| "-".to_owned(), |z| z.to_string());
        writeln!(out, "{line}: {} next={next}", outputs.join(" | ")).expect("strings grow");
    }
    out
}

fn show(output: Output) -> String {
    match output {
        Output::Append(txn) => format!("append {}", txn.zxid),
        Output::Deliver(txn) => {
            format!("deliver {} {}", txn.zxid, String::from_utf8_lossy(&txn.body))
        }
        Output::SaveEpoch(SavedEpoch::Accepted(epoch)) => format!("save accepted={}", epoch.0),
        Output::SaveEpoch(SavedEpoch::Current(epoch)) => format!("save current={}", epoch.0),
        Output::Leading(epoch) => format!("leading {}", epoch.0),
        Output::Resigned { .. } => "resigned".to_owned(),
        Output::Withdrawn { first } => format!("withdrawn {first}"),
        other => format!("{other:?}"),
    }
}
