//! Registering, unregistering and counters.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nym_mixnode_api::signing::{self, Entry};
use nym_mixnode_api::{CounterReply, GatewayRegistration, MixRegistration, PendingAddress, PendingEntry};
use serde::Serialize;
use tracing::info;

use super::{Rejection, Service};
use crate::caps::{self, Source};
use crate::check;
use crate::proof::{self, Admission, Call};
use crate::store::{NodeRow, Role, Transaction, to_json};

/// The nonces of our programs have 22 digits.
const NONCE_BYTES_MAX: usize = 64;

const NOT_REGISTERED: Rejection = Rejection::Unknown("no node with this identity is registered");

/// Validated registration.
#[derive(Debug)]
pub(crate) struct NewNode<'a, R> {
    pub(crate) role: Role,
    /// Layer of a mix; 0 for a gateway.
    pub(crate) layer: u64,
    pub(crate) sphinx_key: &'a str,
    /// Registration as listed.
    pub(crate) registration: &'a R,
    /// Addresses, deduplicated and in canonical form.
    pub(crate) hosts: Vec<SocketAddr>,
    pub(crate) call: Call,
    pub(crate) expires_in: Option<Duration>,
}

/// Unregistration, perhaps signed.
#[derive(Debug)]
pub(crate) struct Removal<'a> {
    /// Counter and signature of a signed call.
    pub(crate) signed: Option<(u64, &'a str)>,
    /// Whether the next call of the identity needs no signature.
    pub(crate) release: bool,
    /// IP address that the call came from; `None` when a proxy hid it.
    pub(crate) from: Option<IpAddr>,
    /// Whether the caller has the token.
    pub(crate) is_privileged: bool,
}

impl Service {
    /// Registers a mix; returns its addresses that are not listed yet.
    pub(crate) async fn register_mix(
        &self,
        mut mix: MixRegistration,
        from: Option<IpAddr>,
        now: i64,
    ) -> Result<Vec<PendingAddress>, Rejection> {
        let hosts = check::mix(&mix, &self.0.rules)?;
        let call = self.take_proof(&mut mix, from, now)?;
        let (role, layer, sphinx_key) = (Role::Mix, mix.layer, mix.sphinx_key.as_str());
        self.register(&NewNode { role, layer, sphinx_key, registration: &mix, hosts, call, expires_in: None }).await
    }

    /// Registers a gateway; returns its addresses that are not listed yet.
    pub(crate) async fn register_gateway(
        &self,
        mut gateway: GatewayRegistration,
        from: Option<IpAddr>,
        now: i64,
    ) -> Result<Vec<PendingAddress>, Rejection> {
        let hosts = check::gateway(&gateway, &self.0.rules)?;
        let call = self.take_proof(&mut gateway, from, now)?;
        let expires_in = gateway.expires_in.map(Duration::from_secs);
        let (role, layer, sphinx_key) = (Role::Gateway, 0, gateway.sphinx_key.as_str());
        self.register(&NewNode { role, layer, sphinx_key, registration: &gateway, hosts, call, expires_in }).await
    }

    /// Checks the signature and the admission of an entry, and removes from it what is not listed.
    fn take_proof<E: Entry>(&self, entry: &mut E, from: Option<IpAddr>, now: i64) -> Result<Call, Rejection> {
        let (registry, gate) = (self.store().key().public(), &self.0.gate);
        let mut call = Call { signed: None, admission: gate.by_identity(entry.identity()), from, now };
        let Some(mut proof) = entry.proof().cloned() else { return Ok(call) };
        // Only registries set this field: the entry is listed with fewer addresses than were signed.
        proof.announced = None;
        entry.set_proof(Some(proof.clone()));
        let counter = signing::signed_counter(entry, registry).filter(|counter| is_counter(*counter));
        call.signed = Some(counter.ok_or(Rejection::BadSignature)?);
        if gate.is_token(|token| signing::is_admitted(entry, registry, token)) {
            call.admission = Admission::Admitted;
        }
        proof.admission = None;
        entry.set_proof(Some(proof));
        Ok(call)
    }

    /// Stores a registration in place of the identity's earlier one, if the call may; keeps its reputation. Returns its
    /// addresses that are not listed yet.
    pub(crate) async fn register<R: Entry + Serialize>(
        &self,
        node: &NewNode<'_, R>,
    ) -> Result<Vec<PendingAddress>, Rejection> {
        let (identity, call) = (node.registration.identity(), &node.call);
        let mut transaction = self.store().begin().await?;
        let pending = match self.write_entry(&mut transaction, node).await {
            Ok(pending) => pending,
            Err(rejection @ Rejection::Store(_)) => return Err(rejection),
            Err(rejection) => {
                transaction.rollback().await?;
                return Err(rejection);
            }
        };
        transaction.remember(identity, call, false).await?;
        transaction.commit().await?;
        info!(identity, role = ?node.role, signed = call.signed.is_some(), pending = pending.len(), "registered");
        Ok(pending)
    }

    async fn write_entry<R: Entry + Serialize>(
        &self,
        transaction: &mut Transaction,
        node: &NewNode<'_, R>,
    ) -> Result<Vec<PendingAddress>, Rejection> {
        let (identity, call) = (node.registration.identity(), &node.call);
        transaction.delete_expired(call.now).await?;
        let known = transaction.known(identity).await?;
        proof::registration(&known, call, &node.hosts)?;
        let source = Source::of(call.from);
        if known.entry.is_none() {
            self.make_room(transaction, &source).await?;
        }
        let expires_at = node.expires_in.map(|after| call.now.saturating_add(caps::nanoseconds(after)));
        let registration = to_json(node.registration)?;
        let row = NodeRow { identity, role: node.role, layer: node.layer, registration, expires_at };
        transaction.put_node(&row, call).await?;
        transaction.put_source(identity, &source).await?;
        Ok(self.claim(transaction, identity, node.sphinx_key, &node.hosts, call).await?)
    }

    /// Removes a node, if the call may. Keeps its reputation.
    pub(crate) async fn unregister(&self, identity: &str, removal: &Removal<'_>, now: i64) -> Result<(), Rejection> {
        let signed = self.signed_counter(identity, removal)?;
        let call = Call { signed, admission: Admission::Open, from: removal.from, now };
        self.remove(identity, &call, removal.is_privileged, removal.release).await?;
        info!(identity, released = removal.release, "unregistered");
        Ok(())
    }

    /// Counter of the identity's signature over this call; `None` for an unsigned call.
    fn signed_counter(&self, identity: &str, removal: &Removal<'_>) -> Result<Option<u64>, Rejection> {
        let Some((counter, signature)) = removal.signed else { return Ok(None) };
        let registry = self.store().key().public();
        let message = if removal.release {
            signing::release_request(registry, identity, counter)
        } else {
            signing::unregistration(registry, identity, counter)
        };
        if !is_counter(counter) || !signing::is_signed_by(identity, &message, signature) {
            return Err(Rejection::BadSignature);
        }
        Ok(Some(counter))
    }

    pub(super) async fn remove(
        &self,
        identity: &str,
        call: &Call,
        is_privileged: bool,
        release: bool,
    ) -> Result<(), Rejection> {
        let mut transaction = self.store().begin().await?;
        transaction.delete_expired(call.now).await?;
        let known = transaction.known(identity).await?;
        let may = match (&known.entry, &known.signed) {
            (None, None) => Err(NOT_REGISTERED),
            _ if is_privileged => Ok(()),
            _ => proof::unregistration(&known, call, &transaction.proven(identity).await?).map_err(Rejection::from),
        };
        if let Err(rejection) = may {
            transaction.rollback().await?;
            return Err(rejection);
        }
        transaction.remove_node(identity).await?;
        let by_operator =
            known.signed.filter(|last| is_privileged && call.signed.is_none() && !last.released && !release);
        // As after an unregistration of its own, a running start of the node stops registering.
        let signed = by_operator.map(|last| next_counter(last.counter, call.now)).or(call.signed);
        transaction.remember(identity, &Call { signed, ..*call }, true).await?;
        if release {
            self.release(&mut transaction, identity, call).await?;
        }
        transaction.commit().await?;
        if known.entry.is_some() || release { Ok(()) } else { Err(NOT_REGISTERED) }
    }

    /// Accepts unsigned calls from an identity that has signed. A running start of the node has signed with lower
    /// counters: as after an unregistration, it stops registering.
    async fn release(&self, transaction: &mut Transaction, identity: &str, call: &Call) -> Result<(), Rejection> {
        let Some(last) = transaction.known(identity).await?.signed else { return Ok(()) };
        let counter = call.signed.unwrap_or_else(|| next_counter(last.counter, call.now));
        let key = self.store().key();
        let signature = key.sign(&signing::release(key.public(), identity, counter))?;
        let signature = bs58::encode(signature).into_string();
        Ok(transaction.release(identity, counter, &signature, call.now).await?)
    }

    /// The last counter of an identity, signed over the nonce; its next call must exceed it.
    pub(crate) async fn counter(&self, identity: String, nonce: String, now: i64) -> Result<CounterReply, Rejection> {
        if nonce.is_empty() || nonce.len() > NONCE_BYTES_MAX {
            let message = format!("nonce has {} bytes; the allowed length is 1 to {NONCE_BYTES_MAX}", nonce.len());
            return Err(Rejection::OutOfRange(message));
        }
        if signing::decode::<32>(&identity).is_none() {
            return Err(Rejection::OutOfRange("the identity is not base58 of 32 bytes".to_owned()));
        }
        let counter = proof::counter_of_start(self.store().counter(&identity).await?, now);
        let key = self.store().key();
        let message = signing::counter_answer(key.public(), &nonce, &identity, counter);
        let signature = bs58::encode(key.sign(&message)?).into_string();
        Ok(CounterReply { identity_key: identity, counter, registry_key: key.public_base58(), nonce, signature })
    }

    /// Registrations that are pending as a whole or for some of their addresses.
    pub(crate) async fn pending(&self) -> Result<Vec<PendingEntry>, Rejection> {
        Ok(self.store().pending().await?)
    }
}

/// A counter above those of all starts of an identity until now.
fn next_counter(last: u64, now: i64) -> u64 {
    proof::counter_of_start(last, now).saturating_add(1).min(i64::MAX.cast_unsigned())
}

fn is_counter(counter: u64) -> bool {
    counter > 0 && i64::try_from(counter).is_ok()
}
