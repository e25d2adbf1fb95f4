//! OTLP export, isolated from the node: a dedicated thread with its own runtime, and bounded queues.
//!
//! Only the shutdown waits for it, for a bounded time. Data that does not fit into a queue or is not delivered counts
//! as lost.
//!
//! Usage: call [`Telemetry::start`] before everything else, [`Telemetry::window_ended`] at the end of each window,
//! [`Telemetry::call`] around requests to the directory, and [`Telemetry::stop`] last.

#[cfg(any(test, feature = "testing"))]
mod capture;
mod meters;
mod outbox;
mod resource;
mod settings;
mod spans;
mod transport;

use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use nym_mixnode_address::Detection;
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp as otlp;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanExporter};
use rustix::process::setpriority_process;
use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::losses::{Loss, Losses, Signal};
use super::readings::Reading;
use super::window::Window;

#[cfg(any(test, feature = "testing"))]
pub use capture::{Capture, Captured};
pub use settings::{Settings, VariableError};
pub use spans::Call;

use meters::Meters;
use outbox::Route;

/// Longest time that the shutdown waits for the remaining exports.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Queue length: ends of windows that wait for an earlier export.
const WINDOWS_MAX: usize = 4;

/// The lowest scheduling priority.
const NICE: i32 = 19;

/// Name of the instrumentation scope.
const SCOPE: &str = "nym-mixnode";

/// The configured export cannot be started.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("cannot export telemetry to {endpoint}: {problem}")]
    Exporter { endpoint: String, problem: String },
    #[error("cannot start a thread for the export of telemetry: {0}")]
    Thread(#[source] io::Error),
}

/// Handle to export spans and metrics; cheap to clone. The default exports nothing.
#[derive(Debug, Clone, Default)]
pub struct Telemetry(Option<Arc<Exports>>);

#[derive(Debug)]
struct Exports {
    tracer: Option<SdkTracer>,
    windows: Option<mpsc::Sender<Vec<Reading>>>,
    stops: mpsc::Sender<Stop>,
    losses: Arc<Losses>,
    /// Keeps the tracer alive.
    _provider: Option<SdkTracerProvider>,
}

/// The final request to the thread.
struct Stop {
    /// The final values of the metrics.
    readings: Vec<Reading>,
    done: oneshot::Sender<()>,
}

/// Lowers the priority of the calling thread, so that answers of a collector cannot delay packets on a busy core.
fn stand_back() {
    // On Linux this value is per thread.
    if let Err(error) = setpriority_process(None, NICE) {
        debug!(%error, "cannot lower the priority of the telemetry export");
    }
}

impl Telemetry {
    /// Starts the export of `settings`; `cloud` is the detected cloud, if any.
    ///
    /// # Errors
    /// If an exporter cannot be created from its settings, or the thread cannot be started.
    pub fn start(settings: &Settings, cloud: Option<&'static str>) -> Result<Self, StartError> {
        let runtime = Background::new().map_err(StartError::Thread)?;
        let (spans, metrics) = routes(settings, &runtime)?;
        settings.traces.iter().for_each(|signal| announce(Signal::Traces, signal));
        settings.metrics.iter().for_each(|signal| announce(Signal::Metrics, signal));
        Self::with_routes(settings, cloud, runtime, spans, metrics).map_err(StartError::Thread)
    }

    /// Creates everything that `settings` require, without starting it.
    ///
    /// # Errors
    /// As [`Telemetry::start`].
    pub fn check(settings: &Settings) -> Result<(), StartError> {
        let runtime = Background::new().map_err(StartError::Thread)?;
        routes(settings, &runtime).map(drop)
    }

    fn with_routes<S: SpanExporter + 'static, M: PushMetricExporter>(
        settings: &Settings,
        cloud: Option<&'static str>,
        runtime: Background,
        spans: Option<Route<S>>,
        metrics: Option<Route<M>>,
    ) -> io::Result<Self> {
        let resource = resource::resource(cloud, &settings.resource);
        let losses = Arc::<Losses>::default();
        let (stops, stopped) = mpsc::channel(1);
        let mut tasks = outbox::Tasks::new(stopped);
        let mut provider = None;
        if let Some(mut route) = spans {
            route.exporter.set_resource(&resource);
            let (processor, task) = outbox::queue(route, settings.batches, &losses);
            tasks.spans = Some(task);
            let builder = SdkTracerProvider::builder().with_sampler(settings.sampler.clone());
            provider = Some(builder.with_resource(resource.clone()).with_span_processor(processor).build());
        }
        let mut windows = None;
        if let Some(route) = metrics {
            let (sender, receiver) = mpsc::channel(WINDOWS_MAX);
            let meters = Meters::new(resource, settings.temporality);
            tasks.metrics = Some(outbox::MetricTask::new(receiver, meters, route, settings, Arc::clone(&losses)));
            windows = Some(sender);
        }
        let run = move || {
            stand_back();
            runtime.run(tasks.run());
        };
        thread::Builder::new().name("telemetry".to_owned()).spawn(run)?;
        let scope = InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build();
        let tracer = provider.as_ref().map(|provider| provider.tracer_with_scope(scope));
        Ok(Self(Some(Arc::new(Exports { tracer, windows, stops, losses, _provider: provider }))))
    }

    /// The export counters.
    #[must_use]
    pub fn losses(&self) -> Arc<Losses> {
        self.0.as_ref().map(|exports| Arc::clone(&exports.losses)).unwrap_or_default()
    }

    /// Queues a closed window and the metrics at its end. Never blocks.
    pub fn window_ended(&self, window: &Window, readings: Vec<Reading>) {
        let Some(exports) = &self.0 else { return };
        if let Some(tracer) = &exports.tracer {
            spans::window(tracer, window);
        }
        self.metrics(readings);
    }

    /// Queues the metrics at the end of a window. Never blocks.
    pub fn metrics(&self, readings: Vec<Reading>) {
        let Some(exports) = &self.0 else { return };
        if let Some(windows) = &exports.windows
            && windows.try_send(readings).is_err()
        {
            exports.losses.count_lost(Signal::Metrics, Loss::QueueFull, 1, "the queue is full");
        }
    }

    /// Begins the span of a request to the directory; `route` is the path. The address is not exported.
    #[must_use]
    pub fn call(&self, name: &'static str, method: &'static str, route: &'static str, failures_before: u32) -> Call {
        Call::begin(self.tracer(), name, method, route, failures_before)
    }

    /// Runs an address detection within a span.
    pub async fn detect(&self, detect: impl Future<Output = Detection>) -> Detection {
        let mut call = Call::detection(self.tracer());
        let detection = detect.await;
        call.detected(&detection);
        detection
    }

    fn tracer(&self) -> Option<&SdkTracer> {
        self.0.as_ref().and_then(|exports| exports.tracer.as_ref())
    }

    /// Exports what is queued, and `readings`, within [`STOP_TIMEOUT`]. Nothing is exported afterwards.
    pub async fn stop(&self, readings: Vec<Reading>) {
        let Some(exports) = &self.0 else { return };
        let (done, is_done) = oneshot::channel();
        // Fails only if the thread has already stopped.
        if exports.stops.try_send(Stop { readings, done }).is_ok() && timeout(STOP_TIMEOUT, is_done).await.is_err() {
            warn!("The collector did not answer in time; the remaining exports are lost");
        }
    }
}

type Routes = (Option<Route<otlp::SpanExporter>>, Option<Route<otlp::MetricExporter>>);

/// Exporters for the collectors.
fn routes(settings: &Settings, runtime: &Background) -> Result<Routes, StartError> {
    let _context = runtime.enter();
    let spans = settings.traces.as_ref().map(transport::spans).transpose()?;
    let metrics = settings.metrics.as_ref().map(|signal| transport::metrics(signal, settings.temporality));
    Ok((spans, metrics.transpose()?))
}

/// Runtime of the telemetry thread. Its drop does not wait for a pending name look-up, so it may be dropped where
/// blocking is not allowed.
struct Background(Option<Runtime>);

impl Background {
    fn new() -> io::Result<Self> {
        // Name look-ups block a thread, one for each signal.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
        Ok(Self(Some(runtime)))
    }

    fn enter(&self) -> Option<tokio::runtime::EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }

    fn run(&self, work: impl Future<Output = ()>) {
        if let Some(runtime) = &self.0 {
            runtime.block_on(work);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn announce(signal: Signal, settings: &settings::SignalSettings) {
    let (endpoint, protocol) = (settings.endpoint_for_people(), settings.protocol);
    info!("Exporting {} to {endpoint} by {protocol}", signal.name());
}

#[cfg(test)]
mod tests;
