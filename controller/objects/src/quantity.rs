//! Kubernetes quantities: `100m`, `1.5Gi`, `12e6`.
//!
//! Lives here: reading, comparing, writing in canonical form, exactly (decimal and binary suffixes, no
//! floats). Must not: know what a quantity is of. Start at [`Quantity::parse`].
//! Source: `k8s.io/apimachinery/pkg/api/resource`, format and rounding rules.

use std::cmp::Ordering;
use std::fmt;

/// An amount in units of 10⁻⁹, with the form it was written in.
///
/// Equal and ordered by amount alone: `1Gi` equals `1024Mi`.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// How a quantity is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// `m`, `k`, `M`…
    Decimal,
    /// `Ki`, `Mi`…
    Binary,
    /// `e3`.
    Exponent,
}

/// Why a text is not a quantity.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum QuantityError {
    /// Not of the form.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Form,
    /// The suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// Reads a quantity. Amounts finer than 10⁻⁹ are rounded away from zero; amounts beyond 2⁶³−1 are
    /// capped there, as Kubernetes does.
    ///
    /// # Errors
    /// The text is not a number with a known suffix.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::Form);
        }
        let (scale, format) = scale(suffix)?;
        let magnitude = amount(whole, fraction, scale);
        let nanos = if negative { -magnitude } else { magnitude };
        Ok(Self { nanos, format })
    }

    /// The amount in units of 10⁻⁹.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// The amount, rounded up to whole units.
    pub fn ceil(self) -> i64 {
        clamp(div_away_up(self.nanos, NANO))
    }

    /// The amount in thousandths, rounded up.
    pub fn milli(self) -> i64 {
        clamp(div_away_up(self.nanos, NANO / 1000))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// The canonical form: the largest suffix that leaves no fraction.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        // Binary suffixes need whole units, and Kubernetes uses them from 1024 on.
        let binary = self.format == Format::Binary
            && self.nanos % NANO == 0
            && self.nanos.abs() >= 1024 * NANO;
        if binary {
            let mut value = self.nanos / NANO;
            let mut suffix = 0;
            while value % 1024 == 0 && suffix + 1 < BINARY.len() {
                value /= 1024;
                suffix += 1;
            }
            return write!(f, "{value}{}", BINARY[suffix]);
        }
        let mut value = self.nanos;
        let mut step = 0;
        while value % 1000 == 0 && step + 1 < DECIMAL.len() {
            value /= 1000;
            step += 1;
        }
        match (self.format, step) {
            (Format::Exponent, 3) => write!(f, "{value}"),
            (Format::Exponent, _) => write!(f, "{value}e{}", step.cast_signed() * 3 - 9),
            _ => write!(f, "{value}{}", DECIMAL[step]),
        }
    }
}

/// What a suffix multiplies by.
enum Scale {
    /// 10 to this power.
    Ten(i32),
    /// 1024 to this power.
    Kibi(u32),
}

fn scale(suffix: &str) -> Result<(Scale, Format), QuantityError> {
    if let Some(index) = BINARY.iter().position(|s| *s == suffix)
        && let Ok(power) = u32::try_from(index)
        && power > 0
    {
        return Ok((Scale::Kibi(power), Format::Binary));
    }
    if let Some(index) = DECIMAL.iter().position(|s| *s == suffix)
        && let Ok(index) = i32::try_from(index)
    {
        return Ok((Scale::Ten(index * 3 - 9), Format::Decimal));
    }
    if let Some(exponent) = suffix.strip_prefix(['e', 'E']) {
        let exponent: i32 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
        return Ok((Scale::Ten(exponent), Format::Exponent));
    }
    Err(QuantityError::Suffix)
}

/// `whole.fraction × scale` in units of 10⁻⁹, rounded up, capped.
fn amount(whole: &str, fraction: &str, scale: Scale) -> i128 {
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').collect();
    let Ok(decimals) = i32::try_from(fraction.len()) else { return 0 };
    match scale {
        Scale::Ten(power) => {
            scaled(&digits, power.saturating_sub(decimals).saturating_add(9)).min(MAX_NANOS)
        }
        Scale::Kibi(power) => {
            // Digits beyond 30 decimals cannot change an amount of nanos.
            let kept = digits.len().min(whole.len() + 18);
            let decimals = decimals.min(18);
            let mantissa = scaled(&digits[..kept], 0);
            let factor = 1024_i128.pow(power);
            let Some(product) = mantissa.checked_mul(factor) else { return MAX_NANOS };
            match 9 - decimals {
                up if up >= 0 => product
                    .checked_mul(10_i128.pow(up.unsigned_abs()))
                    .map_or(MAX_NANOS, |n| n.min(MAX_NANOS)),
                down => div_away_up(product, 10_i128.pow(down.unsigned_abs())).min(MAX_NANOS),
            }
        }
    }
}

/// The digits as a number times ten to `power`, rounded up, capped at [`MAX_NANOS`].
fn scaled(digits: &[u8], power: i32) -> i128 {
    let keep = match power {
        0.. => digits.len(),
        _ => {
            digits.len().saturating_sub(usize::try_from(power.unsigned_abs()).unwrap_or(usize::MAX))
        }
    };
    let mut value: i128 = 0;
    for &digit in &digits[..keep] {
        value = value * 10 + i128::from(digit);
        if value > MAX_NANOS {
            return MAX_NANOS;
        }
    }
    for _ in 0..power.max(0) {
        if value == 0 {
            return 0;
        }
        value *= 10;
        if value > MAX_NANOS {
            return MAX_NANOS;
        }
    }
    let lost = digits[keep..].iter().any(|&digit| digit != 0);
    value + i128::from(lost)
}

/// Division that rounds up for positive amounts and down for negative ones.
fn div_away_up(value: i128, by: i128) -> i128 {
    let quotient = value / by;
    match value % by {
        0 => quotient,
        rest if rest > 0 => quotient + 1,
        _ => quotient - 1,
    }
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

const NANO: i128 = 1_000_000_000;
/// 2⁶³−1 units.
const MAX_NANOS: i128 = i64::MAX as i128 * NANO;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_forms() {
        let cases = [
            ("0", "0"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1.5", "1500m"),
            ("0.5Gi", "512Mi"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("512Ki", "512Ki"),
            ("1000Ki", "1000Ki"),
            ("12e6", "12e6"),
            ("1200", "1200"),
            ("12000", "12k"),
            ("-1500m", "-1500m"),
            ("+5", "5"),
            (".5", "500m"),
            ("5.", "5"),
            ("0.1n", "1n"),
            ("1E", "1E"),
            ("1E3", "1e3"),
            ("99999999999999999999", "9223372036854775807"),
            ("0.001Ki", "1024m"),
            ("100Ei", "9223372036854775807"),
        ];
        for (text, canonical) in cases {
            let quantity = Quantity::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(quantity.to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn amounts_compare_across_forms() {
        let parse = |text| Quantity::parse(text).expect("valid");
        assert_eq!(parse("1Gi"), parse("1024Mi"));
        assert!(parse("1G") < parse("1Gi"));
        assert!(parse("-1") < parse("0"));
        assert_eq!(parse("1.1").ceil(), 2);
        assert_eq!(parse("250m").milli(), 250);
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for bad in ["", "-", ".", "1.2.3", "x", "1x", "1 Gi", "Gi", "1e", "1ki", "--1", "1e1.5"] {
            assert!(Quantity::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn canonical_form_keeps_amount_and_is_stable(
            whole in 0_u64..1_000_000_000, fraction in "[0-9]{0,9}",
            suffix in "(|n|u|m|k|M|G|Ki|Mi|Gi|e3|e-2)",
        ) {
            let text = format!("{whole}.{fraction}{suffix}");
            let quantity = Quantity::parse(&text).expect("valid");
            let again = Quantity::parse(&quantity.to_string()).expect("canonical is valid");
            prop_assert_eq!(quantity, again);
            prop_assert_eq!(quantity.to_string(), again.to_string());
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,40}") {
            let _ = Quantity::parse(&text);
        }
    }
}
