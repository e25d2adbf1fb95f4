use super::*;

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

#[test]
fn a_base_url_keeps_its_path_prefix_with_or_without_a_trailing_slash() {
    for (base, expected) in [
        ("http://d.example:8081", "http://d.example:8081/api/mixmining"),
        ("http://d.example:8081/", "http://d.example:8081/api/mixmining"),
        ("https://d.example/nym", "https://d.example/nym/api/mixmining"),
        ("https://d.example/nym/", "https://d.example/nym/api/mixmining"),
        ("https://d.example/nym/?q=1#f", "https://d.example/nym/api/mixmining"),
        ("http://[::1]:8081/a/b", "http://[::1]:8081/a/b/api/mixmining"),
    ] {
        assert_eq!(join(&url(base), &["api", "mixmining"]).as_str(), expected);
    }
}

#[test]
fn an_identity_cannot_leave_its_path_segment() {
    let joined = join(&url("http://d.example"), &["register", "a/../b?c"]);
    assert_eq!(joined.as_str(), "http://d.example/register/a%2F..%2Fb%3Fc");
}

#[test]
fn a_password_in_the_url_is_never_printed() {
    let secret = url("https://user:secret@d.example/x");
    assert_eq!(printable(&secret), "https://d.example/x");
    assert!(!format!("{:?}", Client::new(&secret, &secret).unwrap()).contains("secret"));
}

#[test]
fn a_url_of_another_scheme_is_refused() {
    let error = Client::new(&url("ftp://d.example"), &url("http://d.example")).unwrap_err();
    assert!(matches!(error, DirectoryError::BadUrl { .. }));
    assert!(error.to_string().contains("ftp://d.example"), "{error}");
    assert_eq!(error.exit_code().code(), 78);
}
