//! The registry's API against its `OpenAPI` document, with requests that Schemathesis makes from the document.
//!
//! `tests/kit/openapi/schemathesis.toml` has the checks and the number of requests.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http;
use crate::part::{part, root};

const PROGRAM: &str = env!("CARGO_BIN_EXE_nym-mixnode");

/// A registry on a file, as a process.
struct Registry {
    process: Child,
    url: String,
    folder: TempDir,
}

impl Registry {
    fn start(arguments: impl FnOnce(&TempDir) -> Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["registry", "--supervised", "--listen", "127.0.0.1:0", "--allow-private", "--data"]);
        command.arg(folder.path().join("registry.sqlite")).args(arguments(&folder));
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line).expect("an event");
        let url = format!("http://{}", event["addresses"][0].as_str().unwrap());
        Self { process, url, folder }
    }

    fn token(&self) -> String {
        fs::read_to_string(self.folder.path().join("monitor.token")).unwrap().trim().to_owned()
    }

    fn post(&self, path: &str, body: &Value) {
        let answer = http::post(&format!("{}{path}", self.url), body, &self.token());
        assert!(answer.is_some(), "{path} {body}: {}", self.log());
    }

    /// Registers nodes and reports measurements, so that no list and no history is empty.
    fn fill(&self) {
        let identity = |number: u8| bs58::encode([number; 32]).into_string();
        // The address of the third is the first one's, so it is pending.
        for (number, port) in [(1, 1789), (2, 1790), (3, 1789)] {
            let mix = json!({
                "mixHost": format!("127.0.0.1:{port}"), "identityKey": identity(number), "sphinxKey": identity(9),
                "version": "0.9.2", "location": "here", "incentivesAddress": "", "layer": number,
            });
            self.post("/api/mixmining/register/mix", &mix);
        }
        let gateway = json!({
            "mixHost": "127.0.0.1:1791", "clientsHost": "ws://127.0.0.1:9000", "identityKey": identity(4),
            "sphinxKey": identity(9), "version": "0.9.2", "location": "", "incentivesAddress": "",
        });
        self.post("/api/mixmining/register/gateway", &gateway);
        let passed = json!({"pubKey": identity(1), "ipVersion": "4", "up": true});
        let failed = json!({"pubKey": identity(2), "ipVersion": "6", "up": false});
        self.post("/api/mixmining/batch", &json!({"status": vec![passed; 40]}));
        self.post("/api/mixmining", &failed);
        self.post("/api/metrics/mixes", &json!({"pubKey": identity(1), "received": 640, "sent": {}}));
    }

    /// Runs Schemathesis with these headers; fails with its report if a check does.
    fn check(&self, headers: &[String]) {
        let mut command = Command::new(part("schemathesis"));
        command.arg("--config-file").arg(root().join("tests/kit/openapi/schemathesis.toml")).arg("run");
        command.arg(format!("{}/api/openapi.json", self.url));
        for header in headers {
            command.args(["--header", header]);
        }
        let output = command.current_dir(self.folder.path()).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{report}{error}{}", self.log());
        eprintln!("{report}");
        // Requests that only fail to connect would violate no check.
        assert!(!self.log().contains("cannot serve a request"), "{}", self.log());
        let document = http::get(&format!("{}/api/openapi.json", self.url)).expect("the registry still serves");
        assert!(document.contains("\"3.1.0\""));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Fails only if it has ended.
        self.process.kill().ok();
        self.process.wait().unwrap();
    }
}

#[test]
fn a_registry_answers_strangers_as_its_document_says() {
    let registry = Registry::start(|_| Vec::new());
    registry.fill();
    registry.check(&[]);
}

#[test]
fn a_registry_answers_callers_with_the_token_as_its_document_says() {
    let registry = Registry::start(|_| Vec::new());
    registry.fill();
    registry.check(&[format!("Authorization: Bearer {}", registry.token())]);
}

#[test]
fn a_closed_registry_answers_strangers_as_its_document_says() {
    let registry = Registry::start(|folder| {
        let file: PathBuf = folder.path().join("join-token");
        fs::write(&file, "c0ffee".repeat(8)).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        vec!["--join-token-file".to_owned(), file.display().to_string()]
    });
    registry.check(&[]);
}
