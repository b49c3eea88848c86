//! v1's controllers with a v2 tree beside them: the v2 tree kills and places, and takes the limits whose
//! controllers it was given.

use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::v1::V1;
use crate::v2::V2;
use crate::{
    ContainerId, CreateError, Description, Enforcer, Entry, GroupError, KillError, Limits,
    MemoryEvents, Usage, Version,
};

/// Both interfaces at once. A controller is on one of them, never on both.
#[derive(Debug)]
pub(crate) struct Hybrid {
    v1: V1,
    v2: V2,
}

impl Hybrid {
    pub(crate) fn new(v1: V1, v2: V2) -> Self {
        Self { v1, v2 }
    }

    fn split(&self, limits: &Limits) -> Result<(Limits, Limits), CreateError> {
        limits.check(|c| self.v1.controls(c) || self.v2.controls(c))?;
        Ok((limits.only(|c| self.v1.controls(c)), limits.only(|c| !self.v1.controls(c))))
    }
}

impl Enforcer for Hybrid {
    fn describe(&self) -> Description {
        let (v1, v2) = (self.v1.describe(), self.v2.describe());
        let mut controllers = [v1.controllers, v2.controllers].concat();
        controllers.sort();
        controllers.dedup();
        Description { version: Version::Hybrid, controllers, bases: [v1.bases, v2.bases].concat() }
    }

    fn create(&self, id: &ContainerId, limits: &Limits) -> Result<(), CreateError> {
        let (for_v1, for_v2) = self.split(limits)?;
        self.v2.create(id, &for_v2)?;
        self.v1.create(id, &for_v1).inspect_err(|_| {
            // Empty as it is, it cannot be busy.
            let _ = self.v2.remove(id, Duration::ZERO);
        })
    }

    fn update(&self, id: &ContainerId, limits: &Limits) -> Result<(), CreateError> {
        let (for_v1, for_v2) = self.split(limits)?;
        self.v2.update(id, &for_v2)?;
        self.v1.update(id, &for_v1)
    }

    fn entry(&self, id: &ContainerId) -> Entry {
        Entry { unified: self.v2.entry(id).unified, join: self.v1.entry(id).join }
    }

    fn processes(&self, id: &ContainerId) -> Result<Vec<i32>, GroupError> {
        let mut all = self.v1.processes(id)?;
        all.extend(self.v2.processes(id)?);
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    fn usage(&self, id: &ContainerId) -> Result<Usage, GroupError> {
        let (v1, v2) = (self.v1.usage(id)?, self.v2.usage(id)?);
        Ok(Usage {
            cpu: v1.cpu.or(v2.cpu),
            memory: v1.memory.or(v2.memory),
            pids: v1.pids.or(v2.pids),
        })
    }

    fn memory_events(&self, id: &ContainerId) -> Result<Option<MemoryEvents>, GroupError> {
        if self.v1.controls("memory") {
            self.v1.memory_events(id)
        } else {
            self.v2.memory_events(id)
        }
    }

    fn memory_watch(&self, id: &ContainerId) -> Result<Option<OwnedFd>, GroupError> {
        if self.v1.controls("memory") { self.v1.memory_watch(id) } else { self.v2.memory_watch(id) }
    }

    fn freeze(&self, id: &ContainerId, frozen: bool) -> Result<(), GroupError> {
        self.v2.freeze(id, frozen)
    }

    fn kill(&self, id: &ContainerId, within: Duration) -> Result<(), KillError> {
        self.v2.kill(id, within)?;
        // Only a process that somebody moved out of the v2 group is left for this.
        self.v1.kill(id, within)
    }

    fn remove(&self, id: &ContainerId, within: Duration) -> Result<(), KillError> {
        self.v1.remove(id, within)?;
        self.v2.remove(id, within)
    }

    fn close(&self) {
        self.v1.close();
        self.v2.close();
    }

    fn containers(&self) -> Result<Vec<ContainerId>, GroupError> {
        let mut all = self.v1.containers()?;
        all.extend(self.v2.containers()?);
        all.sort();
        all.dedup();
        Ok(all)
    }
}
