//! The driver, which runs the engine's timers, forgets what is old, and proves that it does.

use std::time::{Duration, Instant};

use tokio::time::{Instant as TokioInstant, sleep, sleep_until};

use super::waiters::BrokerState;
use super::{Broker, clock};

/// The time after which it is seen to what is to be forgotten, though nobody comes.
const FORGETS_EVERY: Duration = Duration::from_mins(1);

impl Broker {
    /// Runs the engine's timers and the hourly change of the limits' key, and forgets what is
    /// old. Never returns.
    pub async fn drive(&self) {
        loop {
            self.source_counts().advance(clock::now());
            self.forget_sightings();
            let due = {
                let mut state = self.lock();
                state.forget(clock::now());
                state.driver_sleeps_until = state.matcher.poll_timeout();
                state.driver_sleeps_until
            };
            self.driver_turned.notify_waiters();
            tokio::select! {
                () = sleep_until_due(due) => self.step(|state, now| state.matcher.handle_timeout(now)),
                () = self.driver_woken.notified() => {}
                () = sleep(FORGETS_EVERY) => {}
                () = self.keep_hours() => {}
            }
        }
    }

    /// Returns once the driver has used the engine. Never returns if the driver has ended
    /// or hangs, or if the lock is held.
    pub async fn heartbeat(&self) {
        let turned = self.driver_turned.notified();
        self.driver_woken.notify_one();
        turned.await;
    }
}

impl BrokerState {
    /// Forgets what is old of clients and sources, and their keys.
    fn forget(&mut self, now: Instant) {
        self.learning.advance(now);
        self.generations.advance(now);
        if let Some(sources) = &mut self.sources {
            sources.advance(now);
        }
    }
}

async fn sleep_until_due(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(TokioInstant::from_std(due)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::{advance, timeout};

    use crate::broker::in_tests::{caller, new_broker};
    use crate::broker::{NoAnswer, clock};
    use crate::geoip::CountryCode;
    use crate::matching::Settings;
    use crate::metrics::labels::Rendezvous;
    use crate::outcomes::{self, MatchedProxy, OutcomeClient};
    use crate::policy::RuleSet;
    use crate::wire::client::ClientPoll;
    use crate::wire::nat::NatClass;
    use crate::wire::proxy::{ProxyPoll, ProxyType, ProxyTypes};

    use super::*;

    fn broker() -> Arc<Broker> {
        Arc::new(new_broker(Settings::default()))
    }

    fn learning_broker() -> Broker {
        new_broker(Settings::default()).learning(outcomes::Settings::default(), [7; 16].into())
    }

    async fn beats(broker: &Broker) -> bool {
        let beat = timeout(Duration::from_hours(1), broker.heartbeat());
        beat.await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_heartbeat_as_long_as_the_broker_is_driven() {
        let broker = broker();
        assert!(!beats(&broker).await);
        let driven = Arc::clone(&broker);
        let task = tokio::spawn(async move { driven.drive().await });
        assert!(beats(&broker).await);
        assert!(beats(&broker).await);
        task.abort();
        assert!(!beats(&broker).await);
    }

    /// There is no driver here, so the second client is the one to find that the first
    /// one's time is up, and takes its slot.
    #[tokio::test(start_paused = true)]
    async fn who_is_due_gets_its_reply_though_another_takes_its_place() {
        let broker = broker();
        let polling = Arc::clone(&broker);
        let proxy = tokio::spawn(async move {
            let poll = br#"{"Sid":"a","Version":"1.3","NAT":"open"}"#;
            let mut poll = ProxyPoll::decode(poll, &ProxyTypes::default()).unwrap();
            polling.proxy_poll(caller(), &mut poll).await
        });
        let client = |broker: &Arc<Broker>| {
            let broker = Arc::clone(broker);
            tokio::spawn(async move {
                let poll = ClientPoll::decode(
                    b"1.0\n{\"offer\":\"{\\\"type\\\":\\\"offer\\\",\\\"sdp\\\":\\\"v=0\\\"}\"}",
                );
                let polled =
                    broker.client_poll(caller(), Rendezvous::Http, poll.unwrap(), || false);
                polled.await
            })
        };
        yield_now().await;
        let first = client(&broker);
        proxy.await.unwrap().unwrap();
        advance(Settings::default().client_timeout).await;
        let second = client(&broker);
        assert!(matches!(first.await.unwrap(), Err(NoAnswer::TimedOut)));
        assert!(!second.is_finished());
    }

    /// Otherwise the last clients of a quiet broker were known until the next request.
    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_clients_and_sources_is_forgotten_though_nobody_comes() {
        let now = clock::now();
        let broker = Arc::new(learning_broker());
        let driven = Arc::clone(&broker);
        let task = tokio::spawn(async move { driven.drive().await });
        let client = OutcomeClient {
            id: Some(1),
            earlier_id: None,
            address: None,
            offer: 1,
            voter: Some(1),
            country: CountryCode::UNKNOWN,
            class: NatClass::Strict,
            rendezvous: Rendezvous::Http,
        };
        let proxy = MatchedProxy {
            source: Some(2),
            proxy_type: ProxyType::STANDALONE,
            class: NatClass::Open,
            decided: RuleSet::NONE,
        };
        {
            let outcomes = &mut broker.lock().learning.outcomes;
            outcomes.handle_client(now, &client);
            outcomes.handle_unanswered(now, &client, &proxy);
        }
        let known = || broker.lock().learning.outcomes.sizes();
        assert_eq!(known(), [1, 1]);
        sleep(Duration::from_mins(4)).await;
        assert_eq!(known(), [0, 1]);
        sleep(Duration::from_hours(24)).await;
        assert_eq!(known(), [0, 0]);
        task.abort();
    }
}
