//! Apache ZooKeeper as members of the same ensembles.

use std::path::Path;
use std::process::{Child, Command};

use crate::support::Ensemble;
pub(crate) use crate::support::zookeeper_lib as lib;

/// One of Apache's. Dropping it kills it, as a crash would.
pub(crate) struct Apache(Child);

impl Apache {
    /// Starts member `id` of the ensemble over the directory that ours would have.
    pub(crate) fn start(ensemble: &Ensemble, id: i64) -> Self {
        let data = ensemble.data_dir(id);
        std::fs::create_dir_all(&data).expect("it is writable");
        std::fs::write(data.join("myid"), id.to_string()).expect("it is writable");
        Self::run(ensemble, id, &ensemble.zoo_cfg(id))
    }

    /// Starts it with this file.
    pub(crate) fn run(ensemble: &Ensemble, id: i64, file: &Path) -> Self {
        let lib = lib().expect("the caller has looked");
        let log = std::fs::File::create(ensemble.dir.path().join(format!("apache-{id}.log")));
        let log = log.expect("it is writable");
        let open = if ensemble.reconfig { "yes" } else { "no" };
        let child = Command::new("java")
            .arg(format!("-Dzookeeper.skipACL={open}"))
            .args(["-Xmx200m", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .args(&ensemble.apaches_flags)
            .args(["-cp", &format!("{}/*", lib.display())])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(file)
            .stdout(log.try_clone().expect("it is a file"))
            .stderr(log)
            .spawn()
            .expect("java is installed");
        Self(child)
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it was started");
    }
}
