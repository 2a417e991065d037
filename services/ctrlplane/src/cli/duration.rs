//! Durations as people write them.

use std::time::Duration;

/// `90s`, `30m`, `2h`, `30d`; a bare number is seconds.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let seconds = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("write 90s, 30m, 2h or 30d".to_owned()),
    };
    let number: u32 = digits.parse().map_err(|_| "write 90s, 30m, 2h or 30d".to_owned())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_or_are_seconds() {
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("30d", 2_592_000), ("5", 5)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "5w", "1.5h", "-1s", "99999999999s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
