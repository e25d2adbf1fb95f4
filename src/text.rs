//! Wraps text to the width of a terminal.

use std::borrow::Cow;

use textwrap::{Options, WordSeparator, WordSplitter};

/// Options that break only at spaces: a flag or a path in two parts cannot be copied.
fn at_spaces(width: usize) -> Options<'static> {
    Options::new(width)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
}

/// Wraps a text to this width; longer words stay whole.
pub(crate) fn wrapped(text: &str, width: u16) -> String {
    textwrap::fill(text, at_spaces(width.into()))
}

/// Like [`wrapped`], after `first` on the first line and `indent` spaces on each further one.
pub(crate) fn hanging(first: &str, text: &str, width: u16, indent: usize) -> String {
    let indent = " ".repeat(indent);
    textwrap::fill(text, at_spaces(width.into()).initial_indent(first).subsequent_indent(&indent))
}

/// The lines of a text on a screen of this width; longer words are broken.
pub(crate) fn lines(text: &str, width: usize) -> Vec<String> {
    let lines = textwrap::wrap(text, at_spaces(width.max(1)).break_words(true));
    lines.into_iter().map(Cow::into_owned).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_long_words_stay_whole() {
        assert_eq!(wrapped("a bb ccc", 4), "a bb\nccc");
        assert_eq!(
            wrapped("pass --allow-private a/long/path/to/a.file", 8),
            "pass\n--allow-private\na/long/path/to/a.file"
        );
    }

    #[test]
    fn further_lines_are_indented() {
        assert_eq!(hanging("ok   ", "a bb ccc", 9, 2), "ok   a bb\n  ccc");
    }

    #[test]
    fn a_screen_breaks_long_words_where_it_must() {
        assert_eq!(lines("a bb ccc", 80), ["a bb ccc"]);
        assert_eq!(lines("ab äöüßxyz c", 4), ["ab", "äöüß", "xyz", "c"]);
        assert_eq!(lines("", 4), Vec::<String>::new());
        assert_eq!(lines("ab", 0), ["a", "b"]);
    }
}
