//! Tests of the log's content and format.

use super::*;
use std::io::{Read, pipe};
use std::time::UNIX_EPOCH;

/// What `log` logs at 2020-05-05T16:01:07.802, and after that with another filter.
fn captured(
    filter: &str,
    format: LogFormat,
    colours: bool,
    log: impl FnOnce(&reload::Handle<Targets, Registry>),
) -> String {
    let (mut reader, writer) = pipe().unwrap();
    let form = Arc::new(Form::new(colours, || UNIX_EPOCH + Duration::from_millis(1_588_694_467_802)));
    form.set_json(format == LogFormat::Json);
    let output = Output::start(form, writer).unwrap();
    let (layer, handle) = layer(&output, &filter.parse().unwrap());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || log(&handle));
    output.push("the end".to_owned());
    output.flush(Duration::from_secs(60));
    let mut text = Vec::new();
    while !text.ends_with(b"the end\n") {
        let mut bytes = [0; 4096];
        let count = reader.read(&mut bytes).unwrap();
        text.extend_from_slice(&bytes[..count]);
    }
    String::from_utf8(text).unwrap().replace("the end\n", "")
}

#[test]
fn a_line_looks_as_in_0_9_2() {
    let log = captured("", LogFormat::Text, false, |_| {
        tracing::info!(target: "nym_mixnode::node", "Starting nym mixnode");
        tracing::error!(target: "nym_mixnode::node", peers = 3, address = %"[::1]:1789", "Out of {}", "luck");
    });
    assert_eq!(
        log,
        " 2020-05-05T16:01:07.802 INFO  nym_mixnode::node > Starting nym mixnode\n \
         2020-05-05T16:01:07.802 ERROR nym_mixnode::node > Out of luck peers=3 address=[::1]:1789\n"
    );
}

#[test]
fn a_line_of_json_has_the_same() {
    let log = captured("", LogFormat::Json, true, |_| {
        let address = "[::1]:1789";
        tracing::error!(target: "nym_mixnode::node", peers = 3, quick = true, %address, "Out of \"luck\"");
    });
    assert_eq!(log.lines().count(), 1);
    let line: serde_json::Value = serde_json::from_str(&log).unwrap();
    let expected = serde_json::json!({
        "timestamp": "2020-05-05T16:01:07.802Z",
        "level": "ERROR",
        "target": "nym_mixnode::node",
        "message": "Out of \"luck\"",
        "fields": { "peers": 3, "quick": true, "address": "[::1]:1789" },
    });
    assert_eq!(line, expected);
}

#[test]
fn external_texts_stay_on_their_line_and_within_bounds() {
    let hostile = "bad\n 2020-05-05T16:01:07.802 INFO  nym_mixnode::node > all is well\u{1b}[2J";
    let endless = "é".repeat(1 << 16);
    for format in [LogFormat::Text, LogFormat::Json] {
        let log = captured("", format, false, |_| {
            tracing::warn!(error = %hostile, "{hostile}");
            tracing::warn!(%endless, "{endless}");
        });
        assert_eq!(log.lines().count(), 2, "{log}");
        assert!(!log.contains('\u{1b}'), "{log}");
        assert!(log.lines().all(|line| line.len() < 9 << 10), "{log}");
    }
}

#[test]
fn info_is_the_default_and_the_filter_changes_it_also_later() {
    let log = || {
        tracing::debug!(target: "hyper", "debug");
        tracing::info!(target: "b", "info");
        tracing::warn!(target: "b", "warn");
    };
    let logged = |filter: &str| {
        let text = captured(filter, LogFormat::Text, false, |_| log());
        text.lines().map(|line| line[31..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(logged(""), ["b > info", "b > warn"]);
    assert_eq!(logged("warn,hyper=debug"), ["hyper > debug", "b > warn"]);
    assert_eq!(logged("off"), [""; 0]);
    let changed = captured("off", LogFormat::Text, false, |filter| {
        log();
        filter.reload("debug".parse::<LogFilter>().unwrap().build()).unwrap();
        log();
    });
    assert_eq!(changed.lines().count(), 3, "{changed}");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let log = |_: &_| tracing::info!(target: "a", "hello");
    assert!(!captured("", LogFormat::Text, false, log).contains('\u{1b}'));
    let coloured = captured("", LogFormat::Text, true, log);
    assert!(coloured.contains("\u{1b}[32mINFO \u{1b}[0m"), "{coloured:?}");
    let none_set = |_: &str| false;
    assert!(!has_colours(false, none_set));
    assert!(!has_colours(true, |name| name == "NO_COLOR"));
}

#[test]
fn only_repeats_from_info_up_are_held_back() {
    let log = captured("debug", LogFormat::Text, false, |_| {
        for _ in 0..5 {
            tracing::debug!(target: "a", "debug");
            tracing::warn!(target: "a", "warn");
        }
    });
    let count = |level| log.lines().filter(|line| line.contains(level)).count();
    assert_eq!((count("DEBUG"), count("WARN")), (5, 1), "{log}");
}
