//! Which of several threads has a processor first.

/// How the system treats a thread that is ready to run.
#[derive(Clone, Copy, Debug)]
pub enum Policy {
    /// It has its share, and whoever runs when it wakes up is not interrupted for it.
    Batch,
    /// It runs when nobody else is ready to.
    Idle,
}

/// Sets the policy of a thread, by the system's number; 0 is the present one. Best effort.
#[allow(unsafe_code, reason = "no safe wrapper sets the policy of a thread")]
pub fn schedule(thread: i32, policy: Policy) {
    let parameters = libc::sched_param { sched_priority: 0 };
    let policy = match policy {
        Policy::Batch => libc::SCHED_BATCH,
        Policy::Idle => libc::SCHED_IDLE,
    };
    // By its number: the function of this name does nothing in musl.
    // SAFETY: numbers, and a struct that the system only reads and that lives across the call.
    unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, thread, policy, &raw const parameters);
    }
}
