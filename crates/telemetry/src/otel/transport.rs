//! The OTLP exporters: over gRPC or HTTP, with the configured certificates.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nym_mixnode_base::cause::innermost;
use nym_mixnode_base::http_client;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, ResponseBodyTooLarge};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use opentelemetry_otlp::{
    Compression, MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::metrics::Temporality;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::StartError;
use super::outbox::Route;
use super::settings::{SignalSettings, Tls};
use crate::OtlpProtocol;

/// What is wrong with an exporter's settings, in one line.
type Problem = String;

/// The last transport error, which the exporter does not report itself.
pub(super) type LastError = Arc<Mutex<Option<String>>>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Size limit of a collector's answer, in bytes.
const BODY_BYTES_MAX: usize = 256 << 10;

/// Creates the exporter of spans. Needs the runtime on which it will run.
pub(super) fn spans(settings: &SignalSettings) -> Result<Route<SpanExporter>, StartError> {
    route(settings, |last_error| {
        let built = match settings.protocol {
            OtlpProtocol::Grpc => grpc(SpanExporter::builder().with_tonic(), settings).build(),
            OtlpProtocol::Http => http(SpanExporter::builder().with_http(), settings, last_error)?.build(),
        };
        built.map_err(|error| error.to_string())
    })
}

/// Creates the exporter of metrics. Needs the runtime on which it will run.
pub(super) fn metrics(
    settings: &SignalSettings,
    temporality: Temporality,
) -> Result<Route<MetricExporter>, StartError> {
    let builder = MetricExporter::builder().with_temporality(temporality);
    route(settings, |last_error| {
        let built = match settings.protocol {
            OtlpProtocol::Grpc => grpc(builder.with_tonic(), settings).build(),
            OtlpProtocol::Http => http(builder.with_http(), settings, last_error)?.build(),
        };
        built.map_err(|error| error.to_string())
    })
}

fn route<E>(
    settings: &SignalSettings,
    exporter: impl FnOnce(&LastError) -> Result<E, Problem>,
) -> Result<Route<E>, StartError> {
    let (last_error, endpoint) = (LastError::default(), settings.endpoint_for_people());
    match exporter(&last_error) {
        Ok(exporter) => Ok(Route { exporter, timeout: settings.timeout, endpoint, last_error }),
        Err(problem) => Err(StartError::Exporter { endpoint, problem }),
    }
}

fn grpc<B: WithExportConfig + WithTonicConfig>(builder: B, settings: &SignalSettings) -> B {
    let builder = builder.with_endpoint(settings.endpoint.as_str()).with_timeout(settings.timeout);
    let builder = builder.with_metadata(MetadataMap::from_headers(settings.headers.clone()));
    let builder = if settings.gzip { builder.with_compression(Compression::Gzip) } else { builder };
    if settings.endpoint.scheme() != "https" {
        return builder;
    }
    let Tls { authority, client } = &settings.tls;
    let tls = match authority {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    builder.with_tls_config(match client {
        Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
        None => tls,
    })
}

fn http<B: WithExportConfig + WithHttpConfig>(
    builder: B,
    settings: &SignalSettings,
    last_error: &LastError,
) -> Result<B, Problem> {
    let client = client(settings).map_err(|error| innermost(&error))?;
    let client = Client { http: client, last_error: Arc::clone(last_error) };
    let builder = builder.with_endpoint(settings.endpoint.as_str()).with_timeout(settings.timeout);
    let builder = builder.with_http_client(client).with_headers(encoded(&settings.headers));
    Ok(if settings.gzip { builder.with_compression(Compression::Gzip) } else { builder })
}

/// The headers for the exporter, which decodes percent signs. It also reads the variables itself, but there an empty
/// variable of the signal hides the general one.
fn encoded(headers: &HeaderMap) -> HashMap<String, String> {
    let header =
        |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), value.to_str().ok()?.replace('%', "%25")));
    headers.iter().filter_map(header).collect()
}

/// Sends requests, limits the size of answers, and records errors.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    last_error: LastError,
}

impl Client {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut response = self.http.execute(request.try_into()?).await?;
        let body =
            http_client::read_body(&mut response, BODY_BYTES_MAX).await?.ok_or_else(ResponseBodyTooLarge::new)?;
        let headers = std::mem::take(response.headers_mut());
        let mut answer = Response::builder().status(response.status()).body(body.into())?;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

impl HttpClient for Client {
    fn send_bytes<'client, 'answer>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'answer>>
    where
        'client: 'answer,
        Self: 'answer,
    {
        Box::pin(async {
            let answer = self.send(request).await;
            let problem = answer.as_ref().err().map(|error| innermost(error.as_ref()));
            *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = problem;
            answer
        })
    }
}

fn client(settings: &SignalSettings) -> reqwest::Result<reqwest::Client> {
    let mut builder = http_client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(settings.timeout);
    let Tls { authority, client } = &settings.tls;
    if let Some(pem) = authority {
        builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?);
    } else if settings.endpoint.scheme() == "http" {
        builder = builder.tls_certs_only([]);
    }
    if let Some((certificate, key)) = client {
        builder = builder.identity(reqwest::Identity::from_pem(&[certificate.as_slice(), b"\n", key].concat())?);
    }
    builder.build()
}
