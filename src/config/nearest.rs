//! The name that somebody may have meant.

/// The one of `names` that comes nearest to `meant`.
pub(crate) fn to<'a>(meant: &str, names: impl Iterator<Item = &'a str>) -> &'a str {
    by_name(meant, names.map(|name| (name, name))).unwrap_or_default()
}

/// The thing whose name comes nearest to `meant`.
pub(crate) fn by_name<'a, T>(meant: &str, things: impl Iterator<Item = (&'a str, T)>) -> Option<T> {
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(meant, name);
    things.max_by(|(a, _), (b, _)| likeness(a).total_cmp(&likeness(b))).map(|(_, thing)| thing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let names = ["mix.workers", "mix.memory", "forward.policy"];
        for (meant, expected) in [("mix.wrokers", names[0]), ("mix.mem", names[1]), ("polcy", names[2])] {
            assert_eq!(to(meant, names.into_iter()), expected);
        }
        assert_eq!(to("x", [].into_iter()), "");
    }
}
