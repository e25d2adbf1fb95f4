//! Removal of users and passwords from displayed URLs.

use url::Url;

/// Replacement for a user and password.
pub const HIDDEN: &str = "***";

/// Returns the URL with `***` instead of a user and password.
#[must_use]
pub fn redacted(url: &Url) -> String {
    redacted_text(url.as_str())
}

/// As [`redacted`], for a text that may not be a valid URL.
pub fn redacted_text(text: &str) -> String {
    // Hides too much rather than too little: a later `@` may belong to a path or to a password.
    let Some(end) = text.rfind('@') else { return text.to_owned() };
    let start = text[..end].find("://").map_or(0, |scheme| scheme + "://".len());
    format!("{}{HIDDEN}{}", &text[..start], &text[end..])
}

/// Whether the text is a URL with a user or a password.
pub fn has_credentials(text: &str) -> bool {
    text.parse().is_ok_and(|url: Url| !url.username().is_empty() || url.password().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_are_hidden() {
        for (text, shown) in [
            ("https://example.org/nym", "https://example.org/nym"),
            ("https://me:pw@example.org/nym", "https://***@example.org/nym"),
            ("https://me@example.org/", "https://***@example.org/"),
            ("https://me:p@w@example.org/", "https://***@example.org/"),
            ("https://me:p/w@example.org/", "https://***@example.org/"),
            ("me:pw@example.org", "***@example.org"),
        ] {
            assert_eq!(redacted_text(text), shown);
        }
        assert_eq!(redacted(&"http://me:pw@a".parse().unwrap()), "http://***@a/");
        assert!(has_credentials("http://me@a") && has_credentials("http://:pw@a") && !has_credentials("http://a/@"));
    }
}
