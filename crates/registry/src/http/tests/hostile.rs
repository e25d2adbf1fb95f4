//! Tests with bodies that strangers may send to the paths that take one.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// Tables that calls change.
const TABLES: [&str; 9] =
    ["node", "claim", "signer", "source", "reputation", "status", "uptime", "metric", "layer_hour"];

const PATHS: [&str; 5] = [
    "/api/mixmining/register/mix",
    "/api/mixmining/register/gateway",
    "/api/metrics/mixes",
    "/api/mixmining",
    "/api/mixmining/batch",
];

/// A change of a valid body.
#[derive(Debug, Clone)]
enum Mutation {
    Replace(Index, Value),
    Rename(Index, String),
    Remove(Index),
    /// These bytes instead of those from one place to another.
    Bytes(Index, Index, Vec<u8>),
    /// Something else altogether.
    Body(Vec<u8>),
}

impl Api {
    /// All that callers can see and all numbers of rows.
    async fn state(&self) -> (Value, Value, Vec<i64>) {
        let topology = self.get("/api/mixmining/topology").await.1;
        let pending = self.get("/api/mixmining/pending").await.1;
        let mut rows = Vec::new();
        for table in TABLES {
            rows.push(self.service.store().rows(table).await);
        }
        (topology, pending, rows)
    }

    async fn post_bytes(&self, from: &str, path: &str, body: Vec<u8>, with_token: bool) -> (u16, Value) {
        let request = Request::post(path).header("content-type", "application/json");
        if with_token { self.send_with_token(request, body).await } else { self.send(from, request, body).await }
    }
}

/// A valid body for each path.
fn valid(api: &Api, signer: &Signed) -> [Value; 5] {
    let mut gateway = mix(2, "203.0.113.9:1790");
    gateway["clientsHost"] = json!("ws://203.0.113.9:9000");
    gateway["expiresIn"] = json!(60);
    let status = json!({"pubKey": key(1), "ipVersion": "4", "up": true});
    [
        signer.mix(api, "203.0.113.9:1789", 7, None),
        gateway,
        json!({"pubKey": key(1), "received": 5, "sent": {"192.0.2.7:1789": 3}}),
        status.clone(),
        json!({"status": [status, {"pubKey": key(3), "ipVersion": "6", "up": false}]}),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let texts = prop_oneof![
        any::<String>(),
        Just(String::new()),
        Just("\0".to_owned()),
        Just("1".repeat(44)),
        Just("\u{202e}x".to_owned()),
        Just("[::1]:0".to_owned()),
        "[0-9a-f.:\\[\\]]{0,30}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts.prop_map(Value::from),
        Just(json!("x".repeat(9000))),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<Index>;
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    prop_oneof![
        4 => (index(), value()).prop_map(|(at, value)| Mutation::Replace(at, value)),
        1 => (index(), any::<String>()).prop_map(|(at, name)| Mutation::Rename(at, name)),
        1 => index().prop_map(Mutation::Remove),
        2 => (index(), index(), bytes(8)).prop_map(|(from, to, bytes)| Mutation::Bytes(from, to, bytes)),
        1 => bytes(64).prop_map(Mutation::Body),
        1 => value().prop_map(|value| Mutation::Body(value.to_string().into_bytes())),
    ]
}

/// Pointers to all values below the root.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => return,
    };
    for (name, value) in below {
        let pointer = format!("{at}/{name}");
        found.push(pointer.clone());
        pointers(value, &pointer, found);
    }
}

fn mutated(valid: &Value, mutation: &Mutation) -> Vec<u8> {
    let mut body = valid.clone();
    let mut found = Vec::new();
    pointers(&body, "", &mut found);
    let chosen = |at: &Index| at.get(&found[..]).clone();
    let parent = |at: &Index| {
        let pointer = chosen(at);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        (parent.to_owned(), name.to_owned())
    };
    match mutation {
        Mutation::Replace(at, value) => *body.pointer_mut(&chosen(at)).unwrap() = value.clone(),
        Mutation::Rename(at, to) => {
            let (parent, name) = parent(at);
            if let Some(Value::Object(fields)) = body.pointer_mut(&parent) {
                let value = fields.remove(&name).unwrap();
                fields.insert(to.clone(), value);
            }
        }
        Mutation::Remove(at) => {
            let (parent, name) = parent(at);
            if let Some(Value::Object(fields)) = body.pointer_mut(&parent) {
                fields.remove(&name);
            }
        }
        Mutation::Bytes(from, to, with) => {
            let mut bytes = body.to_string().into_bytes();
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            bytes.splice(from.min(to)..from.max(to), with.iter().copied());
            return bytes;
        }
        Mutation::Body(bytes) => return bytes.clone(),
    }
    body.to_string().into_bytes()
}

#[test]
fn a_refused_body_changes_nothing_and_no_body_fails_the_registry() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (api, signer) = runtime.block_on(async {
        let api = Api::new().await;
        assert_eq!(api.register(NODE, &mix(1, "192.0.2.1:1789")).await.0, 200);
        (api, Signed::new())
    });
    let valid = valid(&api, &signer);
    let check = async |at: usize, mutation: &Mutation, with_token: bool| {
        let body = mutated(&valid[at], mutation);
        let before = api.state().await;
        let (status, reply) = api.post_bytes(STRANGER, PATHS[at], body.clone(), with_token).await;
        let shown = String::from_utf8_lossy(&body).chars().take(400).collect::<String>();
        assert!(status < 500, "{}: {status} {reply}: {shown}", PATHS[at]);
        if status >= 400 {
            assert_eq!(api.state().await, before, "{}: {status} {reply}: {shown}", PATHS[at]);
        }
    };
    let cases = (0..PATHS.len(), mutation(), any::<bool>());
    let config = Config { failure_persistence: None, ..Config::with_cases(400) };
    let checked = TestRunner::new(config).run(&cases, |(at, mutation, with_token)| {
        runtime.block_on(check(at, &mutation, with_token));
        Ok(())
    });
    checked.unwrap();
}

#[tokio::test]
async fn the_valid_bodies_are_accepted_with_the_token_and_all_their_strings_may_be_hostile() {
    let api = Api::new().await;
    assert_eq!(api.register(NODE, &mix(1, "192.0.2.1:1789")).await.0, 200);
    let valid = valid(&api, &Signed::new());
    for (path, body) in PATHS.iter().zip(&valid) {
        let mut found = Vec::new();
        pointers(body, "", &mut found);
        for pointer in found {
            for hostile in ["\0", "\u{feff}", "\u{202e}", "\u{1f}", "'; DROP TABLE node; --", "%00", "\u{10ffff}"] {
                let mut body = body.clone();
                *body.pointer_mut(&pointer).unwrap() = json!(hostile);
                let (status, reply) = api.post_bytes(STRANGER, path, body.to_string().into_bytes(), true).await;
                assert!(status < 500, "{path}{pointer}: {status} {reply}");
            }
        }
        let (status, reply) = api.post_bytes(STRANGER, path, body.to_string().into_bytes(), true).await;
        assert!((200..300).contains(&status), "{path}: {status} {reply}");
    }
}
