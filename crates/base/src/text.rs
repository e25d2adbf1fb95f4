//! Detection of invisible characters in texts of other hosts and in configuration files.

use unicode_properties::{GeneralCategory as Category, UnicodeGeneralCategory};

/// Invisible characters that Unicode classifies as letters, symbols or marks.
const BLANK: [(char, char); 7] = [
    ('\u{034f}', '\u{034f}'), // combining grapheme joiner
    ('\u{115f}', '\u{1160}'), // Hangul fillers
    ('\u{17b4}', '\u{17b5}'), // Khmer inherent vowels
    ('\u{180b}', '\u{180f}'), // Mongolian variation selectors
    ('\u{2800}', '\u{2800}'), // blank Braille pattern
    ('\u{3164}', '\u{3164}'), // Hangul filler
    ('\u{ffa0}', '\u{ffa0}'), // halfwidth Hangul filler
];

/// Whether a character is invisible or changes the direction, order or lines of the text around it: controls, formats
/// such as bidirectional overrides and zero-width spaces, line separators, and characters that Unicode does not assign.
#[must_use]
pub fn is_hidden(character: char) -> bool {
    match character.general_category() {
        Category::LineSeparator | Category::ParagraphSeparator => true,
        category => is_other(category) || BLANK.iter().any(|(first, last)| (*first..=*last).contains(&character)),
    }
}

fn is_other(category: Category) -> bool {
    matches!(
        category,
        Category::Control | Category::Format | Category::Surrogate | Category::PrivateUse | Category::Unassigned
    )
}

/// The first hidden character of a text.
#[must_use]
pub fn hidden_in(text: &str) -> Option<char> {
    text.chars().find(|character| is_hidden(*character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_any_script_are_visible() {
        for text in
            ["", "Zürich", "São Paulo, Brasil", "東京", "القاهرة", "חיפה", "Հայաստան", "서울", "🦀 rack 7", "e\u{301}"]
        {
            assert_eq!(hidden_in(text), None, "{text}");
        }
    }

    #[test]
    fn invisible_characters_are_hidden() {
        for character in [
            '\0',
            '\n',
            '\r',
            '\t',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{61c}',
            '\u{115f}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202d}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{2800}',
            '\u{3164}',
            '\u{e000}',
            '\u{feff}',
            '\u{fff9}',
            '\u{ffa0}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{10ffff}',
        ] {
            assert!(is_hidden(character), "{character:?}");
            assert_eq!(hidden_in(&format!("here{character}there")), Some(character));
        }
    }
}
