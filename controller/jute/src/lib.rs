//! ZooKeeper's client and peer packets and its transaction records, to and from bytes.
