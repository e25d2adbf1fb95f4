//! Numbers with the words for what they count.

use std::fmt::Display;

/// `one` for a count of 1, otherwise `several`.
pub fn noun<'a, N: Copy + PartialEq + From<u8>>(count: N, one: &'a str, several: &'a str) -> &'a str {
    if count == N::from(1) { one } else { several }
}

/// Such as `1 node` or `2 nodes`.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, one: &str, several: &str) -> String {
    format!("{count} {}", noun(count, one, several))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let counts = [0_usize, 1, 2, 21].map(|count| counted(count, "node", "nodes"));
        assert_eq!(counts, ["0 nodes", "1 node", "2 nodes", "21 nodes"]);
        assert_eq!([noun(1_u64, "is", "are"), noun(2_u64, "is", "are")], ["is", "are"]);
    }
}
