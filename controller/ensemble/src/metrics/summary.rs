//! How large something was: count, sum, least, most and, where wanted, percentiles.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// What was observed since the last reset. Cheap enough for every request; parts read while others write
/// may disagree by what is being written.
#[derive(Debug)]
pub(crate) struct Summary {
    count: AtomicU64,
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
    /// Observations by size; only for those that show percentiles.
    sizes: Option<Box<[AtomicU32; SIZES]>>,
    /// What is recorded is so many times finer than what is shown.
    scale: u64,
}

/// A summary as it is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) count: u64,
    pub(crate) sum: u64,
    pub(crate) min: u64,
    pub(crate) max: u64,
    /// With at most 4 decimals.
    pub(crate) average: f64,
}

impl Summary {
    /// Without percentiles, shown as recorded.
    pub(crate) fn basic() -> Self {
        Self {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            sizes: None,
            scale: 1,
        }
    }

    /// Recorded in µs, shown in ms.
    pub(crate) fn time() -> Self {
        Self { scale: 1000, ..Self::basic() }
    }

    /// Recorded in µs, shown in ms with percentiles.
    pub(crate) fn latency() -> Self {
        let sizes = Box::new(std::array::from_fn(|_| AtomicU32::new(0)));
        Self { sizes: Some(sizes), ..Self::time() }
    }

    pub(crate) fn record(&self, value: u64) {
        self.record_often(value, 1);
    }

    /// As many equal values.
    pub(crate) fn record_often(&self, value: u64, count: u32) {
        if count == 0 {
            return;
        }
        self.count.fetch_add(count.into(), Relaxed);
        self.sum.fetch_add(value.saturating_mul(count.into()), Relaxed);
        // Most observations are no extremes, and to look costs less than to change.
        if value < self.min.load(Relaxed) {
            self.min.fetch_min(value, Relaxed);
        }
        if value > self.max.load(Relaxed) {
            self.max.fetch_max(value, Relaxed);
        }
        if let Some(sizes) = &self.sizes {
            sizes[size(value)].fetch_add(count, Relaxed);
        }
    }

    pub(crate) fn reset(&self) {
        self.count.store(0, Relaxed);
        self.sum.store(0, Relaxed);
        self.min.store(u64::MAX, Relaxed);
        self.max.store(0, Relaxed);
        for size in self.sizes.iter().flat_map(|sizes| sizes.iter()) {
            size.store(0, Relaxed);
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        Self::seen_in([self])
    }

    /// Several summaries of one scale as one.
    pub(crate) fn seen_in<'a>(of: impl IntoIterator<Item = &'a Self>) -> Seen {
        let (mut count, mut sum, mut min, mut max, mut scale) = (0, 0, u64::MAX, 0, 1);
        for one in of {
            count += one.count.load(Relaxed);
            sum += one.sum.load(Relaxed);
            min = min.min(one.min.load(Relaxed));
            max = max.max(one.max.load(Relaxed));
            scale = one.scale;
        }
        if count == 0 {
            return Seen { count: 0, sum: 0, min: 0, max: 0, average: 0.0 };
        }
        let average = sum as f64 / count as f64 / scale as f64;
        Seen {
            count,
            sum: sum / scale,
            min: min / scale,
            max: max / scale,
            average: (average * 10_000.0).round() / 10_000.0,
        }
    }

    /// The value that `share` (0.0 to 1.0) of the observations do not exceed, to one part in eight; `None`
    /// where no sizes are kept.
    pub(crate) fn percentile(&self, share: f64) -> Option<u64> {
        let sizes = self.sizes.as_ref()?;
        let counts = sizes.iter().map(|count| u64::from(count.load(Relaxed)));
        let total: u64 = counts.clone().sum();
        let wanted = total as f64 * share;
        let mut below = 0;
        for (size, count) in counts.enumerate() {
            below += count;
            if below > 0 && below as f64 >= wanted {
                return Some(least_of(size) / self.scale);
            }
        }
        Some(0)
    }
}

/// Exact below 16, then eight sizes for each doubling.
fn size(value: u64) -> usize {
    if value < 16 {
        return usize::try_from(value).unwrap_or(0);
    }
    let power = value.ilog2();
    let eighth = (value >> (power - 3)) & 7;
    let at = 16 + u64::from(power - 4) * 8 + eighth;
    usize::try_from(at).unwrap_or(SIZES).min(SIZES - 1)
}

fn least_of(size: usize) -> u64 {
    let size = size as u64;
    match size.checked_sub(16) {
        None => size,
        Some(above) => (8 + above % 8) << (above / 8 + 1),
    }
}

/// Up to 2^36: 19 hours of µs.
const SIZES: usize = 16 + 32 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_an_eighth() {
        let summary = Summary { scale: 1, ..Summary::latency() };
        for value in 1..=1000 {
            summary.record(value);
        }
        let seen = summary.seen();
        assert_eq!((seen.count, seen.min, seen.max, seen.average), (1000, 1, 1000, 500.5));
        for (share, exact) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = summary.percentile(share).expect("sizes are kept") as f64;
            assert!(found <= exact && found > exact * 7.0 / 8.0, "{share}: {found}");
        }
        summary.reset();
        assert_eq!((summary.seen().count, summary.percentile(0.5)), (0, Some(0)));
    }

    #[test]
    fn every_value_has_a_size_that_begins_at_or_below_it() {
        for power in 0..64 {
            for value in [1 << power, (1 << power) + 1, u64::MAX >> (63 - power)] {
                assert!(least_of(size(value)) <= value, "{value}");
            }
        }
    }
}
