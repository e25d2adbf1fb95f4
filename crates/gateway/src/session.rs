//! One connection of a client as a state machine: messages in, answers out. Sockets and storage belong to the host.
//!
//! Every answer is one that 0.9.2 gives. Two orders differ, because those of 0.9.2 lock clients out or reveal who is
//! connected: a registration is stored before it is accepted, and a wrong key is refused before a second connection is.

use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_message::gateway::{
    ACCEPTED, Authentication, ClientText, ForwardRequest, GatewayHandshake, GatewayText, HandshakeError, REFUSED,
    Refusal, SharedKey,
};

use crate::ClientId;

/// What a session needs of its gateway.
pub trait Host: Send {
    /// The key that a registered client has.
    fn key(&mut self, client: &ClientId) -> impl Future<Output = Option<SharedKey>> + Send;
    /// Makes this the only connection of the client; `false` if it has another one.
    fn claim(&mut self, client: &ClientId) -> bool;
    /// Gives up the client that was claimed last.
    fn release(&mut self);
    /// Stores the key of a client durably, in place of an earlier one; `false` if that fails.
    fn register(&mut self, client: &ClientId, key: &SharedKey) -> impl Future<Output = bool> + Send;
    /// Queues a packet for its first mix; `false` if that is no node of the network.
    fn forward(&mut self, request: ForwardRequest) -> bool;
}

/// State of a connection.
pub struct Session(State);

enum State {
    /// Nothing is known of the client.
    New,
    /// The client has begun to register.
    Handshake(Box<GatewayHandshake>),
    /// The client has its key.
    Authenticated(SharedKey),
}

impl Default for Session {
    fn default() -> Self {
        Self(State::New)
    }
}

impl Session {
    /// The key of the client, once it is authenticated. Nothing may be pushed before.
    #[must_use]
    pub fn key(&self) -> Option<&SharedKey> {
        match &self.0 {
            State::Authenticated(key) => Some(key),
            State::New | State::Handshake(_) => None,
        }
    }

    /// Answers a text message.
    pub async fn text(&mut self, text: &str, identity: &IdentityKeyPair, host: &mut impl Host) -> Vec<GatewayText> {
        let parsed = ClientText::parse(text).ok();
        match std::mem::replace(&mut self.0, State::New) {
            State::Authenticated(key) => {
                self.0 = State::Authenticated(key);
                refused(&Refusal::InvalidRequest)
            }
            State::Handshake(handshake) => self.continue_handshake(*handshake, parsed, host).await,
            State::New => match parsed {
                Some(ClientText::Authenticate { address, enc_address, iv }) => {
                    match Authentication::parse(&address, &enc_address, &iv) {
                        Ok(authentication) => self.authenticate(&authentication, host).await,
                        Err(refusal) => refused(&refusal),
                    }
                }
                Some(ClientText::HandshakePayload { data } | ClientText::RegisterHandshakeInitRequest { data }) => {
                    self.begin_handshake(&data, identity)
                }
                Some(ClientText::HandshakeError { .. }) | None => refused(&Refusal::MalformedRequest),
            },
        }
    }

    /// Answers a binary message.
    pub fn binary(&mut self, message: &[u8], host: &mut impl Host) -> Option<GatewayText> {
        let key = match &self.0 {
            State::Authenticated(key) => key,
            State::New => return Some(GatewayText::from(&Refusal::NotAuthenticated)),
            // As 0.9.2: skipped.
            State::Handshake(_) => return None,
        };
        Some(match request_in(key, message) {
            Ok(request) => GatewayText::Send { status: host.forward(request) },
            Err(refusal) => GatewayText::from(&refusal),
        })
    }

    async fn authenticate(&mut self, authentication: &Authentication, host: &mut impl Host) -> Vec<GatewayText> {
        let client = authentication.identity();
        let Some(key) = host.key(client).await.filter(|key| authentication.is_of(key)) else {
            return vec![GatewayText::Authenticate { status: false }];
        };
        if !host.claim(client) {
            return refused(&Refusal::AuthenticatedTwice);
        }
        self.0 = State::Authenticated(key);
        vec![GatewayText::Authenticate { status: true }]
    }

    fn begin_handshake(&mut self, first: &[u8], identity: &IdentityKeyPair) -> Vec<GatewayText> {
        if GatewayHandshake::identity_in(first).is_none() {
            return refused(&Refusal::MalformedRequest);
        }
        match GatewayHandshake::begin(identity, first, &mut rand::rng()) {
            Ok((handshake, second)) => {
                self.0 = State::Handshake(Box::new(handshake));
                vec![GatewayText::HandshakePayload { data: second.to_vec() }]
            }
            Err(error) => failed(error),
        }
    }

    async fn continue_handshake(
        &mut self,
        handshake: GatewayHandshake,
        message: Option<ClientText>,
        host: &mut impl Host,
    ) -> Vec<GatewayText> {
        match message {
            Some(ClientText::HandshakePayload { data }) => {
                let client = *handshake.client();
                match handshake.finish(&data) {
                    Ok(key) => self.register(&client, key, host).await,
                    Err(error) => failed(error),
                }
            }
            Some(ClientText::HandshakeError { message }) => {
                refused(&Refusal::Handshake(HandshakeError::Remote(message)))
            }
            // As 0.9.2: skipped.
            _ => {
                self.0 = State::Handshake(Box::new(handshake));
                Vec::new()
            }
        }
    }

    async fn register(&mut self, client: &ClientId, key: SharedKey, host: &mut impl Host) -> Vec<GatewayText> {
        let last = |data: [u8; 1]| GatewayText::HandshakePayload { data: data.to_vec() };
        if !host.claim(client) {
            return vec![last(REFUSED), GatewayText::from(&Refusal::RegisteredTwice)];
        }
        if !host.register(client, &key).await {
            host.release();
            return vec![last(REFUSED), GatewayText::from(&Refusal::Handshake(HandshakeError::Unknown))];
        }
        self.0 = State::Authenticated(key);
        vec![last(ACCEPTED), GatewayText::Register { status: true }]
    }
}

fn request_in(key: &SharedKey, message: &[u8]) -> Result<ForwardRequest, Refusal> {
    Ok(ForwardRequest::decode(&key.open(message)?)?)
}

fn refused(refusal: &Refusal) -> Vec<GatewayText> {
    vec![GatewayText::from(refusal)]
}

/// A fault that this side has found.
fn failed(error: HandshakeError) -> Vec<GatewayText> {
    let message = error.to_string();
    vec![GatewayText::HandshakeError { message }, GatewayText::from(&Refusal::Handshake(error))]
}

#[cfg(test)]
mod tests;
