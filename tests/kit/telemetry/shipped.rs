//! The alert rules and dashboards of the kit, as data.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::part::root;

/// A `PromQL` expression and its origin.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) of: String,
    pub(super) expr: String,
}

/// An alert rule.
#[derive(Debug, Clone)]
pub(super) struct Alert {
    pub(super) name: String,
    pub(super) query: Query,
    pub(super) runbook: String,
}

pub(super) fn folder(name: &str) -> PathBuf {
    root().join("deploy").join(name)
}

pub(super) fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files in this directory with this extension, sorted.
pub(super) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    assert!(!files.is_empty(), "no {extension} in {}", folder.display());
    files
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}")).to_owned()
}

pub(super) fn alerts() -> Vec<Alert> {
    let files = files(&folder("prometheus/rules"), "yml");
    let groups = files.iter().flat_map(|file| list(&yaml(file), "groups").to_vec());
    let rules = groups.flat_map(|group| list(&group, "rules").to_vec());
    let alert = |rule: Value| {
        let name = text(&rule, "alert");
        let query = Query { of: format!("alert {name}"), expr: text(&rule, "expr") };
        Alert { name, query, runbook: text(&rule["annotations"], "runbook") }
    };
    rules.map(alert).collect()
}

/// Names of the alerts that fire in unit tests.
pub(super) fn alerts_that_fire_in_their_tests() -> BTreeSet<String> {
    let files = files(&folder("prometheus/tests"), "yml");
    let tests = files.iter().flat_map(|file| list(&yaml(file), "tests").to_vec());
    let checks = tests.flat_map(|test| list(&test, "alert_rule_test").to_vec());
    checks.filter(|check| !list(check, "exp_alerts").is_empty()).map(|check| text(&check, "alertname")).collect()
}

pub(super) fn dashboards() -> Vec<(PathBuf, Value)> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let dashboard = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, dashboard)
    };
    files(&folder("grafana/dashboards"), "json").into_iter().map(read).collect()
}

/// The queries of all panels, with every variable set to "all".
pub(super) fn panel_queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for (_, dashboard) in dashboards() {
        for panel in list(&dashboard, "panels") {
            for target in list(panel, "targets") {
                let of = format!("panel {} of {}", text(panel, "title"), text(&dashboard, "title"));
                queries.push(Query { of, expr: with_variables(&dashboard, &text(target, "expr")) });
            }
        }
    }
    queries
}

/// The series that provide the values of all dashboard variables.
pub(super) fn variable_queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for (_, dashboard) in dashboards() {
        for variable in list(&dashboard["templating"], "list").iter().filter(|variable| variable["type"] == "query") {
            let of = format!("variable {} of {}", text(variable, "name"), text(&dashboard, "title"));
            let query = text(variable, "definition");
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", "));
            let (series, _) = inner.unwrap_or_else(|| panic!("{of}: {query}"));
            queries.push(Query { of, expr: with_variables(&dashboard, series) });
        }
    }
    queries
}

fn with_variables(dashboard: &Value, expr: &str) -> String {
    let mut expr = expr.replace("$__rate_interval", "1m");
    for variable in list(&dashboard["templating"], "list") {
        expr = expr.replace(&format!("${}", text(variable, "name")), ".+");
    }
    assert!(!expr.contains('$'), "a variable that the dashboard does not have: {expr}");
    expr
}

/// The metrics in an expression: words that are neither functions nor operators nor labels.
pub(super) fn metrics_of(expr: &str) -> BTreeSet<String> {
    const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    const OPERATORS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];
    let mut metrics = BTreeSet::new();
    let mut rest = expr;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || "_:\"'{[0".contains(c) || c.is_ascii_digit())
    {
        rest = &rest[start..];
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '.';
        let end = match rest.as_bytes()[0] {
            b'{' => skip_matchers(rest),
            b'[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            quote @ (b'"' | b'\'') => rest[1..].find(quote as char).map_or(rest.len(), |end| end + 2),
            _ => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
        };
        let (word, behind) = rest.split_at(end);
        rest = behind;
        let next = behind.trim_start();
        if GROUPING.contains(&word) {
            rest = next.find(')').map_or("", |end| &next[end + 1..]);
        } else if word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':')
            && !OPERATORS.contains(&word)
            && !next.starts_with('(')
            && !is_aggregation(word, next)
        {
            metrics.insert(word.to_owned());
        }
    }
    metrics
}

/// Whether the word is an aggregation, as in `sum by (job) (…)`.
fn is_aggregation(word: &str, next: &str) -> bool {
    ["sum", "max", "min", "avg", "count"].contains(&word) && (next.starts_with("by") || next.starts_with("without"))
}

/// The position after the closing brace, ignoring braces in quotes.
fn skip_matchers(text: &str) -> usize {
    let mut quoted = false;
    for (index, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '}' if !quoted => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn metrics_are_found_in_expressions() {
    for (expr, metrics) in [
        ("up{job=~\".*mixnode.*\"} == 0", vec!["up"]),
        ("sum by (job, instance) (rate(a_total{b=\"}c\"}[10m])) / on (job) d > 0.01", vec!["a_total", "d"]),
        ("histogram_quantile(0.95, sum(rate(lag_bucket[5m])) by (le)) > 5e3", vec!["lag_bucket"]),
        (
            "time() - max by (job) (seen_seconds) > 1800 and on (job) min_over_time(r[30m]) == 1",
            vec!["r", "seen_seconds"],
        ),
        ("(count(up) or vector(0)) unless x offset 5m", vec!["up", "x"]),
    ] {
        let expected: BTreeSet<String> = metrics.into_iter().map(str::to_owned).collect();
        assert_eq!(metrics_of(expr), expected, "{expr}");
    }
}
