//! Shutdown with workers that hang or fail.

use std::sync::mpsc::channel;

use nym_mixnode_mix::ReplayWindow;

use super::*;

type Work = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// A node with these workers and without listeners.
fn node_of(works: Vec<Work>) -> (Node, nym_mixnode_link::shutdown::PhaseSignal) {
    let pair = nym_mixnode_keys::SphinxKeyPair::generate().unwrap();
    let window = ReplayWindow { length: Duration::from_secs(10), expected_rate: 100 };
    let keys = KeyRing::new(pair.secret().clone(), EngineKind::fastest(), window, Instant::now().into_std()).unwrap();
    let limits = ConnectionLimits::new(8, 8);
    let shared = Shared::new(works.len(), 1 << 20, limits, Policy::new(Rule::Any), Reach::default(), keys);
    let (control, phase) = phases();
    let worker_threads = WorkerThreads::start(works).unwrap();
    (Node { shared, worker_threads, acceptors: JoinSet::new(), control }, phase)
}

#[tokio::test]
async fn a_worker_that_hangs_does_not_block_the_stop() {
    let (release, released) = channel::<()>();
    let hangs = Box::new(move || {
        released.recv().ok();
        Ok(())
    });
    let (node, phase) = node_of(vec![Box::new(|| Ok(())), hangs]);
    let result = node.drain(Duration::from_millis(1)).await;
    assert!(matches!(result, Err(NodeError::WorkerHangs)), "{result:?}");
    assert!(phase.has_reached(Phase::Aborting));
    assert_eq!(NodeError::WorkerHangs.exit_code().code(), 70);
    drop(release);
}

#[tokio::test]
async fn an_acceptor_that_does_not_end_delays_the_stop_until_the_deadline_only() {
    let (mut node, mut phase) = node_of(vec![Box::new(|| Ok(()))]);
    node.acceptors.spawn(async move { phase.reached(Phase::Aborting).await });
    node.drain(Duration::from_millis(1)).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_fails_after_the_signal_ends_the_linger() {
    let fails: Work = Box::new(|| Err(io::Error::other("by the test")));
    let (mut node, _) = node_of(vec![fails]);
    let result = node.linger(Duration::from_hours(1)).await;
    assert!(matches!(result, Err(NodeError::WorkerFailed)), "{result:?}");
    let result = node.drain(Duration::from_hours(1)).await;
    assert!(matches!(result, Err(NodeError::WorkerFailed)), "{result:?}");
}
