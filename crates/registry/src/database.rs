//! URL of a PostgreSQL database.

use std::fmt;
use std::str::FromStr;

use nym_mixnode_base::redact::redacted_text;
use url::Url;
use zeroize::Zeroizing;

/// URL of a PostgreSQL database, perhaps with a password. Displayed without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Zeroizing<String>);

impl DatabaseUrl {
    /// Whether the URL contains a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.0
            .parse()
            .is_ok_and(|url: Url| url.password().is_some() || url.query_pairs().any(|(key, _)| key == "password"))
    }

    /// The URL with its password.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // The error of the parser contains no part of the URL.
        let url: Url = text.parse().map_err(|error| format!("it is not a URL: {error}"))?;
        match url.scheme() {
            "postgres" | "postgresql" => Ok(Self(Zeroizing::new(text.to_owned()))),
            other => Err(format!("the scheme is {other:?}; use postgres://user@host/database")),
        }
    }
}

/// Without user, password and parameters.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = redacted_text(&self.0);
        f.write_str(shown.split('?').next().unwrap_or_default())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_user_password_and_parameters() {
        for (text, shown, has_password) in [
            ("postgres://db.example/nym", "postgres://db.example/nym", false),
            (
                "postgresql://nym:s3cret@db.example:5433/nym?sslmode=require",
                "postgresql://***@db.example:5433/nym",
                true,
            ),
            ("postgres:///nym?host=/run/postgresql&password=s3cret", "postgres:///nym", true),
            (" postgres://nym@db.example/nym\n", "postgres://***@db.example/nym", false),
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!((url.to_string(), url.has_password()), (shown.to_owned(), has_password));
            assert!(!format!("{url:?}").contains("s3cret"));
        }
    }

    #[test]
    fn other_urls_are_refused_without_repeating_them() {
        for text in ["", "nym:s3cret@db", "mysql://nym:s3cret@db/nym", "postgres://nym:s3cret@[::/nym"] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
