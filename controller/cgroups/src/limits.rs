//! What a container may use, and the numbers the kernel is told.

use std::time::Duration;

use types::{Bytes, MilliCpu};

use crate::CreateError;

/// Kernel's shares for one CPU (v1). Source: Mesos `CPU_SHARES_PER_CPU`.
const SHARES_PER_CPU: u64 = 1024;
/// Kernel's weight for one CPU (v2). Source: Mesos `CPU_WEIGHT_PER_CPU`; never converted from shares.
const WEIGHT_PER_CPU: u64 = 100;
/// The period a quota is counted in. Source: Mesos `CPU_CFS_PERIOD`.
const QUOTA_PERIOD: Duration = Duration::from_millis(100);
/// The kernel refuses a quota below this. Source: `kernel/sched/core.c`, `min_cfs_quota_period`.
const MIN_QUOTA: Duration = Duration::from_millis(1);

/// What a container may use. `None` is "no value set": the kernel's default stays.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// CPU asked for: the weight against others when CPUs are scarce.
    pub cpu_request: Option<MilliCpu>,
    /// The most CPU it may use, also on an idle machine.
    pub cpu_quota: Option<MilliCpu>,
    /// The most memory it may use, swap included where the kernel counts it.
    pub memory: Option<MemoryLimit>,
    /// The most processes and threads alive at once; at least 1.
    pub pids: Option<u64>,
    /// Limits that this version knows by name but cannot enforce (`io`, `cpuset`, `devices`, `hugetlb`,
    /// `net`). Any entry makes a creation fail with an error that names it: never silently ignored.
    pub unsupported: Vec<String>,
}

/// A cap on memory, and the part of it that is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MemoryLimit {
    /// Above it the kernel kills, if it cannot reclaim. The kernel rounds down to pages.
    pub hard: Bytes,
    /// What was asked for: reclaim starts with groups above theirs (v1 soft limit, v2 `memory.low`).
    pub request: Option<Bytes>,
}

impl Limits {
    /// The part of these limits whose controller is `wanted`; all of `unsupported` stays.
    pub(crate) fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        Self {
            cpu_request: self.cpu_request.filter(|_| wanted("cpu")),
            cpu_quota: self.cpu_quota.filter(|_| wanted("cpu")),
            memory: self.memory.filter(|_| wanted("memory")),
            pids: self.pids.filter(|_| wanted("pids")),
            unsupported: self.unsupported.clone(),
        }
    }

    /// Refuses what nobody enforces, and what needs a controller that is not among `offered`.
    pub(crate) fn check(&self, offered: impl Fn(&str) -> bool) -> Result<(), CreateError> {
        if let Some(limit) = self.unsupported.first() {
            return Err(CreateError::Unsupported { limit: limit.clone() });
        }
        let asked = [
            ("CPU", "cpu", self.cpu_request.is_some() || self.cpu_quota.is_some()),
            ("memory", "memory", self.memory.is_some()),
            ("processes", "pids", self.pids.is_some()),
        ];
        match asked.into_iter().find(|&(_, controller, set)| set && !offered(controller)) {
            Some((limit, controller, _)) => Err(CreateError::NoController { limit, controller }),
            None => Ok(()),
        }
    }

    /// `cpu.shares`: 1024 a CPU, in the kernel's range of 2 to 262144.
    pub(crate) fn shares(&self) -> Option<u64> {
        let MilliCpu(milli) = self.cpu_request?;
        Some((milli.saturating_mul(SHARES_PER_CPU) / 1000).clamp(2, 262_144))
    }

    /// `cpu.weight`: 100 a CPU, in the kernel's range of 1 to 10000.
    pub(crate) fn weight(&self) -> Option<u64> {
        let MilliCpu(milli) = self.cpu_request?;
        Some((milli.saturating_mul(WEIGHT_PER_CPU) / 1000).clamp(1, 10_000))
    }
}

/// Quota and period in microseconds, as `cpu.cfs_quota_us` and `cpu.max` take them.
pub(crate) fn quota_micros(MilliCpu(milli): MilliCpu) -> (i64, u64) {
    let period = u64::try_from(QUOTA_PERIOD.as_micros()).expect("100 ms fit");
    let least = u64::try_from(MIN_QUOTA.as_micros()).expect("1 ms fits");
    let quota = (milli.saturating_mul(period) / 1000).max(least);
    (i64::try_from(quota).unwrap_or(i64::MAX), period)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(milli: u64) -> Limits {
        Limits { cpu_request: Some(MilliCpu(milli)), ..Limits::default() }
    }

    #[test]
    fn shares_and_weight_are_each_taken_from_cpus() {
        assert_eq!((cpus(1000).shares(), cpus(1000).weight()), (Some(1024), Some(100)));
        assert_eq!((cpus(250).shares(), cpus(250).weight()), (Some(256), Some(25)));
        assert_eq!((cpus(0).shares(), cpus(0).weight()), (Some(2), Some(1)));
        assert_eq!(
            (cpus(u64::MAX).shares(), cpus(u64::MAX).weight()),
            (Some(262_144), Some(10_000))
        );
        assert_eq!((Limits::default().shares(), Limits::default().weight()), (None, None));
    }

    #[test]
    fn a_quota_never_falls_below_what_the_kernel_takes() {
        assert_eq!(quota_micros(MilliCpu(500)), (50_000, 100_000));
        assert_eq!(quota_micros(MilliCpu(1)), (1_000, 100_000));
        assert_eq!(quota_micros(MilliCpu(4000)), (400_000, 100_000));
    }
}
