//! `/metrics` for Prometheus. The API already publishes all of these values.

use std::fmt::Display;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use nym_mixnode_api::{RegisteredMix, Topology};
use nym_mixnode_telemetry::exposition::{Format, Text};

use super::{ApiError, CostlyAnswers};
use crate::now_ns;
use crate::service::{Rejection, Service};
use crate::store::Measured;

const NANOSECONDS: i64 = 1_000_000_000;
const FORMAT: Format = Format::Prometheus;

/// Metrics for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "operation",
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
    )
)]
pub(super) async fn metrics(
    State(service): State<Service>,
    State(costly): State<Arc<CostlyAnswers>>,
) -> Result<([(HeaderName, &'static str); 1], Bytes), ApiError> {
    let generation = service.generation();
    let make = async move {
        let now = now_ns();
        let (topology, active) = service.all_and_active(now).await?;
        let measured = service.measured_nodes(now).await?;
        let is_active = |mix: &&RegisteredMix| active.contains(&mix.registration.identity_key);
        let active = topology.mix_nodes.iter().filter(is_active).count();
        Ok::<_, Rejection>(Bytes::from(exposition(&topology, active, &measured)))
    };
    let text = costly.metrics.get(generation, make).await?;
    Ok(([(CONTENT_TYPE, FORMAT.content_type())], text))
}

fn exposition(topology: &Topology, active: usize, measured: &[Measured]) -> String {
    const NO_LABELS: [(&str, &str); 0] = [];
    let mut text = Text::new(FORMAT);
    text.metric("mix_registry_nodes", "gauge", "Registered nodes");
    text.sample("mix_registry_nodes", &[("role", "mixnode")], topology.mix_nodes.len());
    text.sample("mix_registry_nodes", &[("role", "gateway")], topology.gateways.len());
    let help = "Registered mixnodes in the active set";
    text.metric("mix_registry_active_mixnodes", "gauge", help);
    text.sample("mix_registry_active_mixnodes", &NO_LABELS, active);
    text.metric("mix_registry_node_reputation", "gauge", "Reputation of a registered mixnode");
    for RegisteredMix { registration, reputation, .. } in &topology.mix_nodes {
        let labels = [("identity", registration.identity_key.as_str()), ("layer", &registration.layer.to_string())];
        text.sample("mix_registry_node_reputation", &labels, reputation);
    }
    let help = "Whether the latest measurement of a registered node succeeded";
    measurements(&mut text, measured, "mix_registry_node_up", help, |of| of.up);
    let help = "When the latest measurement arrived";
    measurements(&mut text, measured, "mix_registry_node_measured_timestamp_seconds", help, |of| of.at / NANOSECONDS);
    let help = "Share of the last day's measurements that succeeded";
    measurements(&mut text, measured, "mix_registry_node_uptime_ratio", help, uptime);
    text.end()
}

#[expect(clippy::cast_precision_loss, reason = "a day has fewer measurements than a float has exact integers")]
fn uptime(of: &Measured) -> f64 {
    of.day_passed as f64 / of.day as f64
}

fn measurements<V: Display>(
    text: &mut Text,
    measured: &[Measured],
    name: &str,
    help: &str,
    value: impl Fn(&Measured) -> V,
) {
    text.metric(name, "gauge", help);
    for of in measured {
        let labels = [("identity", of.identity.as_str()), ("ip_version", &of.ip_version.to_string())];
        text.sample(name, &labels, value(of));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_api::{MixRegistration, testing};

    #[test]
    fn every_metric_has_its_help_its_type_and_its_samples() {
        let registration = MixRegistration { layer: 2, ..testing::mix("KEY", "") };
        let mix = RegisteredMix { reputation: 100, ..testing::listed(registration) };
        let topology = Topology { mix_nodes: vec![mix], ..Topology::default() };
        let (identity, at) = ("KEY".to_owned(), 7 * NANOSECONDS + 1);
        let measured = Measured { identity, ip_version: 4, up: 1, at, day_passed: 3, day: 4, ..Measured::default() };
        let expected = "# HELP mix_registry_nodes Registered nodes.\n\
             # TYPE mix_registry_nodes gauge\n\
             mix_registry_nodes{role=\"mixnode\"} 1\n\
             mix_registry_nodes{role=\"gateway\"} 0\n\
             # HELP mix_registry_active_mixnodes Registered mixnodes in the active set.\n\
             # TYPE mix_registry_active_mixnodes gauge\n\
             mix_registry_active_mixnodes 1\n\
             # HELP mix_registry_node_reputation Reputation of a registered mixnode.\n\
             # TYPE mix_registry_node_reputation gauge\n\
             mix_registry_node_reputation{identity=\"KEY\",layer=\"2\"} 100\n\
             # HELP mix_registry_node_up Whether the latest measurement of a registered node succeeded.\n\
             # TYPE mix_registry_node_up gauge\n\
             mix_registry_node_up{identity=\"KEY\",ip_version=\"4\"} 1\n\
             # HELP mix_registry_node_measured_timestamp_seconds When the latest measurement arrived.\n\
             # TYPE mix_registry_node_measured_timestamp_seconds gauge\n\
             mix_registry_node_measured_timestamp_seconds{identity=\"KEY\",ip_version=\"4\"} 7\n\
             # HELP mix_registry_node_uptime_ratio Share of the last day's measurements that succeeded.\n\
             # TYPE mix_registry_node_uptime_ratio gauge\n\
             mix_registry_node_uptime_ratio{identity=\"KEY\",ip_version=\"4\"} 0.75\n";
        assert_eq!(exposition(&topology, 1, &[measured]), expected);
    }
}
