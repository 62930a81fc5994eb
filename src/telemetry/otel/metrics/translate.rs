//! Translation of Prometheus metrics to OTLP: a counter becomes a monotonic cumulative
//! sum since the start of the process, and a histogram is cumulative, too ("Prometheus
//! and OpenMetrics Compatibility" in OpenTelemetry's specification).

use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as Any, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::{
    self as prometheus, LabelPair, MetricFamily, MetricType,
};

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// The data common to all metrics of this process.
#[derive(Clone, Debug)]
pub(super) struct ExportOrigin {
    /// The attributes of the resource.
    pub(super) attributes: Vec<KeyValue>,
    /// The start of counting.
    pub(super) start: SystemTime,
    /// The version of the program.
    pub(super) version: &'static str,
}

impl ExportOrigin {
    /// A request with all families as of `now`.
    pub(super) fn request(
        &self,
        families: Vec<MetricFamily>,
        now: SystemTime,
    ) -> ExportMetricsServiceRequest {
        let times = Times {
            start: nanoseconds(self.start),
            now: nanoseconds(now),
        };
        let metrics = families
            .into_iter()
            .filter_map(|family| times.metric(family))
            .collect();
        let scope = InstrumentationScope {
            name: "snowflake_broker".to_owned(),
            version: self.version.to_owned(),
            ..InstrumentationScope::default()
        };
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(Resource {
                    attributes: self.attributes.clone(),
                    ..Resource::default()
                }),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(scope),
                    metrics,
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        }
    }
}

/// The times of all data points, in nanoseconds since the epoch.
#[derive(Clone, Copy)]
struct Times {
    start: u64,
    now: u64,
}

impl Times {
    /// The translation of a family; `None` for types that the registry does not have.
    fn metric(self, family: MetricFamily) -> Option<Metric> {
        let series = family.metric.into_iter();
        let data = match MetricType::try_from(family.r#type).ok()? {
            MetricType::Counter => Data::Sum(Sum {
                data_points: series.filter_map(|one| self.counter(one)).collect(),
                aggregation_temporality: CUMULATIVE,
                is_monotonic: true,
            }),
            MetricType::Gauge => Data::Gauge(Gauge {
                data_points: series.filter_map(|one| self.gauge(one)).collect(),
            }),
            MetricType::Histogram => Data::Histogram(Histogram {
                data_points: series.filter_map(|one| self.histogram(one)).collect(),
                aggregation_temporality: CUMULATIVE,
            }),
            _ => return None,
        };
        Some(Metric {
            name: family.name,
            description: family.help,
            data: Some(data),
            ..Metric::default()
        })
    }

    fn counter(self, series: prometheus::Metric) -> Option<NumberDataPoint> {
        Some(NumberDataPoint {
            attributes: attributes(series.label),
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            value: Some(Value::AsDouble(series.counter?.value)),
            ..NumberDataPoint::default()
        })
    }

    /// Translates a gauge, which describes one moment and so has no start.
    fn gauge(self, series: prometheus::Metric) -> Option<NumberDataPoint> {
        Some(NumberDataPoint {
            attributes: attributes(series.label),
            time_unix_nano: self.now,
            value: Some(Value::AsDouble(series.gauge?.value)),
            ..NumberDataPoint::default()
        })
    }

    /// Translates a histogram. Prometheus's buckets include all smaller ones, OTLP's do
    /// not; and OTLP has no bound for the last bucket.
    fn histogram(self, series: prometheus::Metric) -> Option<HistogramDataPoint> {
        let histogram = series.histogram?;
        let mut below = 0;
        let counts = histogram.bucket.iter().map(|bucket| {
            let count = bucket.cumulative_count - below;
            below = bucket.cumulative_count;
            count
        });
        let bucket_counts = counts.collect();
        let bounds = histogram.bucket.iter().map(|bucket| bucket.upper_bound);
        Some(HistogramDataPoint {
            attributes: attributes(series.label),
            start_time_unix_nano: self.start,
            time_unix_nano: self.now,
            count: histogram.sample_count,
            sum: Some(histogram.sample_sum),
            explicit_bounds: bounds.filter(|bound| *bound < f64::MAX).collect(),
            bucket_counts,
            ..HistogramDataPoint::default()
        })
    }
}

fn attributes(labels: Vec<LabelPair>) -> Vec<KeyValue> {
    let labels = labels.into_iter();
    labels
        .map(|label| KeyValue {
            key: label.name,
            value: Some(Any {
                value: Some(AnyValue::StringValue(label.value)),
            }),
            ..KeyValue::default()
        })
        .collect()
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::prometheus_protobuf::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge as AGauge;
    use prometheus_client::metrics::histogram::Histogram as AHistogram;
    use prometheus_client::registry::Registry;

    use super::*;

    /// The translated families of a registry, read at 5 s with a start at 3 s.
    fn metrics(registry: &Registry) -> Vec<Metric> {
        let origin = ExportOrigin {
            attributes: Vec::new(),
            start: SystemTime::UNIX_EPOCH + Duration::from_secs(3),
            version: "1",
        };
        let families = encode(registry).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        let mut request = origin.request(families, now);
        let mut resource = request.resource_metrics.remove(0);
        resource.scope_metrics.remove(0).metrics
    }

    #[test]
    fn counters_are_monotonic_sums_since_the_start() {
        let mut registry = Registry::default();
        let polls = Family::<[(&str, &str); 1], Counter>::default();
        registry.register("polls", "Polls", polls.clone());
        polls.get_or_create(&[("nat", "a \"b\"\n")]).inc_by(3);
        let metrics = metrics(&registry);
        assert_eq!(
            (&*metrics[0].name, &*metrics[0].description),
            ("polls_total", "Polls.")
        );
        let Some(Data::Sum(sum)) = &metrics[0].data else {
            panic!("{metrics:?}");
        };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality, CUMULATIVE);
        let point = &sum.data_points[0];
        assert_eq!(point.value, Some(Value::AsDouble(3.0)));
        assert_eq!(point.start_time_unix_nano, 3_000_000_000);
        assert_eq!(point.time_unix_nano, 5_000_000_000);
        let nat = AnyValue::StringValue("a \"b\"\n".to_owned());
        assert_eq!(point.attributes[0].key, "nat");
        assert_eq!(point.attributes[0].value, Some(Any { value: Some(nat) }));
    }

    #[test]
    fn gauges_tell_of_one_moment() {
        let mut registry = Registry::default();
        let parked: AGauge = AGauge::default();
        registry.register("parked", "Parked", parked.clone());
        let build = Family::<[(&str, &str); 1], AGauge>::default();
        registry.register("build_info", "Build", build.clone());
        parked.set(-2);
        build.get_or_create(&[("version", "1")]).set(1);
        let points: Vec<NumberDataPoint> = metrics(&registry)
            .into_iter()
            .flat_map(|metric| match metric.data {
                Some(Data::Gauge(gauge)) => gauge.data_points,
                other => panic!("{other:?}"),
            })
            .collect();
        let values = points.iter().map(|point| point.value);
        let expected = [-2.0, 1.0].map(|value| Some(Value::AsDouble(value)));
        assert_eq!(values.collect::<Vec<_>>(), expected);
        assert!(points.iter().all(|point| point.start_time_unix_nano == 0));
        assert_eq!(points[1].attributes[0].key, "version");
    }

    #[test]
    fn buckets_are_counted_each_by_itself() {
        let mut registry = Registry::default();
        let latency = AHistogram::new([1.0, 2.0]);
        registry.register("latency", "Latency", latency.clone());
        for seconds in [0.5, 0.75, 1.5, 9.0] {
            latency.observe(seconds);
        }
        let metrics = metrics(&registry);
        let Some(Data::Histogram(histogram)) = &metrics[0].data else {
            panic!("{metrics:?}");
        };
        let point = &histogram.data_points[0];
        assert_eq!(point.explicit_bounds, [1.0, 2.0]);
        assert_eq!(point.bucket_counts, [2, 1, 1]);
        assert_eq!((point.count, point.sum), (4, Some(11.75)));
    }
}
