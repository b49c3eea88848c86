//! Ages as a person reads them: `8m8s`, `3d4h`.
//!
//! Lives here: the human form of a span of time, and the cell for a point in time. Must not: read a
//! clock. Start at [`human`].

use jiff::Timestamp;

/// A span as kubectl prints it: two units while they tell something, then one.
///
/// `seconds` below zero by more than a blink prints `<invalid>`. Source: `k8s.io/apimachinery`
/// `duration.HumanDuration`.
pub fn human(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

/// The age, at `now`, of a point in time in RFC 3339; `<invalid>` when it is none or lies ahead.
pub fn age(point: &str, now: Timestamp) -> String {
    match point.parse::<Timestamp>() {
        // Whole seconds: the two clocks read may be the same clock read twice.
        Ok(then) => human(now.duration_since(then).as_secs()),
        Err(_) => "<invalid>".into(),
    }
}

fn pair(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit}{small}{small_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_in_kubectl() {
        let (hour, day, year) = (3600, 86_400, 365 * 86_400);
        let cases = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (488, "8m8s"),
            (600, "10m"),
            (3 * hour - 1, "179m"),
            (3 * hour, "3h"),
            (7 * hour + 62, "7h1m"),
            (8 * hour, "8h"),
            (48 * hour - 1, "47h"),
            (3 * day + 4 * hour, "3d4h"),
            (8 * day, "8d"),
            (2 * year, "2y"),
            (2 * year + 3 * day, "2y3d"),
            (9 * year, "9y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn what_is_no_time_is_invalid() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().expect("valid");
        assert_eq!(age("2026-01-01T00:00:00Z", now), "10m");
        assert_eq!(age("2026-01-01T00:20:00Z", now), "<invalid>");
        assert_eq!(age("soon", now), "<invalid>");
    }
}
