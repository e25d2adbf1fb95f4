use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nym_mixnode_keys::{IdentityKeyPair, SphinxKeyPair};
use proptest::prelude::*;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::*;
use crate::core::SendError;
use crate::daemon::Command;

const PATIENCE: Duration = Duration::from_secs(60);

fn recipient() -> ClientAddress {
    let key = *IdentityKeyPair::generate().unwrap().public();
    ClientAddress::new(key, *SphinxKeyPair::generate().unwrap().public(), key).unwrap()
}

fn receipt() -> Receipt {
    Receipt { transfer: [7; 16], digest: [8; 32] }
}

#[test]
fn frames_mean_what_they_were_and_others_mean_nothing() {
    for data in [vec![], vec![1; 1000]] {
        let ask = Ask::Send { recipient: recipient(), with_reply_block: true, data };
        assert_eq!(Ask::decode(&ask.clone().encode()), Some(ask));
    }
    assert_eq!(Ask::decode(&Ask::Receive { receipts: false }.encode()), Some(Ask::Receive { receipts: false }));
    let tells =
        [Tell::Queued(3), Tell::Refused("no".into()), Tell::Acknowledged(4), Tell::Confirmed(receipt()), Tell::Arrived];
    for tell in tells {
        assert_eq!(Tell::decode(tell.encode()), Some(tell));
    }
    for frame in
        [(0, vec![]), (1, vec![]), (1, vec![2; 200]), (1, vec![1; 50]), (2, vec![]), (2, vec![2]), (3, vec![0])]
    {
        assert_eq!(Ask::decode(&frame), None, "{frame:?}");
    }
    for frame in
        [(0, vec![]), (1, vec![1]), (2, vec![255]), (3, vec![0; 9]), (4, vec![0; 56]), (5, vec![0]), (6, vec![])]
    {
        assert_eq!(Tell::decode(frame.clone()), None, "{frame:?}");
    }
}

struct World {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    commands: mpsc::Receiver<Command>,
    subscribers: Subscribers,
    server: tokio::task::JoinHandle<()>,
}

fn start() -> World {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(SOCKET);
    // As a killed process leaves it.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let (sender, commands) = mpsc::channel(4);
    let subscribers = Subscribers::default();
    let server = ControlServer::bind(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let server = tokio::spawn(server.run(sender, subscribers.clone()));
    World { _dir: dir, path, commands, subscribers, server }
}

impl World {
    async fn send(
        &mut self,
        attached: &Attached,
        answer: Result<MessageId, SendError>,
    ) -> Result<MessageId, SendError> {
        let (queued, answered) = oneshot::channel();
        let command = Command::Send { recipient: recipient(), data: vec![5; 9], with_reply_block: true, queued };
        attached.commands().send(command).await.unwrap();
        let asked = timeout(PATIENCE, self.commands.recv()).await.unwrap().unwrap();
        let Command::Send { data, with_reply_block: true, queued, .. } = asked else { panic!() };
        assert_eq!(data, [5; 9]);
        assert!(queued.send(answer).is_ok());
        timeout(PATIENCE, answered).await.unwrap().unwrap()
    }

    async fn until(&self, condition: impl Fn(&Subscribers) -> bool) {
        let polled = async {
            while !condition(&self.subscribers) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, polled).await.unwrap();
    }
}

#[tokio::test]
async fn commands_send_through_the_running_client_and_get_their_own_events() {
    let mut world = start();
    let mut attached = Attached::connect(&world.path).await.unwrap();
    let mut other = Attached::connect(&world.path).await.unwrap();
    assert_eq!(world.send(&attached, Ok(11)).await.unwrap(), 11);
    assert_eq!(world.send(&other, Ok(12)).await.unwrap(), 12);
    let refused = world.send(&attached, Err(SendError::Full(5))).await.unwrap_err();
    assert_eq!(refused.to_string(), SendError::Full(5).to_string());
    other.receive(true).await;
    world.until(Subscribers::return_receipts).await;

    for event in [Tell::Acknowledged(12), Tell::Acknowledged(11), Tell::Arrived, Tell::Confirmed(receipt())] {
        world.subscribers.tell(event);
    }
    for (attached, expected) in [
        (&mut attached, vec![Tell::Acknowledged(11), Tell::Confirmed(receipt())]),
        (&mut other, vec![Tell::Acknowledged(12), Tell::Arrived, Tell::Confirmed(receipt())]),
    ] {
        for event in expected {
            assert_eq!(timeout(PATIENCE, attached.next()).await.unwrap(), Some(event));
        }
    }
    drop(other);
    world.until(|subscribers| !subscribers.return_receipts()).await;
    world.server.abort();
    assert_eq!(timeout(PATIENCE, attached.next()).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_no_frame_ends_the_connection_and_nothing_else() {
    let mut world = start();
    for bytes in [&[0_u8; 4][..], &[255; 64], &[0, 0, 0, 1, 9], &[0, 0, 0, 2, 2, 7]] {
        let mut stream = UnixStream::connect(&world.path).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap().unwrap_or(0), 0, "{bytes:?}");
    }
    let attached = Attached::connect(&world.path).await.unwrap();
    assert_eq!(world.send(&attached, Ok(1)).await.unwrap(), 1);
}

proptest! {
    #[test]
    fn any_frame_is_itself_or_nothing(kind in 0_u8..8, content: Vec<u8>) {
        let frame = (kind, content);
        if let Some(ask) = Ask::decode(&frame) {
            prop_assert_eq!(ask.encode(), frame.clone());
        }
        if let Some(tell) = Tell::decode(frame.clone()) {
            prop_assert_eq!(tell.encode(), frame);
        }
    }
}
