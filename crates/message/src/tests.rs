//! What the code of 0.9.2 made of given inputs, and a recording of its client and gateway.

mod capture;
mod cases;
mod gateway;
mod local;
mod packets;
mod pieces;
mod walk;

use std::convert::Infallible;

use rand::{TryCryptoRng, TryRng};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

/// One input and what came of it.
#[derive(Deserialize)]
struct Case {
    kind: String,
    name: String,
    #[serde(rename = "in")]
    input: Value,
    out: Value,
    /// An error must come, in any words.
    #[serde(default)]
    wording_free: bool,
}

#[test]
fn every_vector_of_0_9_2_gives_the_same_result() {
    let text = include_str!("../../../tests/fixtures/traffic-0.9.2.json");
    let vectors: Vectors = serde_json::from_str(text).unwrap();
    for case in &vectors.cases {
        // Shown with a failed assertion.
        println!("{}: {}", case.kind, case.name);
        cases::check(case);
    }
    assert_eq!(vectors.cases.len(), 90);
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.is_ascii());
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Bytes in hexadecimal digits, or those of a length and a seed.
fn bytes(value: &Value) -> Vec<u8> {
    if let Some(text) = value.as_str() {
        return hex(text);
    }
    let (len, seed) = (number(&value["len"]), number(&value["seed"]));
    (0..len).map(|n| u8::try_from((31 * n + seed) % 251).unwrap()).collect()
}

fn array<const LEN: usize>(value: &Value) -> [u8; LEN] {
    bytes(value).try_into().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A number, or a string with one.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| text(value).parse().unwrap())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Gives these bytes, then fails.
struct Scripted(Vec<u8>);

impl TryRng for Scripted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0[..bytes.len()]);
        self.0.drain(..bytes.len());
        Ok(())
    }
}

impl TryCryptoRng for Scripted {}
