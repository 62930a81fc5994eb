//! A circuit breaker that keeps a failing peer from costing clients their time.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::metrics::labels::CircuitState;

/// The number of consecutive failures that opens the circuit.
const FAILURES_MAX: u32 = 5;
/// The first pause after the circuit opens.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, after repeated failed trials.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const PAUSES: Backoff = Backoff::doubling(FIRST_PAUSE, LONGEST_PAUSE);

/// A circuit breaker. Closed, it allows all calls; after too many consecutive failures it
/// opens and allows none; half-open, it allows one trial call, which decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circuit {
    phase: CircuitPhase,
    /// The number of openings since the last answered call.
    openings: u32,
}

#[derive(Clone, Copy, Debug)]
enum CircuitPhase {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { on_trial: bool },
}

impl Circuit {
    pub(super) fn new() -> Self {
        Self {
            phase: CircuitPhase::Closed { failures: 0 },
            openings: 0,
        }
    }

    /// Returns true if a call is allowed.
    pub(super) fn allows(&self, now: Instant) -> bool {
        match self.phase {
            CircuitPhase::Closed { .. } => true,
            CircuitPhase::Open { until } => until <= now,
            CircuitPhase::HalfOpen { on_trial } => !on_trial,
        }
    }

    /// Begins an allowed call.
    pub(super) fn begin(&mut self) {
        if !matches!(self.phase, CircuitPhase::Closed { .. }) {
            self.phase = CircuitPhase::HalfOpen { on_trial: true };
        }
    }

    /// Records that a call was answered, whatever the answer.
    pub(super) fn succeeded(&mut self) {
        self.phase = CircuitPhase::Closed { failures: 0 };
        self.openings = 0;
    }

    /// Records that a call failed.
    pub(super) fn failed(&mut self, now: Instant, jitter: f64) {
        match self.phase {
            CircuitPhase::Closed { failures } if failures + 1 < FAILURES_MAX => {
                self.phase = CircuitPhase::Closed {
                    failures: failures + 1,
                };
            }
            // The call began before the circuit opened.
            CircuitPhase::Open { until } if until > now => {}
            _ => {
                self.openings = self.openings.saturating_add(1);
                let until = now + PAUSES.delay(self.openings, jitter);
                self.phase = CircuitPhase::Open { until };
            }
        }
    }

    /// Records that a call was cancelled without a result.
    pub(super) fn cancelled(&mut self) {
        if let CircuitPhase::HalfOpen { on_trial } = &mut self.phase {
            *on_trial = false;
        }
    }

    /// Records a new connection: earlier failures may have been due to the old one.
    pub(super) fn reconnected(&mut self) {
        self.phase = match self.phase {
            CircuitPhase::Closed { .. } => CircuitPhase::Closed { failures: 0 },
            CircuitPhase::Open { .. } | CircuitPhase::HalfOpen { .. } => {
                CircuitPhase::HalfOpen { on_trial: false }
            }
        };
    }

    pub(super) fn state(&self, now: Instant) -> CircuitState {
        match self.phase {
            CircuitPhase::Closed { .. } => CircuitState::Closed,
            CircuitPhase::Open { until } if until > now => CircuitState::Open,
            CircuitPhase::Open { .. } | CircuitPhase::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn now() -> Instant {
        Instant::now()
    }

    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::new();
        for _ in 0..FAILURES_MAX {
            assert!(circuit.allows(now));
            circuit.begin();
            circuit.failed(now, 0.0);
        }
        circuit
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_tries_once_later() {
        let now = now();
        let mut circuit = opened(now);
        assert_eq!(circuit.state(now), CircuitState::Open);
        assert!(!circuit.allows(now));
        let later = now + FIRST_PAUSE;
        assert_eq!(circuit.state(later), CircuitState::HalfOpen);
        assert!(circuit.allows(later));
        circuit.begin();
        assert!(!circuit.allows(later), "one trial at a time");
        circuit.succeeded();
        assert_eq!(circuit.state(later), CircuitState::Closed);
    }

    #[test]
    fn each_failed_trial_doubles_the_pause() {
        let mut now = now();
        let mut circuit = opened(now);
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            let pause = Duration::from_secs(pause);
            assert!(!circuit.allows(now + pause.mul_f64(0.99)));
            now += pause;
            assert!(circuit.allows(now));
            circuit.begin();
            circuit.failed(now, 0.0);
        }
    }

    #[test]
    fn an_answer_in_between_begins_the_count_anew() {
        let now = now();
        let mut circuit = Circuit::new();
        for _ in 0..10 {
            for _ in 1..FAILURES_MAX {
                circuit.failed(now, 0.0);
            }
            circuit.succeeded();
        }
        assert_eq!(circuit.state(now), CircuitState::Closed);
    }

    #[test]
    fn a_trial_that_was_given_up_makes_room_for_another() {
        let now = now();
        let mut circuit = opened(now);
        circuit.reconnected();
        circuit.begin();
        assert!(!circuit.allows(now));
        circuit.cancelled();
        assert!(circuit.allows(now));
        circuit.begin();
        circuit.failed(now, 0.0);
        assert_eq!(circuit.state(now), CircuitState::Open);
    }

    #[test]
    fn a_late_failure_does_not_prolong_the_pause() {
        let now = now();
        let mut circuit = opened(now);
        circuit.failed(now + FIRST_PAUSE / 2, 0.0);
        assert!(circuit.allows(now + FIRST_PAUSE));
    }
}
