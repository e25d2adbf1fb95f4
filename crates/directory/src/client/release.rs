//! Releasing an identity.

use nym_mixnode_api::Proof;
use reqwest::Method;

use super::{Client, DirectoryError, Request};
use crate::MonitorToken;

impl Client {
    /// Removes the registration of this identity and releases it from signing, with its own signature.
    ///
    /// # Errors
    /// For all failures of a request; a directory without releases refuses the signature.
    pub async fn release_signed(&self, identity: &str, proof: &Proof) -> Result<(), DirectoryError> {
        let counter = proof.counter.to_string();
        self.release_request(identity, &[("counter", counter.as_str()), ("signature", &proof.signature)])
            .accepted()
            .await
    }

    /// As [`Client::release_signed`], with the directory's token.
    ///
    /// # Errors
    /// For all failures of a request; 404 for an identity that has no entry and never signed.
    pub async fn release(&self, identity: &str, token: &MonitorToken) -> Result<(), DirectoryError> {
        self.release_request(identity, &[]).with_token(token.reveal()).accepted().await
    }

    fn release_request(&self, identity: &str, signature: &[(&str, &str)]) -> Request {
        let path = ["api", "mixmining", "register", identity];
        let query = [&[("release", "true")][..], signature].concat();
        self.request_by(&self.http, "release the identity", Method::DELETE, &self.directory, &path, &query)
    }
}
