//! The counters of a broker in this process.

use snowflake_broker::broker::Broker;
use snowflake_broker::metrics::exposition::Format;

/// The sum of a family's series that have all these labels, each written as
/// `name="value"`.
pub(crate) fn count(broker: &Broker, family: &str, labels: &[&str]) -> u64 {
    let metrics = broker.control().expose_metrics(None, Format::Text);
    let series = metrics.lines().filter_map(|line| line.rsplit_once(' '));
    let of_family = series.filter(|(series, _)| {
        let (name, set) = series.split_once('{').unwrap_or((series, ""));
        name == family && labels.iter().all(|label| set.contains(label))
    });
    of_family
        .map(|(_, value)| value.parse::<u64>().unwrap())
        .sum()
}
