//! The three sources of the configuration and the command `config`, by running the program.

use std::fs;

use nym_mixnode_config::settings::{self, About, Kind};
use serde_json::Value;

use crate::cli::Home;

/// A value that the setting allows and that is not its default.
fn other_value(about: &About) -> String {
    match about.key {
        "node.id" => "mix".to_owned(),
        "node.layer" => "3".to_owned(),
        "announce.addresses" => "36.68.243.77:2000".to_owned(),
        "directory.key" => "11111111111111111111111111111112".to_owned(),
        // No shorter than the initial pause.
        "forward.backoff_max" => "41s".to_owned(),
        "gateway.announce_url" => "ws://gateway.example:9000".to_owned(),
        "gateway.tls_announce_url" => "wss://gateway.example:9443".to_owned(),
        _ => by_kind(about),
    }
}

fn by_kind(about: &About) -> String {
    let candidates: &[&str] = match about.kind {
        Kind::Text => &["elsewhere", "mix-2"],
        Kind::Integer => &["7", "1024", "77"],
        Kind::Switch => match about.when_unset {
            settings::WhenUnset::Value("true") => &["false"],
            _ => &["true"],
        },
        Kind::Duration => &["11s", "700ms", "2h", "7ms"],
        Kind::Size => &["77MiB", "2KiB"],
        Kind::Path => &["/run/secrets/of-the-node"],
        Kind::Url => &["http://127.0.0.1:7777/"],
        Kind::LogFilter => &["warn,nym_mixnode::directory=debug"],
        Kind::Address => &["36.68.243.7:7777", "36.68.243.7"],
        // A Service needs its name beside it.
        Kind::Choice(words) => {
            let alone = words.iter().rev().find(|word| **word != "kubernetes-service");
            return (*alone.unwrap()).to_owned();
        }
    };
    (*candidates.iter().find(|text| about.allows(text)).unwrap_or_else(|| panic!("{}: no value known", about.key)))
        .into()
}

/// Value and source of one setting in `config show`.
fn shown(home: &Home, variables: &[(&str, &str)], flags: &[&str], about: &About) -> (String, String) {
    let args = [&["config", "show", "--json", "--id", "mix"], flags].concat();
    let said = home.run_with(variables, &args).ok().stdout;
    let all: Value = serde_json::from_str(&said).unwrap();
    let Value::Object(entry) = &all[about.key] else { panic!("{} is not in {said}", about.key) };
    let value = match &entry["value"] {
        Value::Array(items) => items.iter().map(|item| item.as_str().unwrap()).collect::<Vec<_>>().join(","),
        value => value.as_str().unwrap().to_owned(),
    };
    (value, entry["source"].as_str().unwrap().to_owned())
}

/// The setting that must be set beside this one.
fn companion(about: &About) -> Option<&'static str> {
    match about.key {
        "gateway.tls_certificate_file" => Some("gateway.tls_key_file"),
        "gateway.tls_key_file" => Some("gateway.tls_certificate_file"),
        _ => None,
    }
}

/// A node whose file holds this one setting besides those that are required.
fn home_with(about: &About, text: &str) -> Home {
    let home = Home::new();
    fs::create_dir_all(home.config().parent().unwrap()).unwrap();
    let mut sections = vec![("node.layer", "1"), ("listen.addresses", "127.0.0.1:1790")];
    sections.retain(|(key, _)| *key != about.key);
    sections.push((about.key, text));
    sections.extend(companion(about).map(|key| (key, "/run/secrets/beside-it")));
    sections.sort_by_key(|(key, _)| key.split('.').next().unwrap().to_owned());
    let mut yaml = String::new();
    let mut before = "";
    for (key, text) in sections {
        let (section, name) = key.split_once('.').unwrap();
        if section != before {
            yaml.extend([section, ":\n"]);
            before = section;
        }
        let is_list = settings::ALL.iter().any(|about| about.key == key && about.is_list());
        let (open, close) = if is_list { ("[", "]") } else { ("", "") };
        yaml.extend(["  ", name, ": ", open, "\"", text, "\"", close, "\n"]);
    }
    fs::write(home.config(), yaml).unwrap();
    home
}

#[test]
fn every_setting_can_be_set_by_file_variable_and_flag() {
    for about in settings::ALL {
        let text = other_value(about);
        let in_file = home_with(about, &text);
        let path = in_file.config().display().to_string();
        let (value, source) = shown(&in_file, &[], &[], about);
        assert_eq!(value, text, "{}", about.key);
        if about.key == "node.id" {
            // The file cannot be found without it.
            assert_eq!(source, "--id");
            continue;
        }
        assert!(source.starts_with(&format!("{path}:")), "{}: {source}", about.key);

        let alone = Home::with_node();
        let home = if companion(about).is_some() { &in_file } else { &alone };
        let variables = [(about.variable(), text.as_str())];
        assert_eq!(shown(home, &variables, &[], about), (text.clone(), about.variable().to_owned()));
        let flags = [about.flag(), text.as_str()];
        assert_eq!(shown(&in_file, &[], &flags, about), (text.clone(), about.flag().to_owned()));
        let set = format!("{}={text}", about.key);
        assert_eq!(shown(home, &[], &["--set", &set], about), (text.clone(), "--set".to_owned()));
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let home = home_with(&settings::MIX_WORKERS.about, "1");
    let about = &settings::MIX_WORKERS.about;
    let variables = [("NYM_MIXNODE_MIX_WORKERS", "2"), ("NYM_MIXNODE_MIX_DELAY_MAX", "")];
    assert_eq!(shown(&home, &[], &[], about).0, "1");
    assert_eq!(shown(&home, &variables, &[], about).0, "2");
    assert_eq!(shown(&home, &variables, &["--mix-workers", "3"], about).0, "3");
    let (value, source) = shown(&home, &variables, &[], &settings::MIX_DELAY_MAX.about);
    assert_eq!((value.as_str(), source.as_str()), ("10s", "default"));
    let lists = [("NYM_MIXNODE_LISTEN_ADDRESSES", "127.0.0.1:1, [::1]:2")];
    assert_eq!(shown(&home, &lists, &[], &settings::LISTEN_ADDRESSES.about).0, "127.0.0.1:1,[::1]:2");
    assert_eq!(home.run_with(&[("NYM_MIXNODE_ID", "mix")], &["config", "check"]).ok().stderr, "");
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_place() {
    let home = home_with(&settings::MIX_WORKERS.about, "many");
    let variables = [("NYM_MIXNODE_MIX_MEMRY", "1"), ("NYM_MIXNODE_FORWARD_POLICY", "all")];
    let told = home.run_with(&variables, &["config", "check", "--id", "mix", "--set", "node.layer=0"]);
    assert_eq!(told.code, 78, "{}", told.stderr);
    let path = home.config().display().to_string();
    let expected = [
        "NYM_MIXNODE_MIX_MEMRY is not a variable of this program, did you mean NYM_MIXNODE_MIX_MEMORY?".to_owned(),
        "--set: node.layer \"0\" is not a layer: a whole number from 1 up".to_owned(),
        format!("{path}:4: mix.workers \"many\" is not a whole number from 0 to 1024"),
        "NYM_MIXNODE_FORWARD_POLICY: forward.policy \"all\" is not topology, public or any".to_owned(),
    ];
    let lines: Vec<_> = told.stderr.lines().map(|line| line.strip_prefix("nym-mixnode: ").unwrap()).collect();
    assert_eq!(lines.len(), expected.len(), "{}", told.stderr);
    for line in &expected {
        assert!(lines.iter().any(|told| told == line), "{line} is not in:\n{}", told.stderr);
    }
    // Also where there is no file at all.
    let bare = Home::new().run_with(&variables, &["config", "show", "--id", "mix"]);
    let lines: Vec<_> = bare.stderr.lines().collect();
    assert_eq!((bare.code, lines.len()), (78, 3), "{}", bare.stderr);
    assert!([&expected[0], &expected[3]].iter().all(|line| bare.stderr.contains(*line)));
    assert!(lines[2].contains("config.yaml does not exist") && lines[2].contains("init --id mix"), "{}", bare.stderr);

    let fixed = home_with(&settings::MIX_WORKERS.about, "2");
    let said = fixed.run(&["config", "check", "--id", "mix"]).ok().stdout;
    assert!(said.starts_with("ok: ") && said.contains(" 4 of them set "), "{said}");
    fixed.run(&["config", "check", "--id", "mix", "--set", "mix.wrokers=1"]).fails(64, &["did you mean mix.workers?"]);
    fixed.run(&["config", "check", "--id", "mix", "--set", "mix.workers=x"]).fails(64, &["--set", "\"x\""]);
}

#[test]
fn a_password_comes_from_a_file_and_is_shown_nowhere() {
    let home = Home::with_node();
    let url = home.0.path().join("url");
    fs::write(&url, "http://me:s3cret@127.0.0.1:9/\n").unwrap();
    let variables = [("NYM_MIXNODE_DIRECTORY_URL_FILE", url.to_str().unwrap())];
    let (value, source) = shown(&home, &variables, &[], &settings::DIRECTORY_URL.about);
    assert_eq!(value, "http://***@127.0.0.1:9/");
    assert_eq!(source, format!("NYM_MIXNODE_DIRECTORY_URL_FILE ({})", url.display()));
    for args in [
        &["run", "--id", "mix", "--supervised"][..],
        &["unregister", "--id", "mix"],
        &["config", "show", "--id", "mix"],
    ] {
        let said = home.run_with(&variables, args);
        assert!(!format!("{}{}", said.stdout, said.stderr).contains("s3cret"), "{}{}", said.stdout, said.stderr);
    }
    // Contents of a secret's file are not copied into a world-readable one.
    let init = ["init", "--id", "other", "--host", "36.68.243.1", "--layer", "1"];
    home.run_with(&variables, &init).ok();
    let config = fs::read_to_string(home.0.path().join(".nym/mixnodes/other/config/config.yaml")).unwrap();
    assert!(!config.contains("s3cret") && config.contains("  #url: "), "{config}");
    let typed = ["init", "--id", "third", "--host", "36.68.243.1", "--layer", "1"];
    for flag in ["--directory", "--validator", "--directory-url"] {
        let refused = home.run(&[&typed[..], &[flag, "http://me:s3cret@127.0.0.1:9/"]].concat());
        refused.fails(64, &[&format!("{flag}: directory.url"), "***"]);
        assert!(!refused.stderr.contains("s3cret"), "{}", refused.stderr);
    }
    let exposed = [("NYM_MIXNODE_DIRECTORY_URL", "http://me:s3cret@127.0.0.1:9/")];
    let refused = home.run_with(&exposed, &["config", "check", "--id", "mix"]);
    refused.fails(78, &["***", "NYM_MIXNODE_DIRECTORY_URL_FILE"]);
    assert!(!refused.stderr.contains("s3cret"));
}

#[test]
fn the_short_help_is_short_and_the_long_one_has_every_setting() {
    let home = Home::new();
    for command in [&["run"][..], &["init"], &["config", "show"]] {
        let short = home.run(&[command, &["-h"]].concat()).ok().stdout;
        let long = home.run(&[command, &["--help"]].concat()).ok().stdout;
        assert!(short.lines().count() < 70, "{short}");
        for about in settings::ALL {
            assert!(long.contains(&format!("{} <", about.flag())), "{} is not in:\n{long}", about.flag());
        }
    }
}
