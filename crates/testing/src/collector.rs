//! Telemetry collectors on real sockets, working and faulty.

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_telemetry::TelemetryConfig;
use nym_mixnode_telemetry::otel::{Settings, Telemetry};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::PATIENCE;

mod grpc;

/// Behaviour of a collector.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// Answers each request with success.
    Works,
    /// Neither reads nor answers.
    BlackHole,
    /// Reads requests and never answers.
    Silent,
    Unavailable,
    /// Answers with one byte per second.
    Slow,
    Garbage,
    /// Sends an endless answer.
    Huge,
}

/// Request of OTLP over HTTP.
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

/// Collector on a real socket.
pub struct Collector {
    address: SocketAddr,
    pub requests: mpsc::Receiver<Request>,
    _tasks: JoinSet<()>,
}

impl Collector {
    pub async fn start(manner: Manner) -> Self {
        Self::listen(move |stream, sender| serve(stream, manner, sender)).await
    }

    /// The same over gRPC. Only the path of each request is kept.
    pub async fn start_grpc(manner: Manner) -> Self {
        Self::listen(move |stream, sender| async move { drop(grpc::serve(stream, manner, sender).await) }).await
    }

    async fn listen<S: Future<Output = ()> + Send>(
        serve: impl Fn(TcpStream, mpsc::Sender<Request>) -> S + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::channel(1000);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (serve, sender) = (serve.clone(), sender.clone());
                connections.spawn(async move { serve(stream, sender).await });
            }
        });
        Self { address, requests, _tasks: tasks }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Telemetry that exports to this collector, which must be a working HTTP one.
    pub fn telemetry(&self) -> Telemetry {
        let config = TelemetryConfig { otlp_endpoint: self.endpoint().parse().ok(), ..TelemetryConfig::default() };
        let settings = Settings::parse(std::iter::empty(), &config).unwrap().unwrap();
        Telemetry::start(&settings, None).unwrap()
    }

    /// Traces and metrics received since the last call.
    pub fn exported(&mut self) -> (Vec<ExportTraceServiceRequest>, Vec<ExportMetricsServiceRequest>) {
        let (mut traces, mut metrics) = (Vec::new(), Vec::new());
        while let Ok(Request { head, body }) = self.requests.try_recv() {
            match head.split(' ').nth(1) {
                Some("/v1/traces") => traces.push(ExportTraceServiceRequest::decode(body.as_slice()).unwrap()),
                Some("/v1/metrics") => metrics.push(ExportMetricsServiceRequest::decode(body.as_slice()).unwrap()),
                other => panic!("{other:?}"),
            }
        }
        (traces, metrics)
    }

    /// Waits for the next request to this path.
    pub async fn request(&mut self, path: &str) -> Request {
        let wanted = async {
            loop {
                let request = self.requests.recv().await.unwrap();
                if request.head.starts_with(&format!("POST {path} ")) {
                    return request;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wanted).await.expect("a request")
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, requests: mpsc::Sender<Request>) {
    if matches!(manner, Manner::BlackHole) {
        return std::future::pending().await;
    }
    while let Some(request) = read_request(&mut stream).await {
        requests.try_send(request).ok();
        let written = match manner {
            Manner::Works => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await,
            Manner::Unavailable => {
                stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await
            }
            Manner::Garbage => stream.write_all(&[0xfe; 4096]).await,
            Manner::Slow => drip(&mut stream).await,
            Manner::Huge => flood(&mut stream).await,
            Manner::Silent | Manner::BlackHole => return std::future::pending().await,
        };
        if written.is_err() {
            return;
        }
    }
}

async fn drip(stream: &mut TcpStream) -> std::io::Result<()> {
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".iter().chain(&[0; 1000]) {
        stream.write_all(&[*byte]).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

async fn flood(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n").await?;
    loop {
        stream.write_all(&[b'x'; 1 << 12]).await?;
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length =
                head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let whole = end + 4 + length.unwrap_or(0_usize);
            while bytes.len() < whole {
                (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
            }
            return Some(Request { head, body: bytes[end + 4..whole].to_vec() });
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    }
}
