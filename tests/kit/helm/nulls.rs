//! `null` in values means the default, as if the key were absent. Generators of values write it for options without a value.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::template;
use crate::part::root;

/// Values that together use every key of the chart.
fn bases() -> [Value; 4] {
    let directory = json!({"url": "https://directory.example.net"});
    let image = json!({"repository": "localhost/nym-mixnode"});
    [
        json!({"image": image, "replicaCount": 2, "network": {"mode": "clusterOnly"}, "collector": {"enabled": true},
            "metrics": {"serviceMonitor": {"enabled": true}, "prometheusRule": {"enabled": true},
                "dashboard": {"enabled": true}},
            "registry": {"enabled": true, "ingress": {"enabled": true, "host": "a.example"},
                "httpRoute": {"enabled": true, "host": "b.example", "parentRefs": [{"name": "public"}]}}}),
        json!({"image": image, "network": {"mode": "clusterOnly"}, "metrics": {"podMonitor": {"enabled": true}},
            "registry": {"enabled": true, "replicas": 2, "database": {"existingSecret": "database"},
                "token": {"existingSecret": "token"}, "tls": {"existingSecret": "tls"}}}),
        json!({"image": image, "directory": directory, "replicaCount": 3, "network": {"mode": "nodePort"},
            "gateway": {"enabled": true, "replicas": 2}}),
        json!({"image": image, "directory": directory, "network": {"mode": "hostNetwork"}}),
    ]
}

/// The paths of all keys that the schema knows by name.
fn keys(schema: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
    for (key, content) in schema["properties"].as_object().into_iter().flatten() {
        let path = [path, std::slice::from_ref(key)].concat();
        let whole: Value = read("helm/nym-mixnode/values.schema.json");
        let name = content["$ref"].as_str().map(|name| name.replacen('#', "", 1));
        keys(name.and_then(|name| whole.pointer(&name)).unwrap_or(content), &path, found);
        found.push(path);
    }
}

fn read(path: &str) -> Value {
    serde_json::from_slice(&fs::read(root().join(path)).expect(path)).expect("JSON")
}

/// Sets the value at a path, or removes its key.
fn set(values: &mut Value, path: &[String], value: Option<Value>) {
    let (key, parents) = path.split_last().expect("a key");
    let mut object = values;
    for parent in parents {
        object = object.as_object_mut().expect("a section").entry(parent).or_insert_with(|| Value::Object(Map::new()));
    }
    let object = object.as_object_mut().expect("a section");
    match value {
        Some(value) => object.insert(key.clone(), value),
        None => object.remove(key),
    };
}

fn render(dir: &Path, values: &Value) -> Result<String, String> {
    let path = dir.join("values.json");
    fs::write(&path, values.to_string()).expect("a file");
    template(&["-f", &path.display().to_string()])
}

/// Whether the values render as others do.
fn same(dir: &Path, expected: &Value, values: &Value) -> Result<(), String> {
    let (expected, rendered) = (render(dir, expected), render(dir, values));
    if expected == rendered { Ok(()) } else { Err(rendered.err().unwrap_or_else(|| "not the default".to_owned())) }
}

/// The paths of this base that the chart does not treat as absent when they are `null`. Absent keys of the same depth are
/// tried at once, and one by one only if that fails.
fn complaints(dir: &Path, base: &Value, paths: &[Vec<String>]) -> Vec<String> {
    let pointer = |path: &[String]| format!("/{}", path.join("/"));
    let (given, absent): (Vec<_>, Vec<_>) = paths.iter().partition(|path| base.pointer(&pointer(path)).is_some());
    let is_section =
        |path: &&&Vec<String>| paths.iter().any(|other| other.len() > path.len() && other.starts_with(path));
    let depth = |path: &&&Vec<String>| if is_section(path) { path.len() } else { 0 };
    let deepest = absent.iter().map(|path| depth(&path)).max().unwrap_or_default();
    let mut complaints = Vec::new();
    for kind in 0..=deepest {
        let together: Vec<_> = absent.iter().filter(|path| depth(path) == kind).collect();
        let mut all = base.clone();
        for path in &together {
            set(&mut all, path, Some(Value::Null));
        }
        if same(dir, base, &all).is_err() {
            complaints.extend(together.iter().filter_map(|path| complaint(dir, base, path)));
        }
    }
    complaints.extend(given.into_iter().filter_map(|path| complaint(dir, base, path)));
    complaints
}

/// Whether `null` at this path differs from an absent key.
fn complaint(dir: &Path, base: &Value, path: &[String]) -> Option<String> {
    let (mut without, mut null) = (base.clone(), base.clone());
    set(&mut without, path, None);
    set(&mut null, path, Some(Value::Null));
    same(dir, &without, &null).err().map(|error| format!("{}: {error}", path.join(".")))
}

#[test]
fn null_is_the_default_of_every_key() {
    let mut paths = Vec::new();
    keys(&read("helm/nym-mixnode/values.schema.json"), &[], &mut paths);
    assert!(paths.len() > 150, "{} keys", paths.len());
    let is_id = |path: &Vec<String>| path[0] == "securityContext" && path.len() > 1;
    paths.retain(|path| !is_id(path));
    let dir = tempfile::tempdir().expect("a directory");
    for base in bases() {
        assert!(render(dir.path(), &base).is_ok(), "{base}");
        let complaints = complaints(dir.path(), &base, &paths);
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}

/// The only keys of which `null` is a value: it leaves the id to the platform.
#[test]
fn null_unsets_an_id() {
    let dir = tempfile::tempdir().expect("a directory");
    let [base, ..] = bases();
    for id in ["runAsUser", "runAsGroup", "fsGroup"] {
        let rendered = |ids: Value| {
            let mut values = base.clone();
            set(&mut values, &["securityContext".to_owned()], Some(ids));
            render(dir.path(), &values).expect("an id")
        };
        let line = |value: u32| format!("{id}: {value}\n");
        assert!(rendered(Value::Null).contains(&line(65532)));
        assert!(rendered(json!({id: 77})).contains(&line(77)));
        assert!(!rendered(json!({id: null})).contains(&format!("{id}:")), "{id}");
    }
}
