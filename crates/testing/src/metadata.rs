//! Fakes of AWS's and Google's metadata services, as strict as the originals.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Its answers, which tests change while it runs.
#[derive(Clone)]
pub struct Answers {
    pub public_v4: Option<&'static str>,
    pub public_v6: Option<&'static str>,
    pub mood: Mood,
    /// Number of requests for which a token is valid.
    pub token_uses: u32,
}

/// Behaviour of the service.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Reads the request and never answers.
    Hangs,
    /// Answers 503 to this many requests.
    Busy(u32),
    /// Answers with a megabyte of digits.
    Megabyte,
    /// Answers with the page of a captive portal.
    Html,
}

impl Default for Answers {
    fn default() -> Self {
        Self { public_v4: None, public_v6: None, mood: Mood::Well, token_uses: 3 }
    }
}

#[derive(Clone, Default)]
pub struct Metadata(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: Answers,
    tokens: u32,
    uses_left: u32,
}

struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

struct Reply {
    status: &'static str,
    header: &'static str,
    body: String,
}

impl Metadata {
    /// Serves at these addresses, which `bind` listens on, as long as the test's process lives.
    pub fn serve(bind: impl Fn(SocketAddr) -> TcpListener, at: &[&str], answers: Answers) -> Self {
        let metadata = Self::default();
        metadata.0.lock().unwrap().answers = answers;
        for address in at {
            let listener = bind(address.parse().unwrap());
            let served = metadata.clone();
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let served = served.clone();
                    thread::spawn(move || served.answer(stream));
                }
            });
        }
        metadata
    }

    pub fn change(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.0.lock().unwrap().answers);
    }

    fn answer(&self, mut stream: TcpStream) {
        let Some(request) = read(&stream) else { return };
        let mood = {
            let mut state = self.0.lock().unwrap();
            let mood = state.answers.mood;
            if let Mood::Busy(times) = mood {
                state.answers.mood = times.checked_sub(1).map_or(Mood::Well, Mood::Busy);
            }
            mood
        };
        let reply = match mood {
            Mood::Hangs => {
                thread::park_timeout(Duration::from_secs(30));
                return;
            }
            Mood::Busy(1..) => Reply { status: "503 Service Unavailable", header: "", body: String::new() },
            Mood::Megabyte => {
                Reply { status: "200 OK", header: "Metadata-Flavor: Google\r\n", body: "1".repeat(1 << 20) }
            }
            Mood::Html => Reply { status: "200 OK", header: "", body: "<html><body>Log in</body></html>".to_owned() },
            Mood::Well | Mood::Busy(0) => self.0.lock().unwrap().reply(&request),
        };
        let Reply { status, header, body } = reply;
        let length = body.len();
        // The client may disconnect early.
        write!(stream, "HTTP/1.1 {status}\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}").ok();
    }
}

impl State {
    fn reply(&mut self, request: &Request) -> Reply {
        if request.path.starts_with("/computeMetadata/") { self.google(request) } else { self.amazon(request) }
    }

    fn amazon(&mut self, request: &Request) -> Reply {
        let plain = |status| Reply { status, header: "", body: String::new() };
        if request.header("X-Forwarded-For").is_some() {
            return plain("403 Forbidden");
        }
        if request.path == "/latest/api/token" {
            let ttl = request.header("X-aws-ec2-metadata-token-ttl-seconds").map(str::parse::<u32>);
            return match (request.method.as_str(), ttl) {
                ("PUT", Some(Ok(1..=21600))) => {
                    self.tokens += 1;
                    self.uses_left = self.answers.token_uses;
                    Reply { status: "200 OK", header: "", body: self.token() }
                }
                ("PUT", _) => plain("400 Bad Request"),
                _ => plain("405 Method Not Allowed"),
            };
        }
        if request.method != "GET" {
            return plain("405 Method Not Allowed");
        }
        if request.header("X-aws-ec2-metadata-token") != Some(&self.token()) || self.uses_left == 0 {
            return plain("401 Unauthorized");
        }
        self.uses_left -= 1;
        let value = match request.path.strip_prefix("/latest/meta-data/") {
            Some("local-ipv4") => Some("10.126.5.7"),
            Some("mac") => Some("02:29:96:8f:6a:2d"),
            Some("public-ipv4" | "network/interfaces/macs/02:29:96:8f:6a:2d/public-ipv4s") => self.answers.public_v4,
            Some("network/interfaces/macs/02:29:96:8f:6a:2d/ipv6s") => self.answers.public_v6,
            Some("iam/security-credentials/") => Some("nym-node"),
            Some("iam/security-credentials/nym-node") => {
                Some(r#"{"AccessKeyId": "ASIAKIT", "SecretAccessKey": "a-secret-key", "Token": "a-session-token"}"#)
            }
            _ => None,
        };
        value.map_or(plain("404 Not Found"), |value| Reply { status: "200 OK", header: "", body: value.to_owned() })
    }

    fn google(&self, request: &Request) -> Reply {
        const SIGNED: &str = "Metadata-Flavor: Google\r\nServer: Metadata Server for VM\r\n";
        let empty = |status| Reply { status, header: SIGNED, body: String::new() };
        let host = request.header("Host");
        if request.header("Metadata-Flavor") != Some("Google") || request.header("X-Forwarded-For").is_some() {
            return empty("403 Forbidden");
        }
        if host != Some("metadata.google.internal") || request.method != "GET" {
            return empty("404 Not Found");
        }
        if request.path == "/computeMetadata/v1/instance/service-accounts/default/token" {
            return Reply {
                status: "200 OK",
                header: SIGNED,
                body: r#"{"access_token": "a-google-token"}"#.to_owned(),
            };
        }
        let value = match request.path.strip_prefix("/computeMetadata/v1/instance/network-interfaces/0/") {
            Some("ip") => Some("10.126.5.7"),
            // An interface without an external address answers with nothing.
            Some("access-configs/0/external-ip") => Some(self.answers.public_v4.unwrap_or_default()),
            Some("ipv6s") => self.answers.public_v6,
            _ => None,
        };
        value.map_or(empty("404 Not Found"), |value| Reply { status: "200 OK", header: SIGNED, body: value.to_owned() })
    }

    fn token(&self) -> String {
        format!("AQAEA{}==", self.tokens)
    }
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers = lines.take_while(|line| !line.is_empty());
    let headers =
        headers.filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())));
    Some(Request { method, path, headers: headers.collect() })
}
