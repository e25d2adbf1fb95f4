//! (stub: the directory engineer's file replaces this)
use crate::api::{GatewayRegistration, Topology};
use url::Url;

#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct ClientError;

#[derive(Debug, Clone)]
pub struct Client;

impl Client {
    pub fn new(_url: &Url, _metrics_url: &Url) -> Result<Self, ClientError> {
        Ok(Self)
    }
    pub async fn register_gateway(&self, _gateway: &GatewayRegistration) -> Result<(), ClientError> {
        std::future::ready(Err(ClientError)).await
    }
}

pub trait Directory {
    fn topology(&self) -> impl Future<Output = Result<Topology, ClientError>> + Send;
    fn unregister(&self, identity: &str) -> impl Future<Output = Result<bool, ClientError>> + Send;
}

impl Directory for Client {
    async fn unregister(&self, _identity: &str) -> Result<bool, ClientError> {
        Err(ClientError)
    }
    async fn topology(&self) -> Result<Topology, ClientError> {
        Err(ClientError)
    }
}
