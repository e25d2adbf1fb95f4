//! Tests of the tokens.

use super::*;
use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[test]
fn a_token_is_created_once_and_only_its_owner_can_read_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("monitor.token");
    assert!(MonitorToken::read(&path).is_err());
    let token = MonitorToken::read_or_create(&path).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
    assert_eq!(MonitorToken::read_or_create(&path).unwrap(), token);
    assert_eq!(MonitorToken::read(&path).unwrap(), token);
    assert!(token.is(token.reveal().as_bytes()));
    assert!(!token.is(b"") && !token.is(b"another") && !token.is(&token.reveal().as_bytes()[1..]));
    assert!(!format!("{token:?}").contains(token.reveal()));
}

#[test]
fn the_error_for_a_bad_file_says_what_to_do() {
    for (text, mode, expected) in [
        ("a-token-of-the-operator\n", 0o600, None),
        ("a-token-of-the-operator", 0o440, None),
        ("a-token-of-the-operator", 0o644, Some("chmod 600")),
        ("short", 0o600, Some("16")),
        ("", 0o600, Some("16")),
        ("two words of an operator", 0o600, Some("16")),
    ] {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("monitor.token");
        write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = MonitorToken::read(&path).err().map(|error| error.to_string());
        assert_eq!(error.is_some(), expected.is_some(), "{text:?} {mode:o}: {error:?}");
        if let (Some(error), Some(expected)) = (error, expected) {
            assert!(error.contains(expected) && error.contains("monitor.token"), "{error}");
        }
    }
    let home = tempfile::tempdir().unwrap();
    assert!(MonitorToken::read_or_create(&home.path().join("none/monitor.token")).is_err());
}

/// Errors of both kinds of file at a path.
fn failures(path: &Path) -> [(MonitorTokenError, TokenFile); 2] {
    let own = MonitorToken::parse("the-token-of-the-registry").unwrap();
    [
        (MonitorToken::read(path).unwrap_err(), TokenFile::Token),
        (NamedTokens::read(path, &own).unwrap_err(), TokenFile::List),
    ]
}

#[test]
fn the_error_for_each_file_names_its_own_flag_and_content() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens");
    let names_its_flag = |error: &MonitorTokenError, file: TokenFile| {
        let other = if file == TokenFile::Token { TokenFile::List } else { TokenFile::Token };
        let text = error.to_string();
        assert!(text.contains(file.flag()) && !text.contains(other.flag()), "{text}");
    };
    for (error, file) in failures(&path) {
        assert!(matches!(&error, MonitorTokenError::File { content, .. } if *content == file), "{error}");
        assert!(error.is_missing() && error.exit_code() == Exit::IO);
        names_its_flag(&error, file);
    }
    write(&path, "x".repeat(70_000)).unwrap();
    set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    for (error, file) in failures(&path) {
        assert!(matches!(&error, MonitorTokenError::TooLong { content, .. } if *content == file), "{error}");
        names_its_flag(&error, file);
    }
    set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    for (error, file) in failures(&path) {
        assert!(matches!(&error, MonitorTokenError::Readable { content, mode: 0o644, .. } if *content == file));
        assert_eq!(error.exit_code(), Exit::PERMISSION);
    }
}

#[test]
fn binary_files_contain_no_tokens() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("tokens");
    write(&path, b"paris 0123456789abcdef\n\xff\xfe\n").unwrap();
    set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let [(token, _), (list, _)] = failures(&path);
    assert!(matches!(token, MonitorTokenError::Malformed { .. }), "{token}");
    assert!(matches!(list, MonitorTokenError::Line { line: 2, .. }), "{list}");
}

fn named(lines: &str) -> Result<NamedTokens, String> {
    let home = tempfile::tempdir().unwrap();
    let (own, path) = (home.path().join("monitor.token"), home.path().join("tokens"));
    write(&own, "the-token-of-the-registry").unwrap();
    set_permissions(&own, Permissions::from_mode(0o600)).unwrap();
    write(&path, lines).unwrap();
    set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    NamedTokens::read(&path, &MonitorToken::read(&own).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn a_token_of_a_list_has_the_name_of_its_line() {
    let tokens = named("# monitors\n\nparis  0123456789abcdef  # with a comment\nrome.2 fedcba9876543210\n").unwrap();
    for (token, name) in [
        ("0123456789abcdef", Some("paris")),
        ("fedcba9876543210", Some("rome.2")),
        ("0123456789abcdeg", None),
        ("paris", None),
        ("", None),
    ] {
        assert_eq!(tokens.name_of(token.as_bytes()), name, "{token}");
    }
    assert_eq!(NamedTokens::default().name_of(b""), None);
    assert!(!format!("{tokens:?}").contains("0123456789abcdef"));
}

#[test]
fn a_bad_list_of_tokens_is_refused_with_the_line_and_without_the_token() {
    for (lines, line, reason) in [
        ("paris 0123456789abcdef\nrome", 2, "NAME TOKEN"),
        ("paris 0123456789abcdef more", 1, "NAME TOKEN"),
        ("paris short", 1, "16"),
        ("pa/ris 0123456789abcdef", 1, "name"),
        ("paris 0123456789abcdef\nparis fedcba9876543210", 2, "name"),
        ("paris 0123456789abcdef\nrome 0123456789abcdef", 2, "another monitor"),
        ("paris the-token-of-the-registry", 1, "registry"),
    ] {
        let error = named(lines).unwrap_err();
        assert!(error.contains(&format!("line {line} ")) && error.contains(reason), "{error}");
        assert!(!error.contains("0123456789abcdef") && !error.contains('\n'), "{error}");
    }
    let long = format!("# {}\nparis 0123456789abcdef\n", "x".repeat(70_000));
    assert!(named(&long).unwrap_err().contains("KiB"));
}
