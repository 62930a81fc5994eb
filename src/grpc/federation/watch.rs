//! A stream of the supply that can be lent, sent on every change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep_until;
use tokio_stream::Stream;
use tonic::Status;

use crate::broker::loan::Supply;
use crate::broker::{Broker, Directory, clock};
use crate::listener::Closing;
use crate::metrics::labels::PeerName;
use crate::proto::federation::v1;

use super::convert;

/// The minimum time between two reports: a borrower gets at most five per second.
const PAUSE: Duration = Duration::from_millis(200);
/// The maximum time between two reports.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A stream of the supply that a borrower may use: at once and at each change, until
/// `closing` is cancelled. It holds the `permit` for one. A report is made when the borrower is
/// ready for it, so none is outdated.
pub(super) fn supplies(
    broker: Arc<Broker>,
    borrower: PeerName,
    permit: OwnedSemaphorePermit,
    closing: Closing,
) -> impl Stream<Item = Result<v1::Supply, Status>> + Send {
    let watch = Watch {
        broker,
        borrower,
        told: None,
        _permit: permit,
    };
    let supplies = stream::unfold(watch, |mut watch| async {
        let supply = watch.next().await;
        Some((Ok(supply), watch))
    });
    supplies.take_until(closing.ended())
}

struct Watch {
    broker: Arc<Broker>,
    borrower: PeerName,
    told: Option<Told>,
    /// One of those that the borrower has.
    _permit: OwnedSemaphorePermit,
}

/// The last report that the borrower received.
struct Told {
    supply: Supply,
    directory: Arc<Directory>,
    at: Instant,
}

impl Watch {
    async fn next(&mut self) -> v1::Supply {
        let (supply, directory) = match &self.told {
            None => self.look(),
            Some(told) => self.news(told).await,
        };
        let mut message = convert::supply(&supply);
        let told = self.told.as_ref();
        let known = told.map(|told| &told.directory.bridges);
        if known != Some(&directory.bridges) {
            message.bridges = Some(convert::bridges(&directory.bridges));
        }
        self.told = Some(Told {
            supply,
            directory,
            at: clock::now(),
        });
        message
    }

    fn look(&self) -> (Supply, Arc<Directory>) {
        (
            self.broker.supply_for(&self.borrower),
            self.broker.directory(),
        )
    }

    /// Waits for the next supply to report: a changed one, or the same at the next
    /// heartbeat.
    async fn news(&self, told: &Told) -> (Supply, Arc<Directory>) {
        let heartbeat = told.at + HEARTBEAT;
        let mut looked = told.at;
        loop {
            sleep_until((looked + PAUSE).into()).await;
            looked = clock::now();
            // Made before looking, so that a later change is not missed.
            let changed = self.broker.any_supply_changed();
            let (supply, directory) = self.look();
            let is_new = supply != told.supply || !Arc::ptr_eq(&directory, &told.directory);
            if is_new || looked >= heartbeat {
                return (supply, directory);
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(heartbeat.into()) => {}
            }
        }
    }
}
