use std::net::SocketAddr;

use nym_mixnode_keys::{IdentityKeyPair, SphinxKeyPair};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, connect_async};

use super::*;
use crate::spool::SpoolBounds;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server whose client is this test.
struct World {
    at: SocketAddr,
    address: ClientAddress,
    commands: mpsc::Receiver<Command>,
    messages: Arc<Spool>,
    _dir: tempfile::TempDir,
    _server: JoinHandle<()>,
}

type Application = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl World {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let identity = || *IdentityKeyPair::generate().unwrap().public();
        let encryption = *SphinxKeyPair::generate().unwrap().public();
        let address = ClientAddress::new(identity(), encryption, identity()).unwrap();
        let (commands_start, commands) = mpsc::channel(4);
        let dir = tempfile::tempdir().unwrap();
        let messages = Arc::new(Spool::open(dir.path(), SpoolBounds::default()).unwrap());
        let server = LocalServer { address, commands: commands_start, messages: Arc::clone(&messages) };
        Self { at, address, commands, messages, _dir: dir, _server: tokio::spawn(server.run(listener)) }
    }

    async fn connect(&self) -> Application {
        connect_async(format!("ws://{}", self.at)).await.unwrap().0
    }

    /// The status with which an opening with these headers is refused.
    async fn refused(&self, headers: &[(&'static str, &'static str)]) -> Option<u16> {
        let mut opening = format!("ws://{}", self.at).into_client_request().unwrap();
        for (name, value) in headers {
            opening.headers_mut().insert(*name, value.parse().unwrap());
        }
        match connect_async(opening).await {
            Err(Error::Http(answer)) => Some(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
            Ok(_) => None,
        }
    }
}

async fn next(application: &mut Application) -> Frame {
    timeout(PATIENCE, application.next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn answers_and_messages_take_the_form_of_the_last_request() {
    let world = World::new().await;
    let incoming = |data: &[u8]| Response::Received { data: data.to_vec(), reply_block: None };
    // Before an application is there.
    assert!(world.messages.add(&incoming(b"first")).unwrap());
    let mut application = world.connect().await;
    let Frame::Binary(bytes) = next(&mut application).await else { panic!() };
    assert!(matches!(Response::from_bytes(&bytes), Ok(Response::Received { data, .. }) if data == b"first"));
    application.send(Frame::Text(Request::SelfAddress.to_json().into())).await.unwrap();
    let Frame::Text(text) = next(&mut application).await else { panic!() };
    assert!(matches!(Response::from_json(&text), Ok(Response::SelfAddress(own)) if own == world.address));
    assert!(world.messages.add(&incoming(b"second")).unwrap());
    let Frame::Text(text) = next(&mut application).await else { panic!() };
    assert!(matches!(Response::from_json(&text), Ok(Response::Received { data, .. }) if data == b"second"));
    application.send(Frame::Binary(vec![9].into())).await.unwrap();
    let Frame::Binary(bytes) = next(&mut application).await else { panic!() };
    let unknown = Response::from_bytes(&bytes);
    assert!(matches!(unknown, Ok(Response::Error { kind: ErrorKind::UnknownRequest, .. })), "{unknown:?}");
}

#[tokio::test]
async fn messages_that_wait_take_the_form_of_the_first_request() {
    let world = World::new().await;
    assert!(world.messages.add(&Response::Received { data: b"early".to_vec(), reply_block: None }).unwrap());
    let mut application = world.connect().await;
    application.send(Frame::Text(Request::SelfAddress.to_json().into())).await.unwrap();
    let mut texts = Vec::new();
    for _ in 0..2 {
        let Frame::Text(text) = next(&mut application).await else { panic!() };
        texts.push(Response::from_json(&text).unwrap());
    }
    assert!(matches!(&texts[0], Response::SelfAddress(own) if *own == world.address));
    assert!(matches!(&texts[1], Response::Received { data, .. } if data == b"early"));
}

#[tokio::test]
async fn requests_become_commands_and_their_failures_answers() {
    let mut world = World::new().await;
    let mut application = world.connect().await;
    let request = Request::Send { recipient: world.address, with_reply_block: true, data: b"hello".to_vec() };
    application.send(Frame::Binary(request.to_bytes().into())).await.unwrap();
    let Some(Command::Send { data, with_reply_block: true, queued, .. }) = world.commands.recv().await else {
        panic!()
    };
    assert_eq!(data, b"hello");
    queued.send(Err(crate::core::SendError::Full(7))).ok().unwrap();
    let Frame::Binary(bytes) = next(&mut application).await else { panic!() };
    assert!(matches!(Response::from_bytes(&bytes), Ok(Response::Error { kind: ErrorKind::Other, .. })));
}

#[tokio::test]
async fn pages_and_other_names_are_refused() {
    let world = World::new().await;
    assert_eq!(world.refused(&[("origin", "https://example.org")]).await, Some(403));
    assert_eq!(world.refused(&[("origin", "null")]).await, Some(403));
    assert_eq!(world.refused(&[("host", "rebound.example:1977")]).await, Some(403));
    assert_eq!(world.refused(&[("host", "localhost:1977")]).await, None);
    for host in ["localhost", "127.0.0.1:1977", "[::1]:1977", "127.9.9.9"] {
        assert!(is_loopback(host), "{host}");
    }
    for host in ["", "localhost.example", "127.0.0.1.example", "[::2]:1977", "192.0.2.1"] {
        assert!(!is_loopback(host), "{host}");
    }
}

#[tokio::test]
async fn one_application_at_a_time_is_connected() {
    let world = World::new().await;
    let first = world.connect().await;
    assert!(timeout(PATIENCE, connect_async(format!("ws://{}", world.at))).await.unwrap().is_err());
    drop(first);
    // Accepted once the end of the first is seen.
    let again = async {
        loop {
            if let Ok((application, _)) = connect_async(format!("ws://{}", world.at)).await {
                return application;
            }
        }
    };
    timeout(PATIENCE, again).await.unwrap();
}
