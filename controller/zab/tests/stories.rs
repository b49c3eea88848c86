//! Runs every story under `tests/stories`: several peers, their disks and the connections between them, told step by
//! step. `UPDATE=1` rewrites what follows the rules.
//!
//! A story is made of steps: commands, a rule, and all that was said and done until nothing more followed. Time stands still within
//! a step but for `wait`. Packets between leader and learner are shown, votes only when `votes on`. Pings never.

mod troupe;

use std::path::Path;

use troupe::Troupe;

#[test]
fn the_peers_do_as_the_stories_tell() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let mut ran = 0;
    for entry in std::fs::read_dir(folder).expect("the folder of stories is in the tree") {
        let path = entry.expect("a folder that can be opened can be listed").path();
        let text = std::fs::read_to_string(&path).expect("a story is text");
        let actual = tell(&text);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, actual).expect("UPDATE may write");
        } else {
            assert_eq!(actual, text, "{}", path.display());
        }
        ran += 1;
    }
    assert!(ran > 0, "no story found");
}

/// The story with its answers, as they are.
fn tell(text: &str) -> String {
    let mut troupe = Troupe::default();
    let (mut out, mut in_answer) = (String::new(), false);
    for line in text.lines() {
        match line {
            "----" => {
                out.push_str("----\n");
                for said in troupe.settle() {
                    out.push_str(&said);
                    out.push('\n');
                }
                in_answer = true;
            }
            "" => {
                out.push('\n');
                in_answer = false;
            }
            _ if in_answer => {}
            _ => {
                out.push_str(line);
                out.push('\n');
                if !line.starts_with('#') {
                    troupe.command(line);
                }
            }
        }
    }
    out
}
