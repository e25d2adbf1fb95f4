//! Parses a setting's text; `None` if the setting does not allow it.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nym_mixnode_base::text::hidden_in;
use url::Url;

use super::address::Host;
use super::home::NodeId;

const TEXT_CHARS_MAX: usize = 128;

/// Units of sizes; longer ones first, because each ends in the last one.
const SIZE_UNITS: [(&str, usize); 5] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];

pub(super) fn id(text: &str) -> Option<NodeId> {
    text.parse().ok()
}

pub(super) fn text(text: &str) -> Option<String> {
    let fits = text.chars().count() <= TEXT_CHARS_MAX && hidden_in(text).is_none();
    fits.then(|| text.to_owned())
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    let fits = !text.is_empty() && !text.ends_with('/') && !text.contains('\0');
    fits.then(|| PathBuf::from(text))
}

/// Base58 of a public key.
pub(super) fn registry_key(text: &str) -> Option<String> {
    nym_mixnode_api::signing::decode::<32>(text).map(|_| text.to_owned())
}

pub(super) fn count<N: FromStr + PartialOrd>(text: &str, allowed: RangeInclusive<N>) -> Option<N> {
    // The standard parser accepts a plus sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && allowed.contains(number))
}

pub(super) fn duration(text: &str, allowed: RangeInclusive<Duration>) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| allowed.contains(duration))
}

/// A whole number of seconds.
pub(super) fn seconds(text: &str, allowed: RangeInclusive<Duration>) -> Option<Duration> {
    duration(text, allowed).filter(|duration| duration.subsec_nanos() == 0)
}

pub(super) fn size(text: &str, allowed: RangeInclusive<usize>) -> Option<usize> {
    let (digits, unit) = SIZE_UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?;
    let bytes = count(digits.trim_end(), 0..=usize::MAX)?.checked_mul(unit)?;
    allowed.contains(&bytes).then_some(bytes)
}

/// A name that is a single path segment of the Kubernetes API.
pub(super) fn service(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (text.len() <= 63 && text.bytes().all(plain)).then(|| text.to_owned())
}

pub(super) fn switch(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// `Some(None)` is off. Port 0 takes any free one.
#[expect(clippy::option_option, reason = "whether the text is allowed, and what it then says")]
pub(super) fn address_or_off(text: &str) -> Option<Option<SocketAddr>> {
    if text == "off" { Some(None) } else { text.parse().ok().map(Some) }
}

/// `Some(None)` is off.
#[expect(clippy::option_option, reason = "whether the text is allowed, and what it then says")]
pub(super) fn host_or_off(text: &str) -> Option<Option<Host>> {
    if text == "off" { Some(None) } else { text.parse().ok().map(Some) }
}

/// Parses a flag that does not belong to a setting.
pub fn http_url(text: &str) -> Result<Url, &'static str> {
    url(text).ok_or("not an http:// or https:// URL without query or fragment")
}

pub(super) fn url(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let plain = url.query().is_none() && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && plain).then_some(url)
}

/// URL of a WebSocket with this scheme: `ws`, or `wss` for TLS.
pub(super) fn websocket_url(written: &str, scheme: &str) -> Option<String> {
    let url: Url = written.parse().ok()?;
    let plain = url.query().is_none() && url.fragment().is_none();
    let fits = url.scheme() == scheme && url.has_host() && plain;
    if fits { text(written) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_plain_digits_within_their_range() {
        assert_eq!(count("0", 0..=9), Some(0));
        assert_eq!(count("9", 0..=9), Some(9));
        for bad in ["", "10", "-1", "+1", "1.0", "0x1", "1 ", "99999999999999999999"] {
            assert_eq!(count(bad, 0..=9), None, "{bad:?}");
        }
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!(size("1048576B", 0..=usize::MAX), Some(1 << 20));
        assert_eq!(size("256MiB", 0..=usize::MAX), Some(256 << 20));
        assert_eq!(size("256 MiB", 0..=usize::MAX), Some(256 << 20));
        assert_eq!(size("1GiB", 0..=1 << 30), Some(1 << 30));
        for bad in ["256", "256MB", "MiB", "-1MiB", "1.5GiB", "2GiB", "99999999999999TiB", ""] {
            assert_eq!(size(bad, 0..=1 << 30), None, "{bad:?}");
        }
    }

    #[test]
    fn durations_need_a_unit_and_have_bounds() {
        let allowed = Duration::from_millis(1)..=Duration::from_mins(1);
        assert_eq!(duration("1500ms", allowed.clone()), Some(Duration::from_millis(1500)));
        assert_eq!(duration("1m", allowed.clone()), Some(Duration::from_mins(1)));
        assert_eq!(duration("1s 500ms", allowed.clone()), Some(Duration::from_millis(1500)));
        for bad in ["10", "0s", "61s", "-1s", "10 parsecs", "", "99999999999999999999999999days"] {
            assert_eq!(duration(bad, allowed.clone()), None, "{bad:?}");
        }
    }

    #[test]
    fn urls_are_of_plain_http_servers() {
        for good in ["http://127.0.0.1:8081", "https://example.org/nym", "http://[::1]:8081/", "http://me:pw@a"] {
            assert!(url(good).is_some(), "{good}");
        }
        for bad in ["", "example.org", "ftp://example.org", "http://", "http://a/?q", "http://a/#f"] {
            assert_eq!(url(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_address_to_serve_on_has_a_port_or_is_off() {
        assert_eq!(address_or_off("off"), Some(None));
        for good in ["127.0.0.1:8000", "[::1]:0", "0.0.0.0:9000"] {
            assert_eq!(address_or_off(good), Some(good.parse().ok()), "{good}");
        }
        for bad in ["", "on", "127.0.0.1", ":8000", "8000", "localhost:8000", "127.0.0.1:65536", "::1:8000"] {
            assert_eq!(address_or_off(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn texts_are_short_lines() {
        assert_eq!(text("Zürich, CH").as_deref(), Some("Zürich, CH"));
        assert_eq!(text(""), Some(String::new()));
        assert_eq!(text("a\nb"), None);
        assert_eq!(text(&"x".repeat(129)), None);
    }
}
