//! Checks the node's process and its HTTP server.

use nym_mixnode_net::socket::next_free;
use nym_mixnode_telemetry::health::{self, AskError, FileLimits, Health};
use url::Url;

use super::{Finding, Level, Target};

const CHECK: &str = "node";

/// Whether the node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    Yes,
    No,
    /// It does not answer, and its directory cannot be locked.
    Unknown,
}

/// State of the process.
pub(super) struct Process {
    pub(super) running: Running,
    /// Its limits of open files, if it reports them.
    pub(super) files: Option<FileLimits>,
    /// Why it is not alive or not ready, as it reports itself.
    pub(super) problem: Option<String>,
    pub(super) finding: Finding,
}

/// Answer at the node's HTTP address.
enum HttpAnswer {
    Ours(Health),
    /// Another node, with its URL and identity.
    OtherNode(Url, String),
    OtherProgram(AskError),
    Nobody(AskError),
    /// The node has no known HTTP address.
    NotAsked(&'static str),
}

/// Checks the node's lock and its HTTP server.
pub(super) async fn examine(target: &Target<'_>, identity: Option<&str>) -> Process {
    judge(target, target.home.is_running(), ask(target, identity).await)
}

async fn ask(target: &Target<'_>, identity: Option<&str>) -> HttpAnswer {
    let Some(listen) = target.config.http.listen else { return HttpAnswer::NotAsked("http.listen is off") };
    let Some(url) = health::url_of(listen) else {
        return HttpAnswer::NotAsked("http.listen has port 0, which means any free port");
    };
    match health::ask(&url).await {
        Ok(health) if Some(health.identity_key.as_str()) == identity => HttpAnswer::Ours(health),
        Ok(health) => HttpAnswer::OtherNode(url, health.identity_key),
        Err(error @ AskError::NoNode { .. }) => HttpAnswer::OtherProgram(error),
        Err(error @ AskError::NoAnswer { .. }) => HttpAnswer::Nobody(error),
    }
}

fn judge(target: &Target<'_>, locked: Option<bool>, answer: HttpAnswer) -> Process {
    if let HttpAnswer::Ours(health) = answer {
        let problem = [health.live, health.ready].into_iter().find_map(|answer| answer.problem);
        let problem = problem.map(|problem| problem.message);
        let finding = match &problem {
            Some(problem) => Finding::warning(
                CHECK,
                format!("runs, but is not ready: {problem}"),
                "fix the other findings; its log has details",
            ),
            None => Finding::ok(CHECK, "runs, and is ready"),
        };
        return Process { running: Running::Yes, files: Some(health.limits), problem, finding };
    }
    let (running, finding) = match locked {
        Some(true) => (Running::Yes, of_running(target, answer)),
        Some(false) => (Running::No, of_stopped(target, &answer)),
        None => (Running::Unknown, of_unknown(&answer)),
    };
    Process { running, files: None, problem: None, finding }
}

/// The node runs, but does not answer at its address.
fn of_running(target: &Target<'_>, answer: HttpAnswer) -> Finding {
    match answer {
        HttpAnswer::NotAsked(why) => Finding::ok(CHECK, format!("runs; its health is unknown: {why}")),
        HttpAnswer::Nobody(error) => Finding::warning(
            CHECK,
            format!("runs, but {error}"),
            "if it was started with another --http-listen, set http.listen in its configuration file; if it runs in a \
             container or another network namespace, run doctor there",
        ),
        other => {
            let fix =
                format!("give each node of this machine a different HTTP address, {}, and restart it", such_as(target));
            Finding::warning(CHECK, format!("runs, but {}", other.words()), fix)
        }
    }
}

/// The node does not run; another program may use its HTTP address.
fn of_stopped(target: &Target<'_>, answer: &HttpAnswer) -> Finding {
    if let HttpAnswer::NotAsked(_) | HttpAnswer::Nobody(_) = answer {
        return Finding::ok(CHECK, "does not run");
    }
    // The default address is optional: the node starts without HTTP if it is in use.
    let level = if target.config.http.is_chosen { Level::Failed } else { Level::Warning };
    let fix = format!("give this node another HTTP address, {}", such_as(target));
    Finding { level, ..Finding::warning(CHECK, format!("does not run, and {}", answer.words()), fix) }
}

/// A way to set an HTTP address that is free now.
fn such_as(target: &Target<'_>) -> String {
    let example = target.config.http.listen.map(|taken| format!(" {}", next_free(taken))).unwrap_or_default();
    format!("such as --http-listen{example} or http.listen in its configuration file")
}

fn of_unknown(answer: &HttpAnswer) -> Finding {
    Finding::warning(
        CHECK,
        format!("may run or not: its directory cannot be locked, and {}", answer.words()),
        "run doctor as the node's user, where the node runs",
    )
}

impl HttpAnswer {
    fn words(&self) -> String {
        match self {
            Self::Ours(_) => "it answers".to_owned(),
            Self::OtherNode(url, identity) => format!("another node, {identity}, answers at {url}"),
            Self::OtherProgram(error) | Self::Nobody(error) => error.to_string(),
            Self::NotAsked(why) => (*why).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_config::{Config, NodeHome, Source, Values, settings as s};
    use nym_mixnode_telemetry::http::{Answer, Problem, Reason};

    fn config(http: Option<&str>) -> Config {
        let mut values = Values::default();
        values.set(&s::NODE_ID.about, "mix", &Source::Program);
        values.set(&s::NODE_LAYER.about, "1", &Source::Program);
        if let Some(http) = http {
            values.set(&s::HTTP_LISTEN.about, http, &Source::Program);
        }
        Config::from_values(&values).unwrap()
    }

    fn found(http: Option<&str>, locked: Option<bool>, answer: HttpAnswer) -> (Running, Level, String) {
        let root = tempfile::tempdir().unwrap();
        let home = NodeHome::new(Some(root.path()), &"mix".parse().unwrap()).unwrap();
        let config = config(http);
        let target = Target { home: &home, config: &config, naming: "--id mix".to_owned(), lacking: None };
        let Process { running, finding, .. } = judge(&target, locked, answer);
        (running, finding.level, format!("{}; {}", finding.message, finding.fix.unwrap_or_default()))
    }

    fn url() -> Url {
        "http://127.0.0.1:8000/".parse().unwrap()
    }

    fn other_node() -> HttpAnswer {
        HttpAnswer::OtherNode(url(), "other".to_owned())
    }

    fn other_program() -> HttpAnswer {
        HttpAnswer::OtherProgram(AskError::NoNode { url: url(), reason: "404".to_owned() })
    }

    fn nobody() -> HttpAnswer {
        HttpAnswer::Nobody(AskError::NoAnswer { url: url(), reason: "refused".to_owned() })
    }

    fn ours(problem: Option<Problem>) -> HttpAnswer {
        let files = FileLimits { soft: None, hard: None, remedy: String::new() };
        let (live, ready) = (Answer::from(Ok(())), Answer::from(problem.map_or(Ok(()), Err)));
        HttpAnswer::Ours(Health { live, ready, identity_key: "me".to_owned(), limits: files })
    }

    #[test]
    fn a_node_that_answers_runs_and_says_whether_it_is_ready() {
        assert_eq!(found(None, Some(false), ours(None)), (Running::Yes, Level::Ok, "runs, and is ready; ".to_owned()));
        let problem = Problem { reason: Reason::NotRegistered, message: "not registered yet".to_owned() };
        let (running, level, words) = found(None, Some(true), ours(Some(problem)));
        assert_eq!((running, level), (Running::Yes, Level::Warning));
        assert!(words.contains("not registered yet"), "{words}");
    }

    #[test]
    fn a_second_node_of_a_machine_needs_an_address_of_its_own() {
        for (locked, running, level) in
            [(Some(true), Running::Yes, Level::Warning), (Some(false), Running::No, Level::Warning)]
        {
            for answer in [other_node(), other_program()] {
                let (found, found_level, words) = found(None, locked, answer);
                assert_eq!((found, found_level), (running, level), "{words}");
                assert!(words.contains("--http-listen") && !words.contains("stop the program"), "{words}");
            }
        }
        // A node does not start without its configured address.
        assert_eq!(found(Some("127.0.0.1:8000"), Some(false), other_node()).1, Level::Failed);
    }

    #[test]
    fn a_node_that_does_not_answer_runs_if_its_directory_is_locked() {
        let (running, level, words) = found(None, Some(true), nobody());
        assert_eq!((running, level), (Running::Yes, Level::Warning));
        assert!(words.contains("another network namespace"), "{words}");
        assert_eq!(found(None, Some(false), nobody()), (Running::No, Level::Ok, "does not run; ".to_owned()));
        assert_eq!(found(None, Some(true), HttpAnswer::NotAsked("off")).0, Running::Yes);
        assert_eq!(found(None, Some(false), HttpAnswer::NotAsked("off")).0, Running::No);
        assert_eq!(found(None, None, nobody()).0, Running::Unknown);
    }
}
