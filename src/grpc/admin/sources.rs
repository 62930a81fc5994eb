//! The distribution of supply over its sources.

use std::ops::RangeInclusive;

use tonic::Status;

use crate::broker::{Broker, SourceAct, clock};
use crate::grpc::convert::{count, timestamp, total};
use crate::grpc::violations::invalid;
use crate::proto::admin::v1;

/// The numbers of sources that a caller may ask for.
const TOPS: RangeInclusive<u32> = 1..=1_000_000;
/// The most numbers in one request.
const TOPS_MAX: usize = 10;
/// The numbers of a request without any.
const DEFAULT_TOPS: [u32; 3] = [1, 10, 100];

/// The shares of the sources with most.
pub(super) fn distribution(
    broker: &Broker,
    asked: &v1::GetSourceDistributionRequest,
) -> Result<v1::SourceDistribution, Status> {
    let tops = tops(&asked.tops)?;
    let counts = broker.control().source_counts();
    let since = clock::now().saturating_duration_since(counts.start());
    let shares = |act| {
        let shares = counts.shares(act, &tops);
        let top = tops.iter().zip(shares.top);
        v1::ActShares {
            total_count: total(shares.total),
            source_count: count(shares.sources),
            top: top
                .map(|(&sources, share)| v1::TopShare {
                    source_count: count(sources),
                    share,
                })
                .collect(),
        }
    };
    let [polls, matches, answers] = SourceAct::ALL.map(shares).map(Some);
    Ok(v1::SourceDistribution {
        start_time: Some(timestamp(clock::wall_clock() - since)),
        polls,
        matches,
        answers,
    })
}

fn tops(asked: &[u32]) -> Result<Vec<usize>, Status> {
    if asked.len() > TOPS_MAX {
        let problem = format!("must be {TOPS_MAX} numbers or fewer (got {})", asked.len());
        return Err(invalid("tops", problem));
    }
    if let Some(wrong) = asked.iter().find(|&top| !TOPS.contains(top)) {
        let (least, most) = TOPS.into_inner();
        let problem = format!("must be between {least} and {most} (got {wrong})");
        return Err(invalid("tops", problem));
    }
    let tops = match asked {
        [] => &DEFAULT_TOPS,
        asked => asked,
    };
    Ok(tops.iter().map(|&top| top as usize).collect())
}
