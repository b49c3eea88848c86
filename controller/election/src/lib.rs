//! Who leads: contender and detector over an ensemble, in Mesos's znode format.
