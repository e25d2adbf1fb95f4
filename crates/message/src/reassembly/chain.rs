//! The order of the sets of a message, each of which names its neighbours.

use std::collections::HashMap;

use super::PartialSet;
use crate::fragment::SetId;

/// The sets that are linked with one of them.
pub(super) enum Chain {
    /// A set, or a fragment of one, is missing.
    Incomplete,
    /// Two neighbours do not name each other, or the sets are in a ring.
    Broken,
    /// All sets, the first one first.
    Complete(Vec<SetId>),
}

/// The chain of a set. Each set is visited at most twice, whatever the links are.
pub(super) fn of(sets: &HashMap<SetId, PartialSet>, id: SetId) -> Chain {
    let mut first = id;
    for _ in 0..=sets.len() {
        match neighbour(sets, first, PartialSet::previous, PartialSet::next) {
            Neighbour::None => return forwards(sets, first),
            Neighbour::Missing => return Chain::Incomplete,
            Neighbour::Contradicts => return Chain::Broken,
            Neighbour::Set(previous) => first = previous,
        }
    }
    Chain::Broken
}

/// The chain from its first set on. It ends, because each set is the next one of only one other.
fn forwards(sets: &HashMap<SetId, PartialSet>, first: SetId) -> Chain {
    let mut chain = vec![first];
    let mut last = first;
    while chain.len() <= sets.len() {
        match neighbour(sets, last, PartialSet::next, PartialSet::previous) {
            Neighbour::None => return Chain::Complete(chain),
            Neighbour::Missing => return Chain::Incomplete,
            Neighbour::Contradicts => return Chain::Broken,
            Neighbour::Set(next) => {
                chain.push(next);
                last = next;
            }
        }
    }
    Chain::Broken
}

enum Neighbour {
    None,
    Missing,
    Contradicts,
    Set(SetId),
}

/// The set that `id` names in one direction, if it is complete and names `id` in the other.
fn neighbour(
    sets: &HashMap<SetId, PartialSet>,
    id: SetId,
    there: fn(&PartialSet) -> Option<SetId>,
    back: fn(&PartialSet) -> Option<SetId>,
) -> Neighbour {
    let Some(named) = sets.get(&id).and_then(there) else { return Neighbour::None };
    match sets.get(&named).filter(|set| set.is_complete()) {
        None => Neighbour::Missing,
        Some(set) if back(set) == Some(id) => Neighbour::Set(named),
        Some(_) => Neighbour::Contradicts,
    }
}
