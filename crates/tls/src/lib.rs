//! TLS of servers and clients, with one library and one set of rules.
//!
//! | module | subject |
//! |---|---|
//! | [`server`] | handshakes with a certificate in files, which is read again when they change, or with a derived one |
//! | [`key_hash`] | the hash of a server's public key, by which its clients know it |
//! | [`client`] | connections to a server whose key is known |

pub mod client;
mod derived;
mod error;
pub mod key_hash;
mod pair;
mod reload;
pub mod server;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod validity;

pub use error::TlsError;
pub use key_hash::KeyHash;
pub use server::{Acceptor, Tls, TlsFiles};

#[cfg(test)]
mod tests;
