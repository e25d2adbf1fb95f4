//! Shared basics of nym-mixnode: durable file writes, memory for secrets, the limit on open files, back-off.

pub mod backoff;
pub mod cause;
pub mod count;
pub mod exit;
pub mod file;
#[cfg(feature = "http-client")]
pub mod http_client;
pub mod open_files;
pub mod optional;
pub mod redact;
pub mod secret;
pub mod secret_file;
pub mod staging;
pub mod text;
