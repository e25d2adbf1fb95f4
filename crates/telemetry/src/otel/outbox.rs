//! The telemetry thread: batches spans, reads metrics at the ends of windows, and sends both with a timeout.

use std::future::pending;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::Stop;
use super::meters::Meters;
use super::settings::{Batches, Settings};
use super::transport::LastError;
use crate::losses::{Loss, Losses, Signal};
use crate::readings::Reading;

/// A collector and its exporter.
pub(super) struct Route<E> {
    pub(super) exporter: E,
    pub(super) timeout: Duration,
    /// The URL without a password.
    pub(super) endpoint: String,
    pub(super) last_error: LastError,
}

impl<E> Route<E> {
    /// Waits for an export, with a timeout, and counts the result.
    async fn send(
        &self,
        signal: Signal,
        count: u64,
        timeout_max: Duration,
        export: impl Future<Output = OTelSdkResult>,
        losses: &Losses,
    ) {
        let limit = timeout_max.min(self.timeout);
        let began = Instant::now();
        let problem = match timeout(limit, export).await {
            Ok(Ok(())) => return losses.count_exported(signal, count),
            Ok(Err(OTelSdkError::InternalFailure(problem))) => problem,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        let cause = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).take();
        let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
        let loss = if began.elapsed() >= limit { Loss::TimedOut } else { Loss::Failed };
        losses.count_lost(signal, loss, count, &format!("{}: {problem}{cause}", self.endpoint));
    }
}

/// Creates a queue of spans: the processor that fills it, and the task that empties it.
pub(super) fn queue<E>(route: Route<E>, batches: Batches, losses: &Arc<Losses>) -> (Processor, SpanTask<E>) {
    let (sender, queue) = mpsc::channel(batches.queue_max);
    let processor = Processor { queue: sender, losses: Arc::clone(losses) };
    (processor, SpanTask { queue, route, batches, losses: Arc::clone(losses) })
}

/// Queues ended spans without blocking.
#[derive(Debug)]
pub(super) struct Processor {
    queue: mpsc::Sender<SpanData>,
    losses: Arc<Losses>,
}

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.queue.try_send(span).is_err() {
            self.losses.count_lost(Signal::Traces, Loss::QueueFull, 1, "the queue is full");
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends spans in batches.
pub(super) struct SpanTask<E> {
    queue: mpsc::Receiver<SpanData>,
    route: Route<E>,
    batches: Batches,
    losses: Arc<Losses>,
}

impl<E: SpanExporter> SpanTask<E> {
    /// Runs until a stop is requested and the queue is empty.
    async fn run(mut self, mut stopping: watch::Receiver<LastReadings>) {
        loop {
            let mut batch = Vec::new();
            let is_last = tokio::select! {
                biased;
                count = self.queue.recv_many(&mut batch, self.batches.batch_max) => count == 0,
                () = stop_requested(&mut stopping) => true,
            };
            if is_last {
                return self.empty(batch).await;
            }
            self.fill(&mut batch, &mut stopping).await;
            self.send(batch).await;
        }
    }

    /// Waits for more spans, for the configured delay.
    async fn fill(&mut self, batch: &mut Vec<SpanData>, stopping: &mut watch::Receiver<LastReadings>) {
        let until = Instant::now() + self.batches.delay;
        while batch.len() < self.batches.batch_max {
            let missing = self.batches.batch_max - batch.len();
            tokio::select! {
                count = self.queue.recv_many(batch, missing) => if count == 0 { return },
                () = sleep_until(until) => return,
                () = stop_requested(stopping) => return,
            }
        }
    }

    async fn empty(&mut self, mut batch: Vec<SpanData>) {
        while let Ok(span) = self.queue.try_recv() {
            batch.push(span);
        }
        if !batch.is_empty() {
            self.send(batch).await;
        }
    }

    async fn send(&self, batch: Vec<SpanData>) {
        let Self { route, batches, losses, .. } = self;
        let count = batch.len() as u64;
        route.send(Signal::Traces, count, batches.timeout, route.exporter.export(batch), losses).await;
    }
}

/// Sends metrics at the ends of windows.
pub(super) struct MetricTask<E> {
    windows: mpsc::Receiver<Vec<Reading>>,
    meters: Meters,
    route: Route<E>,
    /// Minimum interval between two exports.
    interval: Duration,
    /// Timeout of one export.
    timeout: Duration,
    losses: Arc<Losses>,
}

impl<E: PushMetricExporter> MetricTask<E> {
    pub(super) fn new(
        windows: mpsc::Receiver<Vec<Reading>>,
        meters: Meters,
        route: Route<E>,
        settings: &Settings,
        losses: Arc<Losses>,
    ) -> Self {
        Self { windows, meters, route, interval: settings.metric_interval, timeout: settings.metric_timeout, losses }
    }

    /// Runs until a stop is requested, then sends the last readings. Exports are a whole number of windows apart.
    async fn run(mut self, mut stopping: watch::Receiver<LastReadings>) {
        // Ends of windows are a few milliseconds early or late.
        let interval = self.interval.mul_f64(0.95);
        let mut sent: Option<Instant> = None;
        loop {
            let readings = tokio::select! {
                biased;
                readings = self.windows.recv() => readings,
                () = stop_requested(&mut stopping) => None,
            };
            let Some(readings) = readings else { break };
            if sent.is_none_or(|sent| sent.elapsed() >= interval) {
                sent = Some(Instant::now());
                self.send(readings).await;
            }
        }
        let readings = stopping.borrow().clone().unwrap_or_default();
        if !readings.is_empty() {
            self.send(readings).await;
        }
    }

    async fn send(&mut self, readings: Vec<Reading>) {
        let Self { route, losses, timeout, .. } = self;
        match self.meters.collect(readings) {
            Ok(metrics) => {
                route.send(Signal::Metrics, 1, *timeout, route.exporter.export(&metrics), losses).await;
            }
            Err(error) => losses.count_lost(Signal::Metrics, Loss::Failed, 1, &error.to_string()),
        }
    }
}

/// The final values of the metrics, once a stop is requested.
type LastReadings = Option<Vec<Reading>>;

/// Everything that runs on the thread.
pub(super) struct Tasks<S, M> {
    pub(super) spans: Option<SpanTask<S>>,
    pub(super) metrics: Option<MetricTask<M>>,
    stops: mpsc::Receiver<Stop>,
}

impl<S: SpanExporter, M: PushMetricExporter> Tasks<S, M> {
    pub(super) fn new(stops: mpsc::Receiver<Stop>) -> Self {
        Self { spans: None, metrics: None, stops }
    }

    /// Runs until a stop is requested and everything is sent, or all handles are dropped.
    pub(super) async fn run(mut self) {
        let (stop, stopping) = watch::channel(LastReadings::None);
        let spans = async {
            if let Some(task) = self.spans {
                task.run(stopping.clone()).await;
            }
        };
        let metrics = async {
            if let Some(task) = self.metrics {
                task.run(stopping.clone()).await;
            }
        };
        let stopped = async {
            let request = self.stops.recv().await;
            let (readings, done) = request.map(|Stop { readings, done }| (readings, done)).unzip();
            stop.send_replace(Some(readings.unwrap_or_default()));
            done
        };
        let ((), (), done) = tokio::join!(spans, metrics, stopped);
        if let Some(done) = done {
            // The requester may have timed out.
            done.send(()).ok();
        }
    }
}

/// Completes when a stop is requested.
async fn stop_requested(stopping: &mut watch::Receiver<LastReadings>) {
    if stopping.wait_for(Option::is_some).await.is_err() {
        pending::<()>().await;
    }
}
