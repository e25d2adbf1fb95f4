//! Reads the passphrase of a backup from a file or the terminal.
//!
//! A new passphrase has a minimum length, because an attacker can try passphrases on a stolen backup for years. The
//! passphrase of an existing backup has none, or the backup would be lost. A passphrase file that others can read only
//! causes a warning: Docker and Kubernetes mount secrets with such modes, in containers without other users.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use age::secrecy::{ExposeSecret, SecretString};
use nym_mixnode_base::secret_file;
use nym_mixnode_config::environment;
use zeroize::Zeroizing;

use super::super::failure::read_exit;
use super::{Exit, Failure};

const FILE_LEN_MAX: usize = 4096;
/// Minimum length of a new passphrase in characters; shorter ones can be guessed within hours.
const NEW_CHARS_MIN: usize = 8;

#[derive(Debug, clap::Args)]
pub(super) struct PassphraseFlags {
    /// File whose only line is the passphrase, or a pipe such as /dev/stdin [default: ask on the terminal]
    #[arg(long, value_name = "FILE", env = environment::KEYS_PASSPHRASE_FILE)]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseFlags {
    /// Reads a new passphrase to encrypt with; a terminal asks for it twice.
    pub(super) fn read_new(&self) -> Result<SecretString, Failure> {
        if let Some(file) = &self.passphrase_file {
            let passphrase = from_file(file)?;
            require_length(passphrase.expose_secret())?;
            return Ok(passphrase);
        }
        let passphrase = ask("Passphrase for the backup: ")?;
        require_length(&passphrase)?;
        let again = ask("Repeat the passphrase: ")?;
        if *passphrase == *again {
            Ok(SecretString::from(passphrase.as_str()))
        } else {
            Err(Failure::new(Exit::DATA, "the two passphrases differ, and nothing was written: try again"))
        }
    }

    /// Reads the passphrase that `backup` was encrypted with.
    pub(super) fn read_known(&self, backup: &Path) -> Result<SecretString, Failure> {
        match &self.passphrase_file {
            Some(file) => from_file(file),
            None => Ok(SecretString::from(ask(&format!("Passphrase of {}: ", backup.display()))?.as_str())),
        }
    }
}

fn require_length(passphrase: &str) -> Result<(), Failure> {
    let chars = passphrase.chars().count();
    if chars >= NEW_CHARS_MIN {
        return Ok(());
    }
    let problem = format!("the passphrase is too short: {chars} of at least {NEW_CHARS_MIN} characters");
    Err(Failure::new(Exit::DATA, problem).with_advice("use several words, such as six from a diceware list"))
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Exit::USAGE, "cannot ask for the passphrase: no terminal; use --passphrase-file"));
    }
    let answer = rpassword::prompt_password(prompt).map(Zeroizing::new);
    let answer = answer
        .map_err(|error| Failure::new(Exit::IO, format_args!("cannot read the passphrase from the terminal: {error}")));
    answer.and_then(|answer| {
        if answer.is_empty() { Err(Failure::new(Exit::DATA, "the passphrase is empty")) } else { Ok(answer) }
    })
}

fn from_file(file: &Path) -> Result<SecretString, Failure> {
    let name = file.display();
    let contents = secret_file::read_or_wait(file, FILE_LEN_MAX).map_err(|error| {
        Failure::new(read_exit(&error), format_args!("cannot read passphrase file {name}: {error}"))
    })?;
    let refuse = |problem| Err(Failure::new(Exit::DATA, format_args!("passphrase file {name} {problem}")));
    let Ok(text) = std::str::from_utf8(&contents) else { return refuse("is not text in UTF-8") };
    let line = text.strip_suffix('\n').unwrap_or(text);
    match line.strip_suffix('\r').unwrap_or(line) {
        "" => refuse("is empty"),
        line if line.contains('\n') => refuse("has more than one line"),
        line => Ok(SecretString::from(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(contents: &[u8]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("passphrase");
        std::fs::write(&file, contents).unwrap();
        let flags = PassphraseFlags { passphrase_file: Some(file) };
        flags.read_new().map(|secret| secret.expose_secret().to_owned()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_passphrase_is_the_files_only_line() {
        for contents in ["correct horse", "correct horse\n", "correct horse\r\n"] {
            assert_eq!(read(contents.as_bytes()).unwrap(), "correct horse");
        }
        assert_eq!(read(" spaces stay \n".as_bytes()).unwrap(), " spaces stay ");
        for (contents, problem) in [
            (&b""[..], "is empty"),
            (b"\n", "is empty"),
            (b"a\nb\n", "more than one line"),
            (b"\xff", "UTF-8"),
            (b"x", "too short: 1 of at least 8"),
            ("äöüäöüä\n".as_bytes(), "too short: 7 of"),
            (&[b'a'; FILE_LEN_MAX + 1], "longer than"),
        ] {
            let error = read(contents).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn an_old_passphrase_may_be_short_for_its_backup_must_open() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("passphrase");
        std::fs::write(&file, "x").unwrap();
        let flags = PassphraseFlags { passphrase_file: Some(file) };
        assert_eq!(flags.read_known(Path::new("keys.age")).unwrap().expose_secret(), "x");
    }
}
