use std::collections::HashMap;

use nym_mixnode_message::gateway::{ClientHandshake, Mode};

use super::*;

/// A gateway in memory.
#[derive(Default)]
struct Memory {
    keys: HashMap<ClientId, SharedKey>,
    connected: Vec<ClientId>,
    forwarded: Vec<ForwardRequest>,
    is_full: bool,
}

impl Host for Memory {
    async fn key(&mut self, client: &ClientId) -> Option<SharedKey> {
        self.keys.get(client).cloned()
    }

    fn claim(&mut self, client: &ClientId) -> bool {
        let is_free = !self.connected.contains(client);
        if is_free {
            self.connected.push(*client);
        }
        is_free
    }

    fn release(&mut self) {
        self.connected.pop();
    }

    async fn register(&mut self, client: &ClientId, key: &SharedKey) -> bool {
        if !self.is_full {
            self.keys.insert(*client, key.clone());
        }
        !self.is_full
    }

    fn forward(&mut self, request: ForwardRequest) -> bool {
        let is_node = request.next_hop.port() == 1789;
        if is_node {
            self.forwarded.push(request);
        }
        is_node
    }
}

struct Peers {
    client: IdentityKeyPair,
    gateway: IdentityKeyPair,
    host: Memory,
    session: Session,
}

impl Peers {
    fn new() -> Self {
        let [client, gateway] = [(); 2].map(|()| IdentityKeyPair::generate().unwrap());
        Self { client, gateway, host: Memory::default(), session: Session::default() }
    }

    async fn text(&mut self, text: &str) -> Vec<GatewayText> {
        self.session.text(text, &self.gateway, &mut self.host).await
    }

    async fn say(&mut self, message: ClientText) -> Vec<GatewayText> {
        self.text(&message.to_json()).await
    }

    async fn payload(&mut self, data: &[u8]) -> Vec<GatewayText> {
        self.say(ClientText::HandshakePayload { data: data.to_vec() }).await
    }

    /// The client's key, and the last answers.
    async fn register(&mut self) -> (Option<SharedKey>, Vec<GatewayText>) {
        let seed = IdentityKeyPair::from_seed(
            nym_mixnode_keys::SecretKey::written_by(|seed| {
                *seed = *self.client.seed();
                Ok::<_, nym_mixnode_keys::KeyGenerationError>(())
            })
            .unwrap(),
        )
        .unwrap();
        let (state, first) = ClientHandshake::begin(&seed, *self.gateway.public(), &mut rand::rng());
        let answers = self.payload(&first).await;
        let [GatewayText::HandshakePayload { data }] = &answers[..] else { panic!("{answers:?}") };
        let (state, third) = state.answer(data).unwrap();
        let answers = self.payload(&third).await;
        let GatewayText::HandshakePayload { data } = &answers[0] else { panic!("{answers:?}") };
        (state.finish(data).ok(), answers)
    }

    fn proof(&self, key: &SharedKey) -> ClientText {
        Authentication::new(*self.client.public(), key, &mut rand::rng()).to_text()
    }

    /// Another connection at the same gateway.
    fn reconnect(&mut self) {
        self.session = Session::default();
    }
}

fn error(message: &str) -> Vec<GatewayText> {
    vec![GatewayText::Error { message: message.to_owned() }]
}

fn request(port: u16) -> ForwardRequest {
    ForwardRequest { mode: Mode::Mix, next_hop: ([192, 0, 2, 1], port).into(), packet: vec![5; 386] }
}

#[tokio::test]
async fn a_registered_client_forwards_and_authenticates_later() {
    let mut peers = Peers::new();
    let (key, answers) = peers.register().await;
    let key = key.unwrap();
    assert_eq!(answers[1], GatewayText::Register { status: true });
    let sealed = key.seal(&request(1789).encode());
    assert_eq!(peers.session.binary(&sealed, &mut peers.host), Some(GatewayText::Send { status: true }));
    assert_eq!(peers.host.forwarded, [request(1789)]);

    peers.reconnect();
    peers.host.connected.clear();
    assert!(peers.session.key().is_none());
    assert_eq!(peers.say(peers.proof(&key)).await, [GatewayText::Authenticate { status: true }]);
    assert!(peers.session.key().is_some());
    assert_eq!(peers.session.binary(&sealed, &mut peers.host), Some(GatewayText::Send { status: true }));
}

#[tokio::test]
async fn a_packet_for_a_stranger_is_not_sent() {
    let mut peers = Peers::new();
    let key = peers.register().await.0.unwrap();
    let sealed = key.seal(&request(22).encode());
    assert_eq!(peers.session.binary(&sealed, &mut peers.host), Some(GatewayText::Send { status: false }));
    assert!(peers.host.forwarded.is_empty());
}

#[tokio::test]
async fn wrong_keys_and_unknown_clients_have_one_answer_and_may_try_again() {
    let mut peers = Peers::new();
    let key = peers.register().await.0.unwrap();
    peers.reconnect();
    let wrong = SharedKey::from_bytes(&[1; 32]);
    // The client is connected: whoever does not have its key does not learn that.
    assert_eq!(peers.say(peers.proof(&wrong)).await, [GatewayText::Authenticate { status: false }]);
    let stranger = Authentication::new([3; 32], &key, &mut rand::rng()).to_text();
    assert_eq!(peers.say(stranger).await, [GatewayText::Authenticate { status: false }]);
    assert_eq!(peers.say(peers.proof(&key)).await, error("Authentication failure - duplicate connection detected"));
    peers.host.connected.clear();
    assert_eq!(peers.say(peers.proof(&key)).await, [GatewayText::Authenticate { status: true }]);
}

#[tokio::test]
async fn a_second_registration_is_refused_before_the_client_stores_its_key() {
    let mut peers = Peers::new();
    let first = peers.register().await.0.unwrap();
    peers.reconnect();
    let (key, answers) = peers.register().await;
    assert!(key.is_none());
    assert_eq!(answers[1..], error("Registration failure - duplicate connection detected"));
    assert_eq!(peers.host.keys[peers.client.public()].to_bytes(), first.to_bytes());
}

#[tokio::test]
async fn a_registration_that_cannot_be_stored_leaves_nothing_behind() {
    let mut peers = Peers::new();
    peers.host.is_full = true;
    let (key, answers) = peers.register().await;
    assert!(key.is_none() && peers.host.connected.is_empty() && peers.session.key().is_none());
    assert_eq!(answers[1..], error("failed to perform the handshake - unknown handshake failure"));
    peers.host.is_full = false;
    assert!(peers.register().await.0.is_some());
}

#[tokio::test]
async fn requests_before_authentication_have_the_answers_of_0_9_2() {
    let mut peers = Peers::new();
    for text in ["", "{}", r#"{"type":"send"}"#, r#"{"type":"handshakePayload","data":[1,2]}"#] {
        assert_eq!(peers.text(text).await, error("malformed request"), "{text}");
    }
    let no_point = [&[2][..], &[0; 63]].concat();
    assert_eq!(peers.payload(&no_point).await, error("malformed request"));
    let not_authenticated = peers.session.binary(&[0; 500], &mut peers.host);
    assert_eq!(not_authenticated.into_iter().collect::<Vec<_>>(), error("binary request without prior authentication"));
    for (address, encrypted, iv, expected) in [
        ("0", "1", "1", "malformed destination address"),
        ("11111111111111111111111111111111", "1", "1", "malformed encrypted address"),
        ("11111111111111111111111111111111", "11111111111111111111111111111111", "1", "malformed iv"),
    ] {
        let text = ClientText::Authenticate { address: address.into(), enc_address: encrypted.into(), iv: iv.into() };
        assert_eq!(peers.say(text).await, error(expected));
    }
}

#[tokio::test]
async fn faults_in_a_handshake_are_reported_and_the_connection_stays() {
    let mut peers = Peers::new();
    let first = [&peers.client.public()[..], &[9; 31]].concat();
    let message = "sent request was malformed".to_owned();
    let expected = [GatewayText::HandshakeError { message: message.clone() }];
    let expected = [&expected[..], &error(&format!("failed to perform the handshake - {message}"))].concat();
    assert_eq!(peers.payload(&first).await, expected);

    let first = [&peers.client.public()[..], &[9; 32]].concat();
    assert!(matches!(peers.payload(&first).await[..], [GatewayText::HandshakePayload { .. }]));
    assert_eq!(peers.text("skipped").await, []);
    assert_eq!(peers.session.binary(b"skipped", &mut peers.host), None);
    let answers = peers.payload(&[0; 63]).await;
    let message = "received key material of invalid length - 63. Expected: 64".to_owned();
    assert_eq!(answers[0], GatewayText::HandshakeError { message });

    assert!(matches!(peers.payload(&first).await[..], [GatewayText::HandshakePayload { .. }]));
    let answers = peers.payload(&[0; 64]).await;
    assert_eq!(answers[0], GatewayText::HandshakeError { message: "received invalid signature".to_owned() });

    assert!(matches!(peers.payload(&first).await[..], [GatewayText::HandshakePayload { .. }]));
    let answers = peers.say(ClientText::HandshakeError { message: "x".to_owned() }).await;
    assert_eq!(answers, error("failed to perform the handshake - error on the remote: x"));
    assert!(peers.register().await.0.is_some());
}

#[tokio::test]
async fn requests_after_authentication_have_the_answers_of_0_9_2() {
    let mut peers = Peers::new();
    let key = peers.register().await.0.unwrap();
    assert_eq!(peers.say(peers.proof(&key)).await, error("invalid request"));
    let mut binary = |message: &[u8]| peers.session.binary(message, &mut peers.host).into_iter().collect::<Vec<_>>();
    assert_eq!(binary(&[0; 31]), error("the request is too short"));
    assert_eq!(binary(&[0; 500]), error("provided MAC is invalid"));
    // A correct tag over nothing ends a gateway of 0.9.2.
    for content in [&[][..], &[2][..]] {
        let expected = error("provided mix packet was malformed - provided packet mode is invalid");
        assert_eq!(binary(&key.seal(content)), expected);
    }
    let expected = error("provided mix packet was malformed - address field was incorrectly encoded");
    assert_eq!(binary(&key.seal(&[0, 9, 9, 9, 9, 9, 9, 9])), expected);
}
