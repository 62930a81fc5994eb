//! The sweep of stale reply queues, in memory with paused time; on moto it is in
//! `program`.

use std::sync::Arc;
use std::time::Duration;

use snowflake_broker::broker::clock;
use snowflake_broker::matching::Settings;
use snowflake_broker::metrics::labels::QueueCall;
use snowflake_broker::sqs::{Cause, Queue as _, QueueFront, QueueOptions, ReplyQueue};
use tokio::time::{advance, sleep};
use tokio_util::sync::CancellationToken;

use crate::memory::{Memory, Replies};
use crate::support::front::Front;

const SWEPT: &str = "snowflake_broker_sqs_reply_queues_swept_total";
const FAILED: &str = "snowflake_broker_sqs_call_failures_total";

struct Sweep {
    memory: Memory,
    http: Front,
    front: Arc<QueueFront<Memory>>,
}

impl Sweep {
    async fn new() -> Self {
        let memory = Memory::default();
        let http = Front::new(Settings::default());
        let options = QueueOptions {
            name: "the queue".to_owned(),
            pool: None,
            concurrency: 1,
            jitter: || 0.5,
        };
        let front = QueueFront::new(memory.clone(), Arc::clone(&http.broker), options);
        // So that queues can be old.
        advance(Duration::from_hours(1)).await;
        Self {
            memory,
            http,
            front,
        }
    }

    fn add(&self, name: &str, age: Duration) {
        let replies = Replies::since(clock::now().checked_sub(age).unwrap());
        self.memory
            .state()
            .reply_queues
            .insert(name.to_owned(), replies);
    }

    fn left(&self) -> Vec<String> {
        self.memory.state().reply_queues.keys().cloned().collect()
    }

    fn counted(&self, family: &str) -> u64 {
        self.http.count(family, &[])
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_two_minutes_old_goes_on_every_page() {
    let sweep = Sweep::new().await;
    for (name, seconds) in [("a", 0), ("b", 121), ("c", 119), ("d", 3600), ("e", 121)] {
        sweep.add(name, Duration::from_secs(seconds));
    }
    sweep.front.sweep_once().await.unwrap();
    assert_eq!(sweep.left(), ["a", "c"]);
    assert_eq!(sweep.counted(SWEPT), 3);
    sweep.front.sweep_once().await.unwrap();
    assert_eq!(sweep.counted(SWEPT), 3);
}

#[tokio::test(start_paused = true)]
async fn a_round_begins_every_half_minute_until_the_end() {
    let sweep = Sweep::new().await;
    let stop = CancellationToken::new();
    let swept = tokio::spawn(Arc::clone(&sweep.front).sweep(stop.clone()));
    sleep(Duration::from_secs(1)).await;
    sweep.add("a", Duration::from_mins(2));
    sleep(Duration::from_secs(28)).await;
    assert_eq!(sweep.left(), ["a"]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(sweep.left(), [""; 0]);
    stop.cancel();
    swept.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_hundred_a_second_are_looked_at() {
    let sweep = Sweep::new().await;
    for number in 0..2_500 {
        sweep.add(&format!("{number:04}"), Duration::from_mins(3));
    }
    let started = clock::now();
    sweep.front.sweep_once().await.unwrap();
    let took = clock::now() - started;
    assert!(took >= Duration::from_secs(24), "{took:?}");
    assert!(took < Duration::from_mins(1), "{took:?}");
    assert_eq!(sweep.left(), [""; 0]);
    assert_eq!(sweep.counted(SWEPT), 2_500);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_vanishes_is_no_failure() {
    let sweep = Sweep::new().await;
    for number in 0..20 {
        sweep.add(&format!("{number:02}"), Duration::from_mins(3));
    }
    // Another broker sweeps, too.
    let other = async {
        sleep(Duration::from_millis(50)).await;
        for name in sweep.left() {
            let queue = ReplyQueue(name);
            sweep.memory.delete_reply_queue(&queue).await.unwrap();
        }
    };
    let (swept, ()) = tokio::join!(sweep.front.sweep_once(), other);
    swept.unwrap();
    assert_eq!(sweep.left(), [""; 0]);
    assert!(sweep.counted(SWEPT) < 20);
    assert_eq!(sweep.counted(FAILED), 0);
}

#[tokio::test(start_paused = true)]
async fn a_round_that_fails_is_counted_and_the_next_one_comes() {
    let sweep = Sweep::new().await;
    sweep.add("a", Duration::from_mins(3));
    let refused = Cause::NotPermitted("AccessDenied".to_owned());
    sweep.memory.state().outage = Some(refused.clone());
    let error = sweep.front.sweep_once().await.unwrap_err();
    assert_eq!((error.call, error.cause), (QueueCall::ListQueues, refused));
    let stop = CancellationToken::new();
    let swept = tokio::spawn(Arc::clone(&sweep.front).sweep(stop.clone()));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(sweep.counted(FAILED), 1);
    sweep.memory.state().outage = None;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(sweep.left(), [""; 0]);
    stop.cancel();
    swept.await.unwrap();
}
