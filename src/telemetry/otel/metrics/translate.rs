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

use super::families::{MetricFamily, Sample};

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
        families: Vec<MetricFamily<'_>>,
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
    /// The translation of a family; `None` for other types, and without samples.
    fn metric(self, family: MetricFamily<'_>) -> Option<Metric> {
        if family.samples.is_empty() {
            return None;
        }
        let samples = family.samples.into_iter();
        let (suffix, data) = match family.kind {
            "counter" => {
                let sum = Sum {
                    data_points: samples.filter_map(|one| self.counter(one)).collect(),
                    aggregation_temporality: CUMULATIVE,
                    is_monotonic: true,
                };
                ("_total", Data::Sum(sum))
            }
            "gauge" => {
                let data_points = samples.filter_map(|one| self.gauge(one)).collect();
                ("", Data::Gauge(Gauge { data_points }))
            }
            "histogram" => {
                let histogram = Histogram {
                    data_points: self.histograms(samples),
                    aggregation_temporality: CUMULATIVE,
                };
                ("", Data::Histogram(histogram))
            }
            _ => return None,
        };
        Some(Metric {
            name: format!("{}{suffix}", family.name),
            description: family.help.to_owned(),
            data: Some(data),
            ..Metric::default()
        })
    }

    fn counter(self, sample: Sample<'_>) -> Option<NumberDataPoint> {
        Some(NumberDataPoint {
            start_time_unix_nano: self.start,
            ..self.gauge(sample)?
        })
    }

    /// The data point of a gauge. It applies to one moment, so it has no start.
    fn gauge(self, sample: Sample<'_>) -> Option<NumberDataPoint> {
        Some(NumberDataPoint {
            attributes: attributes(sample.labels),
            time_unix_nano: self.now,
            value: Some(Value::AsDouble(sample.value.parse().ok()?)),
            ..NumberDataPoint::default()
        })
    }

    /// The data points of histograms. The sum of each comes first, then the count and the
    /// buckets.
    fn histograms<'a>(self, samples: impl Iterator<Item = Sample<'a>>) -> Vec<HistogramDataPoint> {
        let mut points: Vec<HistogramDataPoint> = Vec::new();
        let mut below = 0;
        for sample in samples {
            if sample.suffix == "_sum" {
                below = 0;
                points.push(HistogramDataPoint {
                    sum: sample.value.parse().ok(),
                    attributes: attributes(sample.labels),
                    start_time_unix_nano: self.start,
                    time_unix_nano: self.now,
                    ..HistogramDataPoint::default()
                });
                continue;
            }
            let (Some(point), Ok(count)) = (points.last_mut(), sample.value.parse()) else {
                continue;
            };
            match sample.suffix {
                "_count" => point.count = count,
                "_bucket" => {
                    // Prometheus counts with each bucket those below it, OTLP does not.
                    point.bucket_counts.push(count - below);
                    below = count;
                    // The last bucket has no bound, and OTLP names none.
                    point.explicit_bounds.extend(bound(&sample));
                }
                _ => {}
            }
        }
        points
    }
}

/// The upper bound of a bucket, if it has one.
fn bound(bucket: &Sample<'_>) -> Option<f64> {
    let (_, bound) = bucket.labels.iter().find(|(name, _)| *name == "le")?;
    bound.parse().ok().filter(|bound: &f64| bound.is_finite())
}

fn attributes(labels: Vec<(&str, String)>) -> Vec<KeyValue> {
    let labels = labels.into_iter();
    labels
        .map(|(name, value)| KeyValue {
            key: name.to_owned(),
            value: Some(Any {
                value: Some(AnyValue::StringValue(value)),
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

    use prometheus_client::encoding::text;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge as AGauge;
    use prometheus_client::metrics::histogram::Histogram as AHistogram;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::telemetry::otel::metrics::families;

    /// The translated families of a registry, read at 5 s with a start at 3 s.
    fn metrics(registry: &Registry) -> Vec<Metric> {
        let origin = ExportOrigin {
            attributes: Vec::new(),
            start: SystemTime::UNIX_EPOCH + Duration::from_secs(3),
            version: "1",
        };
        let mut open_metrics = String::new();
        text::encode(&mut open_metrics, registry).unwrap();
        let families = families::read(&open_metrics).unwrap();
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
