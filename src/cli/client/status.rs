//! `client status`: whether the network hides a client.

use std::io::{self, Write};

use nym_mixnode_client::crowd::{LayerCrowd, OwnTraffic};
use nym_mixnode_client::network::Network;
use nym_mixnode_directory::DirectoryError;
use serde::Serialize;

use super::super::ca_file::CaFileFlag;
use super::super::output::{write_json, write_stdout};
use super::super::{Exit, Failure};
use super::ClientFlags;
use super::running::{base58_key, directory_client, topology_source};

/// Show whether the network is busy enough to hide a client
///
/// Estimates for each layer how many packets of others pass a mix while a packet of this client waits there, from the
/// registry's totals of the last complete hour and the delays of this client, and warns if these are too few. The exit
/// code is 0 whatever the estimate.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    client: ClientFlags,
    /// Print the estimate as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ca_file: CaFileFlag,
}

/// The estimate.
#[derive(Debug, Serialize)]
struct Status {
    layers: Vec<LayerStatus>,
    warnings: Vec<String>,
}

/// One layer.
#[derive(Debug, Serialize)]
struct LayerStatus {
    layer: usize,
    mixes: usize,
    /// `null` if the registry has no total.
    packets_of_others: Option<f64>,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.client.profile()?.config()?;
    let network = Network::of(&topology_source(&config, &args.ca_file)?.active().await?);
    let totals = match directory_client(&config, &args.ca_file)?.layer_totals(1).await {
        // Registries of 0.9.2 publish none.
        Err(DirectoryError::Refused { status: 404, .. }) => Vec::new(),
        totals => totals?,
    };
    let own = OwnTraffic { packet_delay: config.packet_delay, sending: config.sending, cover: config.cover };
    let mut status = Status::of(&own.crowds(&network, &totals));
    if base58_key(&config.gateway_id).is_none_or(|gateway| network.gateway(&gateway).is_none()) {
        status.warnings.push(format!("the gateway {} is not active, so that nothing arrives", config.gateway_id));
    }
    let printed = write_stdout(|out| if args.json { write_json(out, &status) } else { status.print(out) });
    printed.map_err(|error| Failure::new(Exit::IO, format_args!("the output cannot be written: {error}")))
}

impl Status {
    fn of(crowds: &[LayerCrowd]) -> Self {
        let layer = |crowd: &LayerCrowd| LayerStatus {
            layer: crowd.layer,
            mixes: crowd.mixes,
            packets_of_others: crowd.others,
        };
        let warnings = crowds.iter().flat_map(LayerCrowd::thin).map(|thin| thin.to_string());
        Self { layers: crowds.iter().map(layer).collect(), warnings: warnings.collect() }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "layer  active mixes  packets of others during a delay")?;
        for LayerStatus { layer, mixes, packets_of_others } in &self.layers {
            let others = packets_of_others.map_or_else(|| "unknown".to_owned(), |others| format!("{others:.1}"));
            writeln!(out, "{layer:<5}  {mixes:<12}  {others}")?;
        }
        for warning in &self.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        if self.warnings.is_empty() {
            writeln!(out, "The network is busy enough for the delays of this client.")?;
        }
        Ok(())
    }
}
