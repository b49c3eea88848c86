//! From a task's command to a program with its arguments and environment.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::processes::CONTAINER_VARIABLE;
use crate::task::{Command, Spec};

/// Where programs are looked for when a task sets no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Stands where Mesos names its own agent process.
const AGENT_PROCESS: &str = "slave(1)";

/// What tasks are told of the node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// `ip:port` of this agent.
    pub(crate) endpoint: String,
}

/// A program that is not where it was looked for.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("the command {name:?} is not found in PATH={path}; install it, or give its full path")]
    NotFound { name: String, path: String },
    #[error("the command is empty; give a value, or arguments")]
    Empty,
}

/// The task's whole environment. Source: Mesos `executorEnvironment` and the command executor; the task's own
/// variables come last and win.
pub(crate) fn environment(spec: &Spec, node: &Node, sandbox: &Path) -> Vec<(String, String)> {
    let sandbox = sandbox.display().to_string();
    let (ip, _) = node.endpoint.rsplit_once(':').unwrap_or((&node.endpoint, ""));
    let ours = [
        ("PATH", DEFAULT_PATH.to_owned()),
        ("LIBPROCESS_IP", ip.to_owned()),
        ("LIBPROCESS_PORT", "0".to_owned()),
        ("MESOS_AGENT_ENDPOINT", node.endpoint.clone()),
        ("MESOS_CHECKPOINT", "1".to_owned()),
        (CONTAINER_VARIABLE, spec.container.clone()),
        ("MESOS_DIRECTORY", sandbox.clone()),
        ("MESOS_EXECUTOR_ID", spec.key.task.clone()),
        ("MESOS_FRAMEWORK_ID", spec.key.framework.clone()),
        ("MESOS_HTTP_COMMAND_EXECUTOR", "1".to_owned()),
        ("MESOS_SANDBOX", sandbox),
        ("MESOS_SLAVE_ID", spec.agent.clone()),
        ("MESOS_SLAVE_PID", format!("{AGENT_PROCESS}@{}", node.endpoint)),
        ("MESOS_TASK_ID", spec.key.task.clone()),
    ];
    let mut all: Vec<(String, String)> =
        ours.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (name, value) in &spec.environment {
        match all.iter_mut().find(|(known, _)| known == name) {
            // Without it, a container that has no groups could not be told from others.
            Some((known, _)) if known == CONTAINER_VARIABLE => {}
            Some((_, old)) => old.clone_from(value),
            None => all.push((name.clone(), value.clone())),
        }
    }
    all
}

/// The program's path and its `argv`. A name without `/` is looked for in the task's `PATH`, as `execvp`
/// does; any other counts from the sandbox.
pub(crate) fn resolve(
    command: &Command,
    environment: &[(String, String)],
    sandbox: &Path,
) -> Result<(String, Vec<String>), CommandError> {
    match command {
        Command::Shell(script) => {
            let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
            Ok(("/bin/sh".to_owned(), argv))
        }
        Command::Program { path, .. } if path.is_empty() => Err(CommandError::Empty),
        Command::Program { path, argv } => {
            let argv = if argv.is_empty() { vec![path.clone()] } else { argv.clone() };
            if path.contains('/') {
                return Ok((path.clone(), argv));
            }
            let search = environment.iter().find(|(name, _)| name == "PATH");
            let search = search.map_or(DEFAULT_PATH, |(_, value)| value);
            let found = search.split(':').map(|dir| sandbox.join(dir).join(path)).find(is_program);
            match found.and_then(|found| found.to_str().map(str::to_owned)) {
                Some(found) => Ok((found, argv)),
                None => Err(CommandError::NotFound { name: path.clone(), path: search.to_owned() }),
            }
        }
    }
}

fn is_program(path: &PathBuf) -> bool {
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(path: &str) -> Command {
        Command::Program { path: path.to_owned(), argv: vec!["me".to_owned()] }
    }

    #[test]
    fn a_program_is_found_as_a_shell_would() {
        let path = |value: &str| vec![("PATH".to_owned(), value.to_owned())];
        let box_ = Path::new("/tmp");
        let (found, argv) = resolve(&program("sh"), &path("/nowhere:/bin"), box_).expect("found");
        assert_eq!((found.as_str(), argv), ("/bin/sh", vec!["me".to_owned()]));
        let missing = resolve(&program("no-such-thing"), &path("/bin"), box_);
        assert!(missing.expect_err("not there").to_string().contains("PATH=/bin"));
        assert_eq!(resolve(&program("./run"), &[], box_).expect("as given").0, "./run");
        assert_eq!(resolve(&program(""), &[], box_), Err(CommandError::Empty));
    }

    #[test]
    fn a_shell_gets_the_whole_line() {
        let (program, argv) =
            resolve(&Command::Shell("a && b".to_owned()), &[], Path::new("/")).expect("a shell");
        assert_eq!(
            (program.as_str(), argv),
            ("/bin/sh", ["sh", "-c", "a && b"].map(str::to_owned).to_vec())
        );
    }
}
