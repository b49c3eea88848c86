//! From a request to a process: the only unsafe code of this crate.
//!
//! `unsafe` is needed because nothing safe offers `clone3` into a cgroup, and because between fork and
//! exec only calls that neither allocate nor lock are made, which a closure of the standard library cannot
//! promise to come before its own switch of users (v1 groups are entered as root).
#![allow(
    unsafe_code,
    reason = "clone3, exec and signal masks have no safe form that fits; see above"
)]

use std::ffi::{CString, NulError};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::pipe::{PipeFlags, pipe_with};

use super::wire::{Spawn, Step};

/// Source: `linux/sched.h`. The libc crate's constant does not fit its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A child on its way to exec.
pub(crate) struct Starting {
    pub(crate) pid: i32,
    /// Ends without a byte when exec succeeded; else brings the step and the errno.
    pub(crate) report: OwnedFd,
}

/// Where and why a start failed.
pub(crate) type Failure = (Step, i32);

/// Starts the child. Its exec is not awaited: see [`outcome`].
pub(crate) fn start(spawn: &Spawn) -> Result<Starting, Failure> {
    let prepared = Prepared::new(spawn)?;
    let (report, child_end) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| (Step::Fork, e.raw_os_error()))?;
    let group = spawn.unified.as_deref().map(open_directory).transpose()?;
    // SAFETY: this process has one thread, so the copy may go on; the child only runs `exec`, which
    // makes system calls on memory prepared above and never returns.
    let pid = match unsafe { fork_into(group.as_ref()) } {
        Ok(0) => exec(&prepared, child_end.as_raw_fd()),
        Ok(pid) => pid,
        Err(error) => return Err((Step::Fork, errno(&error))),
    };
    rustix::io::ioctl_fionbio(&report, true).map_err(|e| (Step::Fork, e.raw_os_error()))?;
    Ok(Starting { pid, report })
}

/// What became of a start: `None` while the child is on its way.
pub(crate) fn outcome(report: &OwnedFd) -> Option<Result<(), Failure>> {
    let mut bytes = [0; 5];
    let mut read = 0;
    // A report of five bytes is written in one piece.
    while read < bytes.len() {
        match rustix::io::read(report, &mut bytes[read..]) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return None,
            Err(e) => return Some(Err((Step::Fork, e.raw_os_error()))),
        }
    }
    match (Step::from_byte(bytes[0]), bytes[1..].first_chunk()) {
        (Some(step), Some(&errno)) if read == 5 => Some(Err((step, i32::from_ne_bytes(errno)))),
        _ => Some(Ok(())),
    }
}

/// Blocks the signals that the holder takes from a descriptor, and returns that descriptor.
pub(crate) fn signals(which: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before use, and the descriptor is new and ours.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in which {
            libc::sigaddset(&raw mut set, signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// The next pending signal; `None` when there is none.
pub(crate) fn next_signal(signals: &OwnedFd) -> Option<i32> {
    let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
    let read = rustix::io::read(signals, &mut info).ok()?;
    let number = info.first_chunk::<4>().filter(|_| read == info.len())?;
    i32::try_from(u32::from_ne_bytes(*number)).ok()
}

/// All that the child needs, made before the fork so that it allocates nothing.
struct Prepared {
    program: CString,
    _argv: Vec<CString>,
    _env: Vec<CString>,
    cwd: CString,
    stdin: File,
    stdout: File,
    stderr: File,
    join: Vec<File>,
    /// Into `_argv` and `_env`, each with a null at its end.
    argv_pointers: Vec<*const libc::c_char>,
    env_pointers: Vec<*const libc::c_char>,
    /// `cgroup.procs` of the v2 group, for kernels that cannot give birth in it.
    unified: Option<File>,
    spawn_user: Option<(u32, u32, Vec<libc::gid_t>)>,
}

impl Prepared {
    fn new(spawn: &Spawn) -> Result<Self, Failure> {
        let open = |path: &Path, options: &mut OpenOptions, step: Step| {
            options.open(path).map_err(|e| (step, errno(&e)))
        };
        let output = |path: &Path| {
            let mut options = OpenOptions::new();
            open(path, options.append(true).custom_flags(libc::O_NOFOLLOW), Step::Output)
        };
        let group = |path: &Path| open(path, OpenOptions::new().write(true), Step::JoinGroup);
        let text = |text: &str| CString::new(text);
        let texts = |all: &[String]| all.iter().map(|t| text(t)).collect::<Result<Vec<_>, _>>();
        let has_nul = |_: NulError| (Step::Exec, libc::EINVAL);
        let (argv, env) =
            (texts(&spawn.argv).map_err(has_nul)?, texts(&spawn.env).map_err(has_nul)?);
        Ok(Self {
            program: text(&spawn.program).map_err(has_nul)?,
            argv_pointers: pointers(&argv),
            env_pointers: pointers(&env),
            _argv: argv,
            _env: env,
            cwd: CString::new(spawn.cwd.as_os_str().as_bytes()).map_err(has_nul)?,
            stdin: open(Path::new("/dev/null"), OpenOptions::new().read(true), Step::Output)?,
            stdout: output(&spawn.stdout)?,
            stderr: output(&spawn.stderr)?,
            join: spawn.join.iter().map(|path| group(path)).collect::<Result<_, _>>()?,
            unified: match &spawn.unified {
                Some(dir) => Some(group(&dir.join("cgroup.procs"))?),
                None => None,
            },
            spawn_user: spawn.user.as_ref().map(|u| (u.uid, u.gid, u.groups.clone())),
        })
    }
}

/// A list for execve. The strings stay where they are on the heap when their vector moves.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

fn open_directory(dir: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_PATH);
    options.open(dir).map_err(|e| (Step::JoinGroup, errno(&e)))
}

/// Forks; the child is born in `group` where the kernel can do that, and enters it in [`exec`] else.
///
/// # Safety
/// As `fork`: the caller's process has one thread, or the child makes only async-signal-safe calls.
unsafe fn fork_into(group: Option<&File>) -> io::Result<i32> {
    if let Some(group) = group {
        // SAFETY: all zeros is a valid clone_args, which is plain data.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = CLONE_INTO_CGROUP;
        args.exit_signal = u64::try_from(libc::SIGCHLD).expect("a signal is positive");
        args.cgroup = u64::try_from(group.as_raw_fd()).expect("a descriptor is positive");
        // SAFETY: without CLONE_VM this is a fork; args lives across the call and its size is told.
        let pid = unsafe {
            libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>())
        };
        if pid >= 0 {
            return Ok(i32::try_from(pid).expect("the kernel's pids are below 2^22"));
        }
        let error = io::Error::last_os_error();
        // An older kernel, or a filter that knows no clone3: the child will enter by itself.
        if !matches!(errno(&error), libc::ENOSYS | libc::EPERM | libc::EINVAL | libc::E2BIG) {
            return Err(error);
        }
    }
    // SAFETY: the caller's promise.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}

/// The child's way from fork to exec. Allocates nothing, returns never.
fn exec(prepared: &Prepared, report: RawFd) -> ! {
    let (step, errno) = match try_exec(prepared) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    let mut bytes = [step as u8, 0, 0, 0, 0];
    bytes[1..].copy_from_slice(&errno.to_ne_bytes());
    // SAFETY: writes from a live array to an open descriptor, then ends this process at once.
    unsafe {
        libc::write(report, bytes.as_ptr().cast(), bytes.len());
        libc::_exit(127)
    }
}

fn try_exec(prepared: &Prepared) -> Result<std::convert::Infallible, Failure> {
    let check =
        |step: Step, result: i32| if result < 0 { Err((step, last_errno())) } else { Ok(()) };
    for group in prepared.unified.iter().chain(&prepared.join) {
        // SAFETY: one byte of a static to an open descriptor.
        let written = unsafe { libc::write(group.as_raw_fd(), c"0".as_ptr().cast(), 1) };
        if written != 1 {
            return Err((Step::JoinGroup, last_errno()));
        }
    }
    // SAFETY: plain system calls on open descriptors and on C strings that live in `prepared`; the process
    // has one thread, so nobody sees the signal state and the credentials change.
    unsafe {
        check(Step::Session, libc::setsid())?;
        for (from, to) in [(&prepared.stdin, 0), (&prepared.stdout, 1), (&prepared.stderr, 2)] {
            check(Step::Output, libc::dup2(from.as_raw_fd(), to))?;
        }
        libc::umask(0o022);
        check(Step::WorkingDirectory, libc::chdir(prepared.cwd.as_ptr()))?;
        if let Some((uid, gid, groups)) = &prepared.spawn_user {
            check(Step::User, libc::setgroups(groups.len(), groups.as_ptr()))?;
            check(Step::User, libc::setgid(*gid))?;
            check(Step::User, libc::setuid(*uid))?;
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        // What is ignored stays so over exec: the standard library ignores SIGPIPE, and whoever started
        // the holder may ignore more. (SIGKILL, SIGSTOP and the C library's own refuse; they need no change.)
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let (argv, env) = (&prepared.argv_pointers, &prepared.env_pointers);
        libc::execve(prepared.program.as_ptr(), argv.as_ptr(), env.as_ptr());
    }
    Err((Step::Exec, last_errno()))
}

fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
