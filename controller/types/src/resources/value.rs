//! One amount: a scalar of three decimals, ranges of integers, or a set of words.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// A quantity in thousandths, 0 or more.
///
/// Invariant: `0 <= milli`. What a person or peer gives is at most 9·10^12 units, so that sums of
/// hundreds of agents stay exact; beyond that they saturate.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Scalar(i64);

impl Scalar {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most that one amount may be: 9·10^12 units.
    pub const MAX: Self = Self(9_000_000_000_000_000);

    /// So many thousandths; negative is taken as zero.
    pub const fn from_milli(milli: i64) -> Self {
        Self(if milli < 0 { 0 } else { milli })
    }

    /// Rounds to three decimals, half away from zero, as Mesos does.
    pub fn from_f64(units: f64) -> Result<Self, BadScalar> {
        if !units.is_finite() {
            return Err(BadScalar::NotFinite);
        }
        let milli = (units * 1000.0).round();
        if milli < 0.0 {
            return Err(BadScalar::Negative);
        }
        if milli > 9e15 {
            return Err(BadScalar::TooLarge);
        }
        #[allow(clippy::cast_possible_truncation, reason = "a whole number up to 9e15 fits an i64")]
        Ok(Self(milli as i64))
    }

    /// Thousandths.
    pub const fn milli(self) -> i64 {
        self.0
    }

    /// Units; exact to three decimals for every amount that may be given.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, at most what an `i64` holds.
    pub const fn saturating_add(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }

    /// The difference, at least zero.
    pub const fn saturating_sub(self, less: Self) -> Self {
        Self::from_milli(self.0.saturating_sub(less.0))
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 / 1000)?;
        match self.0 % 1000 {
            0 => Ok(()),
            rest => f.write_str(format!(".{rest:03}").trim_end_matches('0')),
        }
    }
}

/// Why a number is no amount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BadScalar {
    /// NaN or infinity.
    NotFinite,
    /// Below zero.
    Negative,
    /// Above 9·10^12.
    TooLarge,
}

impl fmt::Display for BadScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFinite => "it is not a finite number",
            Self::Negative => "it is negative",
            Self::TooLarge => "it is above 9000000000000",
        })
    }
}

impl std::error::Error for BadScalar {}

/// Inclusive ranges of integers, sorted, apart by at least one (adjacent ones merge).
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RangeSet(Vec<(u64, u64)>);

impl RangeSet {
    /// The integers from `begin` to `end`, both in; empty when `begin > end`.
    pub fn new(begin: u64, end: u64) -> Self {
        Self(if begin <= end { vec![(begin, end)] } else { Vec::new() })
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().copied()
    }

    /// Every integer in it, ascending.
    pub fn values(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|&(begin, end)| begin..=end)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this integer is in it.
    pub fn has(&self, value: u64) -> bool {
        let after = self.0.partition_point(|&(begin, _)| begin <= value);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|&(_, end)| value <= end)
    }

    /// Whether all of `part` is in it.
    pub fn contains(&self, part: &Self) -> bool {
        part.0.iter().all(|&(begin, end)| {
            let after = self.0.partition_point(|&(b, _)| b <= begin);
            after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|&(_, e)| end <= e)
        })
    }

    /// The union.
    pub fn add(&mut self, more: &Self) {
        self.0.extend_from_slice(&more.0);
        self.0.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(self.0.len());
        for &(begin, end) in &self.0 {
            match merged.last_mut() {
                Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
                _ => merged.push((begin, end)),
            }
        }
        self.0 = merged;
    }

    /// The difference.
    pub fn remove(&mut self, part: &Self) {
        for &(from, to) in &part.0 {
            let mut left = Vec::with_capacity(self.0.len() + 1);
            for &(begin, end) in &self.0 {
                if end < from || to < begin {
                    left.push((begin, end));
                    continue;
                }
                if begin < from {
                    left.push((begin, from - 1));
                }
                if to < end {
                    left.push((to + 1, end));
                }
            }
            self.0 = left;
        }
    }
}

/// One amount of one kind.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Value {
    /// So much of it.
    Scalar(Scalar),
    /// These integers.
    Ranges(RangeSet),
    /// These words.
    Set(BTreeSet<Arc<str>>),
}

impl Value {
    /// Whether it amounts to nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.is_zero(),
            Self::Ranges(ranges) => ranges.is_empty(),
            Self::Set(set) => set.is_empty(),
        }
    }

    /// Whether `part` is of the same kind and all in here.
    pub fn contains(&self, part: &Self) -> bool {
        match (self, part) {
            (Self::Scalar(have), Self::Scalar(want)) => have >= want,
            (Self::Ranges(have), Self::Ranges(want)) => have.contains(want),
            (Self::Set(have), Self::Set(want)) => have.is_superset(want),
            _ => false,
        }
    }

    /// Adds an amount of the same kind; another kind comes back.
    pub(super) fn add(&mut self, more: Self) -> Result<(), Self> {
        match (self, more) {
            (Self::Scalar(have), Self::Scalar(more)) => *have = have.saturating_add(more),
            (Self::Ranges(have), Self::Ranges(more)) => have.add(&more),
            (Self::Set(have), Self::Set(more)) => have.extend(more),
            (_, other) => return Err(other),
        }
        Ok(())
    }

    /// Takes out what there is of `part`; another kind takes nothing.
    pub(super) fn remove(&mut self, part: &Self) {
        match (self, part) {
            (Self::Scalar(have), Self::Scalar(less)) => *have = have.saturating_sub(*less),
            (Self::Ranges(have), Self::Ranges(less)) => have.remove(less),
            (Self::Set(have), Self::Set(less)) => have.retain(|word| !less.contains(word)),
            _ => {}
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => write!(f, "{scalar}"),
            Self::Ranges(ranges) => {
                let parts: Vec<_> = ranges.iter().map(|(b, e)| format!("{b}-{e}")).collect();
                write!(f, "[{}]", parts.join(", "))
            }
            Self::Set(set) => {
                let parts: Vec<&str> = set.iter().map(|word| &**word).collect();
                write!(f, "{{{}}}", parts.join(", "))
            }
        }
    }
}
