//! The shutdown phases of a node, signalled to all tasks.

use tokio::sync::watch;

/// Shutdown phase of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Normal operation.
    Running,
    /// No new connections and packets; packets in the node leave when they are due.
    Draining,
    /// The drain deadline has passed: the remaining packets are dropped and counted.
    Aborting,
}

/// Moves the node from phase to phase.
#[derive(Debug)]
pub struct PhaseControl(watch::Sender<Phase>);

/// Lets tasks await a phase. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PhaseSignal(watch::Receiver<Phase>);

/// Creates a control in the phase [`Phase::Running`], and its signal.
#[must_use]
pub fn phases() -> (PhaseControl, PhaseSignal) {
    let (sender, receiver) = watch::channel(Phase::Running);
    (PhaseControl(sender), PhaseSignal(receiver))
}

impl PhaseControl {
    /// Enters `phase`; phases never go backwards.
    pub fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let advances = phase > *now;
            if advances {
                *now = phase;
            }
            advances
        });
    }
}

impl PhaseSignal {
    /// Completes when the node is in `phase` or a later one, or when the control is dropped.
    pub async fn reached(&mut self, phase: Phase) {
        // An error means that the control was dropped, which happens only after the last phase.
        drop(self.0.wait_for(|now| *now >= phase).await);
    }

    /// Whether the node is in `phase` or a later one.
    #[must_use]
    pub fn has_reached(&self, phase: Phase) -> bool {
        *self.0.borrow() >= phase
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_advance() {
        let (control, mut signal) = phases();
        assert!(!signal.has_reached(Phase::Draining));
        control.enter(Phase::Aborting);
        control.enter(Phase::Draining);
        assert!(signal.has_reached(Phase::Draining) && signal.has_reached(Phase::Aborting));
        signal.reached(Phase::Draining).await;
        signal.reached(Phase::Aborting).await;
    }
}
