//! A fake metadata service for tests, on loopback, that answers with a closure.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

/// A received request.
pub(crate) struct Request {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A server that runs until the end of the test process.
pub(crate) struct StandIn(SocketAddr);

impl StandIn {
    /// Answers each request with a status and a body; the body may begin with headers, each ended by `\r\n\u{0}`.
    pub(crate) fn start(mut answer: impl FnMut(&Request) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let Some(first) = lines.next() else { continue };
                let mut words = first.split(' ').map(str::to_owned);
                let (method, path) = (words.next().unwrap(), words.next().unwrap());
                let headers = lines
                    .take_while(|line| !line.is_empty())
                    .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())))
                    .collect();
                let (status, text) = answer(&Request { method, path, headers });
                let (headers, body) = text.rsplit_once('\0').unwrap_or(("", &text));
                let headers = headers.replace('\0', "");
                let head = format!(
                    "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok();
            }
        });
        Self(address)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0)
    }
}

/// Returns these answers in turn, then 404.
pub(crate) fn answers(all: &'static [(u16, &'static str)]) -> StandIn {
    let mut rest = all.iter();
    StandIn::start(move |_| rest.next().map_or((404, String::new()), |(status, body)| (*status, (*body).to_owned())))
}

/// Returns the answer for a path, but only to requests with this header.
pub(crate) fn paths(
    header: Option<(&'static str, &'static str)>,
    all: &'static [(&'static str, &'static str)],
) -> StandIn {
    StandIn::start(move |request| {
        if header.is_some_and(|(name, value)| request.header(name) != Some(value)) || request.method != "GET" {
            return (400, String::new());
        }
        let found = all.iter().find(|(path, _)| *path == request.path);
        found.map_or((404, String::new()), |(_, body)| (200, (*body).to_owned()))
    })
}
