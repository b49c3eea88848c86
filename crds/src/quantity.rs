//! Amounts and durations as people write them: `500m`, `256Mi`, `1m30s`.
//!
//! Lives here: the two string types, their schemas and their values. Source: Kubernetes
//! `apimachinery/pkg/api/resource/quantity.go` (the suffixes), Go `time.ParseDuration` (the units).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// A Kubernetes quantity, zero or more: a number with an optional suffix (`100m`, `2`, `64Mi`, `1.5Gi`).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

const QUANTITY: &str = r"^[0-9]+(\.[0-9]{1,9})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$";

impl Quantity {
    /// From text; check with [`Quantity::millis`].
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value in thousandths, rounded up; `None` when the text is no quantity or exceeds an `i64`.
    pub fn millis(&self) -> Option<i64> {
        let text = self.0.as_str();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        let (numerator, denominator): (i128, i128) = match suffix {
            "m" => (1, 1),
            "" => (1_000, 1),
            "k" => (1_000_000, 1),
            "M" => (1_000_000_000, 1),
            "G" => (1_000_000_000_000, 1),
            "T" => (1_000_000_000_000_000, 1),
            "P" => (1_000_000_000_000_000_000, 1),
            "Ki" => (1_000 << 10, 1),
            "Mi" => (1_000 << 20, 1),
            "Gi" => (1_000 << 30, 1),
            "Ti" => (1_000 << 40, 1),
            "Pi" => (1_000 << 50, 1),
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.len() > 9 || (number.contains('.') && fraction.is_empty()) {
            return None;
        }
        let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
        let exact = mantissa.checked_mul(numerator)?;
        let divisor = denominator * scale;
        i64::try_from(exact / divisor + i128::from(exact % divisor != 0)).ok()
    }

    /// The value in whole units (bytes for memory and disk), rounded up.
    pub fn units(&self) -> Option<i64> {
        // Bytes beyond i64::MAX / 1000 have no place in one machine, so thousandths serve for both.
        self.millis().map(|millis| millis / 1_000 + i64::from(millis % 1_000 != 0))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Whole(i64),
            Decimal(f64),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(text) => Self(text),
            Written::Whole(number) => Self(number.to_string()),
            Written::Decimal(number) => Self(number.to_string()),
        })
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "x-kubernetes-int-or-string": true,
            "pattern": QUANTITY,
            "maxLength": 40,
        })
    }
}

/// A duration as Go writes it: numbers with units, `300ms`, `30s`, `1m30s`, `168h`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct GoDuration(pub String);

const DURATION: &str = r"^([0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h))+$";

impl GoDuration {
    /// From text; check with [`GoDuration::value`].
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The length; `None` when the text is no duration or its milliseconds exceed a `u64`.
    pub fn value(&self) -> Option<Duration> {
        let mut rest = self.0.as_str();
        let mut total = Duration::ZERO;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let seconds = match unit {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                _ => return None,
            };
            let number: f64 = number.parse().ok()?;
            total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
            rest = tail;
        }
        Some(total)
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": DURATION, "maxLength": 40 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_exact_values_rounded_up() {
        let millis = |text: &str| Quantity::new(text).millis();
        assert_eq!(millis("100m"), Some(100));
        assert_eq!(millis("2"), Some(2_000));
        assert_eq!(millis("1.5"), Some(1_500));
        assert_eq!(millis("0.0001"), Some(1));
        assert_eq!(Quantity::new("64Mi").units(), Some(64 << 20));
        assert_eq!(Quantity::new("1.5Gi").units(), Some(3 << 29));
        assert_eq!(Quantity::new("1k").units(), Some(1_000));
        for wrong in ["", "m", "1.", ".5", "1.5.5", "-1", "1mi", "99999999999P"] {
            assert_eq!(millis(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_quantity_may_be_written_as_a_number() {
        let read = |json: &str| serde_json::from_str::<Quantity>(json).expect("a quantity").0;
        assert_eq!(read("2"), "2");
        assert_eq!(read("0.5"), "0.5");
        assert_eq!(read("\"1Gi\""), "1Gi");
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let value = |text: &str| GoDuration::new(text).value();
        assert_eq!(value("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(value("1.5s"), Some(Duration::from_millis(1_500)));
        for wrong in ["", "5", "s", "5 s", "-1s", "1d"] {
            assert_eq!(value(wrong), None, "{wrong:?}");
        }
    }
}
