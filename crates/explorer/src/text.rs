//! Texts of strangers, numbers and times, as the pages show them.

use std::time::{Duration, UNIX_EPOCH};

use nym_mixnode_base::count::noun;
use nym_mixnode_base::text::is_hidden;

/// Last second that a date can have.
const DATE_MAX: i64 = 253_402_300_799;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A stranger's text with at most this many characters. Each invisible one becomes a replacement character.
pub(crate) fn shown(text: &str, chars_max: usize) -> String {
    let visible = |character| if is_hidden(character) { char::REPLACEMENT_CHARACTER } else { character };
    let mut shown: String = text.chars().take(chars_max).map(visible).collect();
    if text.chars().nth(chars_max).is_some() {
        shown.push('…');
    }
    shown
}

/// Beginning and end of a key.
pub(crate) fn short_key(key: &str) -> String {
    let chars: Vec<char> = shown(key, 64).chars().collect();
    if chars.len() <= 16 {
        return chars.iter().collect();
    }
    let (first, last) = (&chars[..8], &chars[chars.len() - 4..]);
    first.iter().chain(['…'].iter()).chain(last).collect()
}

/// A reputation, as [`number`].
pub(crate) fn reputation(score: i64) -> String {
    usize::try_from(score).map_or_else(|_| score.to_string(), number)
}

/// A whole number with spaces between groups of three digits.
pub(crate) fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with the word for what it counts.
pub(crate) fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(count), noun(count, one, many))
}

/// A share in per cent, with one decimal. 100 % means all, and 0 % none.
pub(crate) fn percent(passed: u64, total: u64) -> String {
    let per_mille = u128::from(passed) * 1000 / u128::from(total.max(1));
    match per_mille {
        1000.. => "100\u{202f}%".to_owned(),
        0 if passed > 0 => "0.1\u{202f}%".to_owned(),
        0 => "0\u{202f}%".to_owned(),
        _ => format!("{}.{}\u{202f}%", per_mille / 10, per_mille % 10),
    }
}

/// Seconds in words, rounded to one unit.
pub(crate) fn duration(seconds: i64) -> String {
    let (amount, unit) = match seconds {
        ..MINUTE => (seconds.max(0), "s"),
        MINUTE..HOUR => (seconds / MINUTE, "min"),
        HOUR..DAY => (seconds / HOUR, "h"),
        _ => (seconds / DAY, noun(seconds / DAY, "day", "days")),
    };
    format!("{amount}\u{a0}{unit}")
}

/// How long ago a time was.
pub(crate) fn ago(now: i64, at: i64) -> String {
    match now.saturating_sub(at) {
        ..5 => "just now".to_owned(),
        seconds => format!("{} ago", duration(seconds)),
    }
}

/// Date and time of day, for programs.
pub(crate) fn rfc3339(at: i64) -> String {
    let seconds = u64::try_from(at.clamp(0, DATE_MAX)).unwrap_or_default();
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// Date and time of day to the minute, for people.
pub(crate) fn date(at: i64) -> String {
    let full = rfc3339(at);
    let (day, time) = full.split_once('T').unwrap_or((&full, ""));
    format!("{day} {} UTC", time.get(..5).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_are_cut_and_lose_their_invisible_characters() {
        for (text, expected) in [
            ("", ""),
            ("Zürich", "Zürich"),
            ("12345678", "12345678"),
            ("123456789", "12345678…"),
            ("a\u{202e}b\nc", "a\u{fffd}b\u{fffd}c"),
            ("東京東京東京東京東京", "東京東京東京東京…"),
        ] {
            assert_eq!(shown(text, 8), expected);
        }
    }

    #[test]
    fn keys_are_shortened_to_both_ends() {
        assert_eq!(short_key("8ZV4kdaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaxK2p"), "8ZV4kdaa…xK2p");
        assert_eq!(short_key("short"), "short");
        assert_eq!(short_key(&"ü".repeat(100)), format!("{}…üüü…", "ü".repeat(8)));
    }

    #[test]
    fn numbers_have_groups_of_three_digits() {
        let expected = [(0, "0"), (999, "999"), (1000, "1\u{202f}000"), (1_234_567, "1\u{202f}234\u{202f}567")];
        for (value, expected) in expected {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn shares_are_never_rounded_to_all_or_none() {
        for (passed, total, expected) in [
            (0, 0, "0"),
            (0, 10, "0"),
            (1, 100_000, "0.1"),
            (1, 3, "33.3"),
            (99_999, 100_000, "99.9"),
            (u64::MAX, u64::MAX, "100"),
        ] {
            assert_eq!(percent(passed, total), format!("{expected}\u{202f}%"));
        }
    }

    #[test]
    fn times_are_in_the_largest_whole_unit() {
        for (seconds, expected) in [
            (-5, "just now"),
            (4, "just now"),
            (59, "59\u{a0}s ago"),
            (119, "1\u{a0}min ago"),
            (7200, "2\u{a0}h ago"),
            (DAY, "1\u{a0}day ago"),
            (i64::MAX, "106751991167300\u{a0}days ago"),
        ] {
            assert_eq!(ago(0, seconds.checked_neg().unwrap()), expected);
        }
        assert_eq!(date(1_764_440_400), "2025-11-29 18:20 UTC");
        assert_eq!(rfc3339(i64::MIN), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59Z");
    }
}
