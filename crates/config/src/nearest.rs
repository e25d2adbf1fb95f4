//! Finds the closest known name to a misspelt one.

/// Minimum similarity for a suggestion: half of the letters.
const LIKENESS_MIN: f64 = 0.5;

/// The closest of `names` to `meant`, if one is similar enough.
pub(super) fn to<'a>(meant: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    by_name(meant, names.map(|name| (name, name)))
}

/// The item whose name is the closest to `meant`, if one is similar enough.
pub(super) fn by_name<'a, T>(meant: &str, things: impl Iterator<Item = (&'a str, T)>) -> Option<T> {
    let alike = things.map(|(name, thing)| (likeness(meant, name), thing)).filter(|(like, _)| *like >= LIKENESS_MIN);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, thing)| thing)
}

fn likeness(meant: &str, name: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(meant, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let names = ["mix.workers", "mix.memory", "forward.policy"];
        for (meant, expected) in [("mix.wrokers", names[0]), ("mix.mem", names[1]), ("forward.polcy", names[2])] {
            assert_eq!(to(meant, names.into_iter()), Some(expected));
        }
        assert_eq!(to("x", [].into_iter()), None);
    }

    #[test]
    fn what_is_like_nothing_is_taken_for_nothing() {
        let things = || [("WORKERS", 1), ("MEMORY", 2)].into_iter();
        assert_eq!(by_name("WORKRES", things()), Some(1));
        assert_eq!(by_name("MEMRY", things()), Some(2));
        assert_eq!(by_name("COLOUR", things()), None);
    }
}
