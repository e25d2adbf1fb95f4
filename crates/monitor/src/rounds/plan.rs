//! Times and routes of a round's packets: in random order, spread over the round.

use std::collections::VecDeque;

use nym_mixnode_sphinx::Hop;
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use tokio::time::Instant;

use super::{Label, LaneKey, ListedNode, Listing, RoundSettings, Test};
use crate::family::IpFamily;

/// A Sphinx header holds five hops, and the monitor is one.
const LAYERS_MAX: u64 = 4;

/// Random routes per round and family: one for this many nodes, within bounds.
const NODES_PER_ROUTE: usize = 10;
const ROUTES_MIN: usize = 2;
const ROUTES_MAX: usize = 20;

/// Packets of a round, in the order of their times.
#[derive(Debug, Default)]
pub(super) struct Plan {
    lanes: VecDeque<(Instant, LaneKey)>,
    routes: VecDeque<(Instant, Test)>,
}

impl Plan {
    pub(super) fn new(mut lanes: Vec<LaneKey>, mut routes: Vec<Test>, settings: &RoundSettings, now: Instant) -> Self {
        // Two packets, one after the other, then still have a verdict in this round, if that is possible.
        let window = settings.every.saturating_sub(2 * settings.timeout).max(settings.every / 2);
        let mut rng = rand::rng();
        lanes.shuffle(&mut rng);
        routes.shuffle(&mut rng);
        let mut at = |number: usize, count: usize| {
            #[expect(clippy::cast_precision_loss, reason = "counts of packets are far below 2^52")]
            let share = (number as f64 + rng.random::<f64>()) / count as f64;
            now + window.mul_f64(share)
        };
        let (lane_count, route_count) = (lanes.len(), routes.len());
        Self {
            lanes: lanes.into_iter().enumerate().map(|(number, key)| (at(number, lane_count), key)).collect(),
            routes: routes.into_iter().enumerate().map(|(number, test)| (at(number, route_count), test)).collect(),
        }
    }

    pub(super) fn lanes_due(&mut self, now: Instant) -> Vec<LaneKey> {
        take_due(&mut self.lanes, now)
    }

    pub(super) fn routes_due(&mut self, now: Instant) -> Vec<Test> {
        take_due(&mut self.routes, now)
    }
}

fn take_due<T>(planned: &mut VecDeque<(Instant, T)>, now: Instant) -> Vec<T> {
    let due = planned.iter().take_while(|(at, _)| *at <= now).count();
    planned.drain(..due).map(|(_, item)| item).collect()
}

/// Routes through one random node of each layer: an active one, if every layer has one. None if a layer is empty.
pub(super) fn random_routes(listing: &Listing, family: IpFamily) -> Vec<Test> {
    let layers = [true, false].map(|only_active| candidates(listing, family, only_active));
    let Some(layers) = layers.into_iter().flatten().next() else { return Vec::new() };
    let count = (listing.nodes.len() / NODES_PER_ROUTE).clamp(ROUTES_MIN, ROUTES_MAX);
    let mut rng = rand::rng();
    let mut route = || layers.iter().filter_map(|layer| layer.choose(&mut rng).copied()).collect();
    (0..count).map(|_| Test { mixes: route(), family, label: Label::Route { family } }).collect()
}

/// Nodes of each layer with an address of this family; `None` if a layer has none, or a route would be too long.
fn candidates(listing: &Listing, family: IpFamily, only_active: bool) -> Option<Vec<Vec<Hop>>> {
    if listing.layers > LAYERS_MAX {
        return None;
    }
    let of_layer = |layer: u64| -> Vec<Hop> {
        let is_candidate = |node: &&ListedNode| node.target.layer == layer && (node.is_active || !only_active);
        listing.nodes.iter().filter(is_candidate).filter_map(|node| node.target.hop(family)).collect()
    };
    let layers: Vec<Vec<Hop>> = (1..=listing.layers).map(of_layer).collect();
    layers.iter().all(|layer| !layer.is_empty()).then_some(layers)
}
