//! Tokens of single monitors: each has a name, so that a registry can tell the monitors apart.

use std::path::Path;

use super::{MonitorToken, MonitorTokenError, TokenFile, read_file};

const NAME_CHARS_MAX: usize = 32;

/// Tokens by name.
#[derive(Debug, Clone, Default)]
pub struct NamedTokens(Vec<(String, MonitorToken)>);

impl NamedTokens {
    /// Reads a list with `NAME TOKEN` on each line; `#` begins a comment. Each name and each token occurs once, and no token
    /// is `own`, that of the registry.
    ///
    /// # Errors
    /// When the file cannot be read, is readable by other users, or has another line.
    pub fn read(path: &Path, own: &MonitorToken) -> Result<Self, MonitorTokenError> {
        let bytes = read_file(TokenFile::List, path)?;
        let mut tokens = Self::default();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let fail = |reason| MonitorTokenError::Line { path: path.to_owned(), line: index + 1, reason };
            let line = std::str::from_utf8(line).map_err(|_| fail("it is not text in UTF-8"))?;
            // Tokens may contain `#`.
            let fields: Vec<&str> = line.split_ascii_whitespace().take_while(|field| !field.starts_with('#')).collect();
            match fields[..] {
                [] => {}
                [name, token] => tokens.add(name, token, own).map_err(fail)?,
                _ => return Err(fail("it must have the form NAME TOKEN")),
            }
        }
        Ok(tokens)
    }

    fn add(&mut self, name: &str, token: &str, own: &MonitorToken) -> Result<(), &'static str> {
        let is_name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.len() > NAME_CHARS_MAX || !name.chars().all(is_name_char) {
            return Err("a name has at most 32 letters, digits, dots, hyphens and underscores");
        }
        if self.0.iter().any(|(other, _)| other == name) {
            return Err("another monitor has this name");
        }
        let token = MonitorToken::parse(token).ok_or("a token has at least 16 printable characters")?;
        if self.name_of(token.0.as_bytes()).is_some() {
            return Err("another monitor has this token");
        }
        if own.is(token.0.as_bytes()) {
            return Err("this is the token of the registry; each monitor needs a token of its own");
        }
        self.0.push((name.to_owned(), token));
        Ok(())
    }

    /// Name of the monitor with this token. Takes the same time for all tokens of one length.
    #[must_use]
    pub fn name_of(&self, token: &[u8]) -> Option<&str> {
        let mut found = None;
        for (name, of_name) in &self.0 {
            if of_name.is(token) {
                found = Some(name.as_str());
            }
        }
        found
    }
}
