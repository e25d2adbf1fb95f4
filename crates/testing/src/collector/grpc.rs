//! The same collectors over gRPC.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Response};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Manner, Request};

/// A message without a field: no flags, and no bytes.
const EMPTY: &[u8] = &[0; 5];
/// `UNAVAILABLE`.
const UNAVAILABLE: &str = "14";

pub(super) async fn serve(stream: TcpStream, manner: Manner, requests: mpsc::Sender<Request>) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    let mut answers = JoinSet::new();
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        let head = format!("POST {} ", request.uri().path());
        answers.spawn(async move {
            read(request.into_body()).await?;
            answer(respond, manner).await
        });
        requests.try_send(Request { head, body: Vec::new() }).ok();
    }
    Ok(())
}

async fn read(mut body: RecvStream) -> Result<(), h2::Error> {
    while let Some(bytes) = body.data().await {
        let length = bytes?.len();
        body.flow_control().release_capacity(length)?;
    }
    Ok(())
}

async fn answer(mut respond: SendResponse<Bytes>, manner: Manner) -> Result<(), h2::Error> {
    let head = Response::builder().header("content-type", "application/grpc");
    match manner {
        Manner::Silent | Manner::BlackHole => std::future::pending().await,
        Manner::Unavailable => {
            respond.send_response(head.header("grpc-status", UNAVAILABLE).body(()).unwrap(), true).map(drop)
        }
        Manner::Works => {
            let mut stream = respond.send_response(head.body(()).unwrap(), false)?;
            stream.send_data(Bytes::from_static(EMPTY), false)?;
            stream.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from(0))]))
        }
        Manner::Garbage => {
            let mut stream = respond.send_response(head.body(()).unwrap(), false)?;
            send(&mut stream, &[0xfe; 4096]).await?;
            stream.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        Manner::Slow => {
            let mut stream = respond.send_response(head.body(()).unwrap(), false)?;
            for byte in EMPTY.chunks(1) {
                send(&mut stream, byte).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            std::future::pending().await
        }
        Manner::Huge => {
            let mut stream = respond.send_response(head.body(()).unwrap(), false)?;
            loop {
                // One message after another, where there must be one.
                send(&mut stream, EMPTY).await?;
            }
        }
    }
}

/// Sends as much as the peer accepts, once it accepts some.
async fn send(stream: &mut SendStream<Bytes>, bytes: &'static [u8]) -> Result<(), h2::Error> {
    stream.reserve_capacity(bytes.len());
    while stream.capacity() < bytes.len() {
        match std::future::poll_fn(|context| stream.poll_capacity(context)).await {
            Some(capacity) => drop(capacity?),
            None => return Err(Reason::CANCEL.into()),
        }
    }
    stream.send_data(Bytes::from_static(bytes), false)
}
