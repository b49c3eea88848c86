//! What a framework is told of a task's end: a decision over what was asked, what was seen and what the
//! kernel counted.

use crate::holder::wire::ExitStatus;
use crate::task::{Reason, Source, Spec, State};

/// Why a container was ended.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Cause {
    /// Its first process ended, or the kernel killed in it.
    Exited,
    /// Somebody asked for it.
    Killed,
    /// Somebody asked for it before it ran.
    KilledBeforeStart,
    /// The agent goes for good.
    Stopped,
    /// It ran longer than its task allowed.
    TooLong,
    /// It could not be started.
    LaunchFailed(String),
    /// Its checkpoint is there, but nobody started it.
    NeverStarted,
    /// Nobody knows how it ended: the holder that would know is gone.
    HolderLost { pid: i32 },
}

impl Cause {
    pub(super) fn before_start(self) -> Self {
        if self == Self::Killed { Self::KilledBeforeStart } else { self }
    }
}

/// What was counted when the container was empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Figures {
    /// Processes that the kernel killed for want of memory.
    pub(crate) oom_kills: u64,
    /// The most memory that was in use, in bytes, if it was counted.
    pub(crate) memory_peak: Option<u64>,
    /// The memory limit in bytes, if there was one.
    pub(crate) memory_limit: Option<u64>,
    /// Forks that the limit on processes refused.
    pub(crate) forks_refused: u64,
    /// Something of the container could not be removed.
    pub(crate) leftover: Option<String>,
}

/// What the framework is told.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Verdict {
    pub(super) state: State,
    pub(super) source: Source,
    pub(super) reason: Option<Reason>,
    pub(super) message: String,
    pub(super) memory_at_limit: Option<u64>,
}

/// Decides. An out-of-memory kill outweighs everything but an end that was asked for: the limit is then
/// what ended the task, whichever of its processes the kernel chose.
pub(super) fn judge(
    cause: &Cause,
    exit: Option<ExitStatus>,
    figures: &Figures,
    spec: &Spec,
) -> Verdict {
    let agent = |state, reason, message: String| Verdict {
        state,
        source: Source::Agent,
        reason,
        message,
        memory_at_limit: None,
    };
    let task = |state, message: String| Verdict {
        state,
        source: Source::Executor,
        reason: None,
        message,
        memory_at_limit: None,
    };
    let mut verdict = match cause {
        Cause::Killed => task(State::Killed, describe(exit, "Killed after its grace period")),
        Cause::Stopped => agent(
            State::Killed,
            None,
            format!("The agent was told to stop its tasks; {}", describe(exit, "killed")),
        ),
        Cause::KilledBeforeStart => agent(
            State::Killed,
            Some(Reason::KilledDuringLaunch),
            "Killed before it was started".to_owned(),
        ),
        Cause::Exited if figures.oom_kills > 0 => out_of_memory(figures, spec),
        Cause::Exited => match exit {
            Some(ExitStatus::Code(0)) => task(State::Finished, describe(exit, "")),
            _ => task(State::Failed, describe(exit, "Command ended") + &refused(figures, spec)),
        },
        Cause::TooLong => agent(
            State::Failed,
            Some(Reason::MaxCompletionTime),
            "Killed: it ran longer than its max_completion_time".to_owned(),
        ),
        Cause::LaunchFailed(why) => agent(
            State::Failed,
            Some(Reason::LaunchFailed),
            format!("Failed to launch container: {why}"),
        ),
        Cause::NeverStarted => agent(
            State::Dropped,
            Some(Reason::AgentRestarted),
            "The agent restarted before the task was started".to_owned(),
        ),
        Cause::HolderLost { pid } => agent(
            State::Failed,
            Some(Reason::ExecutorTerminated),
            format!(
                "The task's exit status is unknown: {} and the rest of the container was killed",
                if *pid > 0 {
                    format!("its holder (pid {pid}) died,")
                } else {
                    "its holder is gone (the machine restarted, or it was killed)".to_owned()
                }
            ),
        ),
    };
    if let Some(leftover) = &figures.leftover {
        verdict.message.push_str("; ");
        verdict.message.push_str(leftover);
    }
    verdict
}

/// Source of the first words: Mesos `CgroupsMemSubsystem`; people and tools search for them.
fn out_of_memory(figures: &Figures, spec: &Spec) -> Verdict {
    let limit = figures.memory_limit.or(spec.limits.memory_hard_bytes);
    let used = figures.memory_peak.or(limit);
    let text = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".to_owned(), megabytes);
    let killed = match figures.oom_kills {
        1 => "the kernel killed 1 process".to_owned(),
        n => format!("the kernel killed {n} processes"),
    };
    Verdict {
        state: State::Failed,
        source: Source::Agent,
        reason: Some(Reason::MemoryLimit),
        message: format!(
            "Memory limit exceeded: Requested: {} Maximum Used: {}; {killed}",
            text(limit),
            text(used)
        ),
        memory_at_limit: used,
    }
}

fn refused(figures: &Figures, spec: &Spec) -> String {
    match (figures.forks_refused, spec.limits.pids) {
        (0, _) | (_, None) => String::new(),
        (n, Some(limit)) => format!("; {n} forks were refused by its limit of {limit} processes"),
    }
}

/// Source: Mesos `stringify(Bytes)`: the largest unit that leaves a whole number.
pub(crate) fn megabytes(bytes: u64) -> String {
    let units = [(1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

/// Source of the words: Mesos's command executor.
fn describe(exit: Option<ExitStatus>, unknown: &str) -> String {
    match exit {
        Some(ExitStatus::Code(code)) => format!("Command exited with status {code}"),
        Some(ExitStatus::Signal(signal)) => {
            format!("Command terminated with signal {}", signal_name(signal))
        }
        None => unknown.to_owned(),
    }
}

/// As `strsignal` names them.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "Hangup",
        libc::SIGINT => "Interrupt",
        libc::SIGQUIT => "Quit",
        libc::SIGILL => "Illegal instruction",
        libc::SIGTRAP => "Trace/breakpoint trap",
        libc::SIGABRT => "Aborted",
        libc::SIGBUS => "Bus error",
        libc::SIGFPE => "Floating point exception",
        libc::SIGKILL => "Killed",
        libc::SIGUSR1 => "User defined signal 1",
        libc::SIGSEGV => "Segmentation fault",
        libc::SIGUSR2 => "User defined signal 2",
        libc::SIGPIPE => "Broken pipe",
        libc::SIGALRM => "Alarm clock",
        libc::SIGTERM => "Terminated",
        libc::SIGXCPU => "CPU time limit exceeded",
        libc::SIGXFSZ => "File size limit exceeded",
        libc::SIGSYS => "Bad system call",
        other => return format!("{other}"),
    };
    name.to_owned()
}
