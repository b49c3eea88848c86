//! Limits and accounts of containers on cgroup v1, v2 and hybrid hosts, behind one trait.
