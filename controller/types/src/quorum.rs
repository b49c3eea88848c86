//! The quorum's ids.

use std::fmt;

const COUNTER_MASK: u64 = 0xffff_ffff;

/// Place of a transaction in the total order: epoch in the high 32 bits, counter in the low 32.
///
/// Source: `ZxidUtils.java`, Apache ZooKeeper 3.9. `Debug` prints it as operators see it: 0x200000001.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Zxid(u64);

impl Zxid {
    /// Nothing was ever written.
    pub const ZERO: Self = Self(0);

    /// The zxid with this epoch and counter.
    pub const fn new(epoch: Epoch, counter: u32) -> Self {
        Self(((epoch.0 as u64) << 32) | counter as u64)
    }

    /// From the 64 bits of the wire.
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits.cast_unsigned())
    }

    /// To the 64 bits of the wire.
    pub const fn bits(self) -> i64 {
        self.0.cast_signed()
    }

    /// The leader's reign it belongs to.
    pub const fn epoch(self) -> Epoch {
        Epoch((self.0 >> 32) as u32)
    }

    /// Its place within the epoch; 0 is no transaction.
    pub const fn counter(self) -> u32 {
        (self.0 & COUNTER_MASK) as u32
    }

    /// The next zxid of this epoch; `None` when the counter is spent and the leader must resign.
    pub const fn next(self) -> Option<Self> {
        if self.0 & COUNTER_MASK == COUNTER_MASK { None } else { Some(Self(self.0 + 1)) }
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A leader's reign; each new leader has a higher one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The reign after this one; `None` when all are spent.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// A member of an ensemble: the number in its `myid` file, the `N` of `server.N`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerId(pub i64);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A client's session. `Debug` and `Display` print it in hexadecimal, as operators see it.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub i64);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zxid_counts_within_its_epoch_and_stops_at_the_end() {
        let zxid = Zxid::new(Epoch(2), 1);
        assert_eq!(format!("{zxid:?}"), "0x200000001");
        assert_eq!(zxid.next().map(|z| (z.epoch(), z.counter())), Some((Epoch(2), 2)));
        assert_eq!(Zxid::new(Epoch(2), u32::MAX).next(), None);
        assert_eq!(Zxid::from_bits(zxid.bits()), zxid);
    }
}
