//! Rate-limits repeated log lines: writes the first one and counts the others. Pure: the caller passes the time.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use tracing::Metadata;
use tracing::callsite::Identifier;

use super::record::{Record, Repeated};

/// Period over which repeats are counted.
pub(super) const PERIOD: Duration = Duration::from_secs(10);

/// Limit of different texts per place in the code and period. Further texts are only counted: a peer that can vary the
/// text could fill the log otherwise.
const TEXTS_MAX: usize = 20;

/// Counters per place in the code that logged within the last period.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    places: HashMap<Identifier, Place>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Place {
    until: Instant,
    metadata: &'static Metadata<'static>,
    texts: Vec<Text>,
    /// Number of lines whose text is not in `texts`.
    others: u64,
}

#[derive(Debug)]
struct Text {
    hash: u64,
    shown: String,
    again: u64,
}

impl Repeats {
    /// Returns whether to write the text now; counts it if not.
    pub(super) fn admit(&mut self, metadata: &'static Metadata<'static>, text: &str, now: Instant) -> bool {
        let hash = self.hasher.hash_one(text);
        let place = self.places.entry(metadata.callsite()).or_insert_with(|| Place::new(metadata, now));
        if let Some(text) = place.texts.iter_mut().find(|text| text.hash == hash) {
            text.again += 1;
            return false;
        }
        if place.texts.len() == TEXTS_MAX {
            place.others += 1;
            return false;
        }
        place.texts.push(Text { hash, shown: text.to_owned(), again: 0 });
        true
    }

    /// The end of the next period.
    pub(super) fn next(&self) -> Option<Instant> {
        self.places.values().map(|place| place.until).min()
    }

    /// Returns the counts of the periods that are over at `now`. A text that was repeated stays suppressed for another
    /// period.
    pub(super) fn over(&mut self, now: Instant) -> Vec<Record> {
        let mut records = Vec::new();
        self.places.retain(|_, place| {
            if place.until > now {
                return true;
            }
            place.count(&mut records);
            place.texts.retain(|text| text.again > 0);
            place.texts.iter_mut().for_each(|text| text.again = 0);
            place.others = 0;
            place.until = now + PERIOD;
            !place.texts.is_empty()
        });
        records
    }
}

impl Place {
    fn new(metadata: &'static Metadata<'static>, now: Instant) -> Self {
        Self { until: now + PERIOD, metadata, texts: Vec::new(), others: 0 }
    }

    fn count(&self, records: &mut Vec<Record>) {
        let seconds = PERIOD.as_secs();
        let mut record = |count, message| {
            let record = Record::new(*self.metadata.level(), self.metadata.target(), message);
            records.push(record.repeated(Repeated { count, seconds }));
        };
        for Text { shown, again, .. } in self.texts.iter().filter(|text| text.again > 0) {
            let times = if *again == 1 { "once".to_owned() } else { format!("{again} times") };
            record(*again, format!("… repeated {times} in {seconds} s: {shown}"));
        }
        if self.others > 0 {
            record(self.others, format!("… {} more lines of this kind in {seconds} s", self.others));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;
    use tracing::callsite::Callsite;
    use tracing::field::FieldSet;
    use tracing::metadata::Kind;
    use tracing::subscriber::Interest;

    struct Here;
    static HERE: Here = Here;
    static METADATA: Metadata<'static> = Metadata::new(
        "event",
        "nym_mixnode::here",
        Level::WARN,
        None,
        None,
        None,
        FieldSet::new(&[], Identifier(&HERE)),
        Kind::EVENT,
    );
    impl Callsite for Here {
        fn set_interest(&self, _: Interest) {}
        fn metadata(&self) -> &Metadata<'_> {
            &METADATA
        }
    }

    fn summary(records: &[Record]) -> String {
        records.iter().map(Record::to_string).collect()
    }

    #[test]
    fn repeated_lines_are_written_once_and_then_counted() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        assert!(repeats.admit(&METADATA, "no luck", start));
        for _ in 0..37 {
            assert!(!repeats.admit(&METADATA, "no luck", start + PERIOD / 2));
        }
        assert!(repeats.admit(&METADATA, "no hope", start + PERIOD / 2), "another text is written");
        assert_eq!(repeats.next(), Some(start + PERIOD));
        assert_eq!(summary(&repeats.over(start + PERIOD - Duration::from_millis(1))), "");
        assert_eq!(summary(&repeats.over(start + PERIOD)), "WARN … repeated 37 times in 10 s: no luck\n");

        assert!(!repeats.admit(&METADATA, "no luck", start + PERIOD), "still counted");
        assert_eq!(summary(&repeats.over(start + 2 * PERIOD)), "WARN … repeated once in 10 s: no luck\n");
        assert_eq!(summary(&repeats.over(start + 3 * PERIOD)), "", "quiet for a period");
        assert_eq!(repeats.next(), None);
        assert!(repeats.admit(&METADATA, "no luck", start + 3 * PERIOD));
    }

    #[test]
    fn texts_that_differ_each_time_are_bounded_too() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        let admitted = (0..1000).filter(|number| repeats.admit(&METADATA, &number.to_string(), start)).count();
        assert_eq!(admitted, TEXTS_MAX);
        let counted = summary(&repeats.over(start + PERIOD));
        assert_eq!(counted, format!("WARN … {} more lines of this kind in 10 s\n", 1000 - TEXTS_MAX));
    }
}
