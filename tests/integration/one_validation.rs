//! `config check`, `doctor`, `run` and `init` reject the same errors with the same messages.

use std::fs;

use serde_json::Value;

use crate::cli::{Home, Outcome};
use crate::support::NOWHERE;

/// An error in the environment, and a word in each command's message about it.
struct Mistake {
    variables: &'static [(&'static str, &'static str)],
    word: &'static str,
}

const COLLECTOR: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.invalid:4318");
const TLS: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.invalid:4318");

/// Placeholder for a file that looks like a certificate but is not.
const NO_CERTIFICATE: &str = "NO_CERTIFICATE";

const MISTAKES: [Mistake; 24] = [
    Mistake { variables: &[("OTEL_EXPORTER_OTLP_ENDPOINT", "bogus")], word: "OTEL_EXPORTER_OTLP_ENDPOINT" },
    Mistake { variables: &[COLLECTOR, ("OTEL_TRACES_SAMPLER", "xray")], word: "OTEL_TRACES_SAMPLER" },
    Mistake { variables: &[COLLECTOR, ("OTEL_SDK_DISABLED", "1")], word: "OTEL_SDK_DISABLED" },
    Mistake { variables: &[COLLECTOR, ("OTEL_EXPORTER_OTLP_HEADERS", "k")], word: "header 1 is not KEY=VALUE" },
    Mistake { variables: &[COLLECTOR, ("OTEL_METRICS_EXPORTER", "console")], word: "OTEL_METRICS_EXPORTER" },
    Mistake { variables: &[COLLECTOR, ("OTEL_BSP_MAX_QUEUE_SIZE", "0")], word: "OTEL_BSP_MAX_QUEUE_SIZE" },
    Mistake { variables: &[COLLECTOR, ("OTEL_CONFIG_FILE", "/otel.yaml")], word: "OTEL_CONFIG_FILE" },
    Mistake { variables: &[TLS, ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere")], word: "/nowhere cannot be read" },
    Mistake { variables: &[TLS, ("OTEL_EXPORTER_OTLP_CERTIFICATE", NO_CERTIFICATE)], word: "cannot export" },
    Mistake { variables: &[TLS, ("OTEL_EXPORTER_OTLP_CLIENT_KEY", NO_CERTIFICATE)], word: "CLIENT_CERTIFICATE" },
    Mistake { variables: &[("NYM_MIXNODE_TELEMETRY_OTLP_ENDPOINT", "bogus")], word: "telemetry.otlp_endpoint" },
    Mistake { variables: &[("NYM_MIXNODE_INIT_IF_MISSING", "1")], word: "\"1\" is not true or false" },
    Mistake { variables: &[("NYM_MIXNODE_ID", "a/b")], word: "NYM_MIXNODE_ID" },
    Mistake { variables: &[("NYM_MIXNODE_MIX_WORKERS", "many")], word: "mix.workers \"many\"" },
    Mistake { variables: &[("NYM_MIXNODE_MIX_WROKERS", "2")], word: "did you mean NYM_MIXNODE_MIX_WORKERS?" },
    Mistake { variables: &[("NYM_MIXNODE_IMAGES", "x")], word: "NYM_MIXNODE_IMAGES is not a variable" },
    Mistake { variables: &[("NYM_MIXNODE_ANNOUNCE_PORT", "http://10.0.0.1:1")], word: "announce.port" },
    Mistake { variables: &[("NYM_MIXNODE_ANNOUNCE_SERVICE_PORT", "mix")], word: "is not a variable" },
    Mistake { variables: &[("NYM_MIXNODE_NODE_LAYER_FILE", "/nowhere")], word: "/nowhere cannot be read" },
    Mistake { variables: &[("NYM_MIXNODE_FORWARD_BACKOFF_MAX", "1ms")], word: "forward.backoff_initial" },
    Mistake { variables: &[("NYM_MIXNODE_ANNOUNCE_SOURCE", "kubernetes-service")], word: "announce.service" },
    Mistake { variables: &[("NYM_MIXNODE_LOG_FILTER", "nym_mixnod=debug")], word: "\"nym_mixnod\" is not a level" },
    Mistake { variables: &[("RUST_LOG", "nym_mixnod=debug")], word: "\"nym_mixnod\" is not a level" },
    Mistake { variables: &[("RUST_LOG", "warnin")], word: "\"warnin\" is not a level" },
];

/// Commands on a home with a node, and `init` of another node.
struct Commands {
    home: Home,
    certificate: String,
}

impl Commands {
    fn new() -> Self {
        let home = Home::with_node();
        let certificate = home.0.path().join("certificate.pem");
        fs::write(&certificate, "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").unwrap();
        Self { certificate: certificate.to_str().unwrap().to_owned(), home }
    }

    fn run(&self, variables: &[(&str, &str)], args: &[&str]) -> Outcome {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, if *value == NO_CERTIFICATE { &self.certificate } else { *value }))
            .collect();
        self.home.run_with(&variables, args)
    }

    fn check(&self, variables: &[(&str, &str)]) -> Outcome {
        self.run(variables, &["config", "check", "--id", "mix"])
    }

    /// Runs a node that stops at once because its standard input has ended.
    fn start(&self, variables: &[(&str, &str)]) -> Outcome {
        self.run(variables, &["run", "--id", "mix", "--supervised", "--http-listen", "off"])
    }

    fn init(&self, variables: &[(&str, &str)]) -> Outcome {
        let node = ["init", "--id", "new", "--host", "127.0.0.1:1790", "--allow-private", "--layer", "1"];
        self.run(variables, &[&node[..], &["--validator", &NOWHERE]].concat())
    }

    /// `doctor`'s failed finding about the configuration.
    fn doctor(&self, variables: &[(&str, &str)]) -> Vec<String> {
        let said = self.run(variables, &["doctor", "--id", "mix", "--json", "--no-probe"]);
        let Ok(report) = serde_json::from_str::<Value>(&said.stdout) else { return refusals(&said) };
        let findings = report["findings"].as_array().unwrap();
        let failed =
            findings.iter().filter(|finding| finding["check"] == "configuration" && finding["level"] == "failed");
        failed.map(|finding| finding["message"].as_str().unwrap().to_owned()).collect()
    }
}

/// Lines of a failure, without log lines.
fn refusals(outcome: &Outcome) -> Vec<String> {
    outcome.stderr.lines().filter_map(|line| line.strip_prefix("nym-mixnode: ")).map(str::to_owned).collect()
}

#[test]
fn every_command_refuses_the_same_mistakes_with_the_same_words() {
    let commands = Commands::new();
    for Mistake { variables, word } in MISTAKES {
        let started = commands.start(variables);
        let expected = refusals(&started);
        assert!(expected.len() == 1 && expected[0].contains(word), "{variables:?}: {}", started.stderr);
        assert_eq!(started.code, 78, "{variables:?}");
        let checked = commands.check(variables);
        assert_eq!((checked.code, refusals(&checked)), (78, expected.clone()), "{variables:?}");
        assert_eq!(commands.doctor(variables), expected, "{variables:?}");
        let made = commands.init(variables);
        assert_eq!((made.code, refusals(&made)), (78, expected), "{variables:?}: {}", made.stdout);
    }
    assert!(!commands.home.node().with_file_name("new").exists());
}

#[test]
fn every_command_accepts_what_others_set() {
    let compose_and_kubernetes = [
        ("NYM_MIXNODE_IMAGE", "registry.example/nym-mixnode:1"),
        ("NYM_MIXNODE_SERVICE_HOST", "10.0.0.7"),
        ("NYM_MIXNODE_ANNOUNCE_SERVICE_HOST", "10.0.0.7"),
        ("NYM_MIXNODE_ANNOUNCE_SERVICE_PORT", "1789"),
        ("NYM_MIXNODE_ANNOUNCE_PORT", "tcp://10.0.0.7:1789"),
        ("NYM_MIXNODE_ANNOUNCE_PORT_1789_TCP", "tcp://10.0.0.7:1789"),
        ("NYM_MIXNODE_ANNOUNCE_PORT_1789_TCP_ADDR", "10.0.0.7"),
        ("NYM_MIXNODE_ID", ""),
    ];
    let telemetry = [
        COLLECTOR,
        ("OTEL_SDK_DISABLED", "TRUE"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "k=v,"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,"),
        ("RUST_LOG", "warning"),
    ];
    // Without an export, these variables are for other programs.
    let others = [("OTEL_TRACES_SAMPLER", "xray"), ("OTEL_SDK_DISABLED", "1")];
    for variables in [&compose_and_kubernetes[..], &telemetry, &others] {
        let commands = Commands::new();
        commands.check(variables).ok();
        commands.start(variables).ok();
        assert_eq!(commands.doctor(variables), [""; 0]);
        commands.init(variables).ok();
    }
}
