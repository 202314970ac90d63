//! Times as scenarios write them, and as reports show them.

use std::time::Duration;

/// Reads `500ms`, `30s`, `1.5s`, `1m30s`, `2h`. `None` if it is nothing of the kind, or longer than a year.
pub fn parse(text: &str) -> Option<Duration> {
    const YEAR: u64 = 365 * 24 * 3600 * 1000;
    let mut rest = text.trim();
    let mut millis: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let unit: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let part = match number.split_once('.') {
            None => number.parse::<u64>().ok()?.checked_mul(unit)?,
            Some((whole, fraction)) => {
                let places = u32::try_from(fraction.len()).ok().filter(|n| *n <= 3)?;
                let fraction: u64 = fraction.parse().ok()?;
                let whole: u64 = whole.parse().ok()?;
                let fraction = fraction * unit / 10_u64.pow(places);
                whole.checked_mul(unit)?.checked_add(fraction)?
            }
        };
        millis = millis.checked_add(part).filter(|sum| *sum <= YEAR)?;
        rest = next;
    }
    Some(Duration::from_millis(millis))
}

/// `350ms`, `8.1s`, `42s`, `1m05s`, `2h00m`: what tells two of them apart, and no more.
pub fn show(time: Duration) -> String {
    let tenths = (time.as_millis() + 50) / 100;
    let seconds = tenths / 10;
    match seconds {
        _ if time.as_millis() == 0 => "0s".to_owned(),
        _ if time.as_millis() < 950 => format!("{}ms", time.as_millis()),
        0..60 if !tenths.is_multiple_of(10) => format!("{seconds}.{}s", tenths % 10),
        0..60 => format!("{seconds}s"),
        60..3600 if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ if seconds % 3600 / 60 == 0 => format!("{}h", seconds / 3600),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `m:ss.t`, for columns of times.
pub fn offset(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    let (minutes, seconds) = (tenths / 600, tenths / 10 % 60);
    format!("{minutes}:{seconds:02}.{}", tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_units() {
        let millis = |text: &str| parse(text).map(|time| time.as_millis());
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("1m30s"), Some(90_000));
        assert_eq!(millis("1.5s"), Some(1500));
        assert_eq!(millis("2h"), Some(7_200_000));
        assert_eq!(millis("0s"), Some(0));
        for wrong in [
            "",
            "5",
            "s",
            "5 s",
            "-1s",
            "1.s",
            "1e3s",
            "5d",
            "99999999999999h",
            "9000h",
            "18446744073709551.999s",
        ] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_shown_as_short_as_they_can_be_told_apart() {
        let shown = |millis| show(Duration::from_millis(millis));
        assert_eq!(
            [0, 350, 8_149, 42_000, 65_400, 120_000, 7_260_000].map(shown),
            ["0s", "350ms", "8.1s", "42s", "1m05s", "2m", "2h01m"]
        );
        assert_eq!(offset(Duration::from_millis(65_432)), "1:05.4");
    }
}
