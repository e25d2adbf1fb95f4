//! `client run`: a client for applications on this machine.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use nym_mixnode_client::control::{ControlServer, Tell};
use nym_mixnode_client::local::LocalServer;
use nym_mixnode_client::spool::{Spool, SpoolBounds};
use nym_mixnode_client::transfer::ReceiverBounds;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::warn;

use super::super::ca_file::CaFileFlag;
use super::super::output::print_to;
use super::super::{Exit, Failure, stop_signals};
use super::ClientFlags;
use super::running::{Event, Running, not_stored};

/// Run a client for applications on this machine
///
/// Applications send and receive messages over a WebSocket on 127.0.0.1, in the text or binary form of the clients of
/// 0.9.2, one application at a time. Web pages are refused. Files that arrive are kept for `client receive`. It runs
/// until ctrl-c; `client send` and `client receive` go through it meanwhile.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    client: ClientFlags,
    /// Port of the WebSocket on 127.0.0.1; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 1977)]
    port: u16,
    #[command(flatten)]
    ca_file: CaFileFlag,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let mut signals = stop_signals()?;
    let address = (Ipv4Addr::LOCALHOST, args.port);
    let listener = TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (bound, listener) = listener.map_err(|error| {
        let advice = "another client may run: choose another --port";
        Failure::new(Exit::UNAVAILABLE, format_args!("cannot listen on 127.0.0.1:{}: {error}: {advice}", args.port))
    })?;
    let profile = args.client.profile()?;
    let mut running = Running::start(profile.lock()?, &profile, &args.ca_file, ReceiverBounds::default()).await?;
    let dir = profile.received_dir().join("messages");
    let messages = Spool::open(&dir, SpoolBounds::default()).map_err(|error| not_stored(&dir, &error))?;
    let messages = Arc::new(messages);
    running.hand_over_to(Arc::clone(&messages));
    let server = LocalServer { address: *running.address(), commands: running.commands.clone(), messages };
    let mut tasks = JoinSet::new();
    tasks.spawn(server.run(listener));
    let subscribers = running.subscribers().clone();
    match ControlServer::bind(&profile.control_socket()) {
        Ok(control) => drop(tasks.spawn(control.run(running.commands.clone(), subscribers.clone()))),
        // Such as a path that is too long for a socket.
        Err(error) => warn!(%error, "Other commands of this client cannot be used meanwhile"),
    }
    print_to(io::stdout(), format_args!("Serving applications at ws://{bound}"))?;
    let events = async {
        loop {
            match running.next().await {
                Ok(Event::Acknowledged(id)) => subscribers.tell(Tell::Acknowledged(id)),
                Ok(Event::Confirmed(receipt)) => subscribers.tell(Tell::Confirmed(receipt)),
                Ok(Event::Arrived) => subscribers.tell(Tell::Arrived),
                Ok(Event::Connected) => {}
                Err(failure) => return failure,
            }
        }
    };
    tokio::select! {
        failure = events => Err(failure),
        _ = signals.next() => Ok(()),
    }
}
