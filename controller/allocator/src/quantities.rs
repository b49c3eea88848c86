//! Scalars as a vector over the kinds of resources that the cluster knows.

use std::sync::Arc;

use types::Resources;
use types::resources::{ResourceKey, Value};

/// The names of scalar resources, each with a small index; never forgotten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kinds {
    names: Vec<Arc<str>>,
}

impl Kinds {
    /// The index of a name, new if need be.
    pub(crate) fn index(&mut self, name: &str) -> usize {
        if let Some(at) = self.find(name) {
            return at;
        }
        self.names.push(name.into());
        self.names.len() - 1
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        // A cluster has a handful of kinds, so a scan beats a map.
        self.names.iter().position(|held| **held == *name)
    }

    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The sums of the scalars that `keep` wants.
    pub(crate) fn measure(
        &mut self,
        resources: &Resources,
        mut keep: impl FnMut(&ResourceKey) -> bool,
    ) -> Quantities {
        let mut sums = Quantities::default();
        for (key, value) in resources.iter() {
            if let Value::Scalar(amount) = value
                && keep(key)
            {
                let at = self.index(&key.name);
                sums.add_at(at, amount.milli());
            }
        }
        sums
    }
}

/// Whether a quota counts it as it is handed out: reservations are counted when they are made, and
/// revocable resources never.
pub(crate) fn counts_for_quota(key: &ResourceKey) -> bool {
    key.reservations.is_empty() && !key.revocable
}

/// Thousandths by kind; a missing tail is zero. May be negative only inside a difference.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Quantities(Vec<i64>);

impl Quantities {
    pub(crate) fn get(&self, at: usize) -> i64 {
        self.0.get(at).copied().unwrap_or(0)
    }

    pub(crate) fn add_at(&mut self, at: usize, milli: i64) {
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] = self.0[at].saturating_add(milli);
    }

    pub(crate) fn add(&mut self, more: &Self) {
        for (at, milli) in more.iter() {
            self.add_at(at, milli);
        }
    }

    pub(crate) fn subtract(&mut self, less: &Self) {
        for (at, milli) in less.iter() {
            self.add_at(at, milli.saturating_neg());
        }
    }

    /// Kinds of which there is something, with how much.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, i64)> {
        self.0.iter().copied().enumerate().filter(|(_, milli)| *milli != 0)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.iter().all(|milli| *milli == 0)
    }
}
