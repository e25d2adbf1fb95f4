//! (stub: the directory engineer's file replaces this)
use crate::api::{GatewayRegistration, Topology};
use url::Url;

#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct ClientError;

#[derive(Debug, Clone)]
pub struct Client;

#[expect(clippy::unused_async, reason = "a stub")]
impl Client {
    pub fn new(_url: &Url, _metrics_url: &Url) -> Result<Self, ClientError> {
        Ok(Self)
    }
    pub async fn register_gateway(&self, _gateway: &GatewayRegistration) -> Result<(), ClientError> {
        Err(ClientError)
    }
    pub async fn unregister(&self, _identity: &str) -> Result<bool, ClientError> {
        Err(ClientError)
    }
    pub async fn topology(&self) -> Result<Topology, ClientError> {
        Err(ClientError)
    }
}
