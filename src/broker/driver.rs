//! The driver, which runs the engine's timers and proves that it does.

use std::time::Instant;

use tokio::time::{Instant as TokioInstant, sleep_until};

use super::Broker;

impl Broker {
    /// Runs the engine's timers and the hourly change of the limits' key. Never returns.
    pub async fn drive(&self) {
        loop {
            let due = {
                let mut state = self.lock();
                state.driver_sleeps_until = state.matcher.poll_timeout();
                state.driver_sleeps_until
            };
            self.driver_turned.notify_waiters();
            tokio::select! {
                () = sleep_until_due(due) => self.step(|state, now| state.matcher.handle_timeout(now)),
                () = self.driver_woken.notified() => {}
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

async fn sleep_until_due(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(TokioInstant::from_std(due)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, UNIX_EPOCH};

    use tokio::task::yield_now;
    use tokio::time::{advance, timeout};

    use crate::bridges::BridgeList;
    use crate::broker::{Caller, Directory, NoAnswer, PollInterval, RequestOrigin, clock};
    use crate::matching::Settings;
    use crate::metrics::Metrics;
    use crate::metrics::distinct_ips::WindowKey;
    use crate::metrics::labels::Rendezvous;
    use crate::wire::client::ClientPoll;
    use crate::wire::proxy::{ProxyPoll, ProxyTypes};

    use super::*;

    fn broker() -> Arc<Broker> {
        let directory = Directory {
            bridges: BridgeList::default(),
            allowed_relay_pattern: "".into(),
            default_relay_pattern: Some("".into()),
            poll_interval: PollInterval::default(),
            geoip: Arc::default(),
            policy: Arc::default(),
        };
        let metrics = Arc::new(Metrics::new(UNIX_EPOCH, WindowKey::from([7; 16])));
        Arc::new(Broker::new(Settings::default(), directory, metrics, 7))
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

    fn caller() -> Caller {
        Caller {
            arrived: clock::now(),
            address: None,
            origin: RequestOrigin::Local,
        }
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
}
