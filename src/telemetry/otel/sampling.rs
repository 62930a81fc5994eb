//! Sampling of traces.

use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use super::settings::{SamplerKind, Settings};

/// Samples according to the settings, and records every span that is linked to a recorded
/// one: a proxy's poll has its own trace, which would show nothing if it were sampled
/// without the client's.
#[derive(Clone, Debug)]
pub(super) struct WithLinked(Sampler);

impl WithLinked {
    pub(super) fn new(settings: &Settings) -> Self {
        let ratio = || Sampler::TraceIdRatioBased(settings.trace_ratio);
        Self(match settings.sampler {
            SamplerKind::AlwaysOn => Sampler::AlwaysOn,
            SamplerKind::AlwaysOff => Sampler::AlwaysOff,
            SamplerKind::TraceIdRatio => ratio(),
            SamplerKind::ParentBasedAlwaysOn => Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
            SamplerKind::ParentBasedAlwaysOff => Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
            SamplerKind::ParentBasedTraceIdRatio => Sampler::ParentBased(Box::new(ratio())),
        })
    }
}

impl ShouldSample for WithLinked {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self
            .0
            .should_sample(parent, trace, name, kind, attributes, links);
        if links.iter().any(|link| link.span_context.is_sampled()) {
            result.decision = SamplingDecision::RecordAndSample;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceState};

    use super::*;

    fn context(is_sampled: bool) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(is_sampled);
        let (trace, span) = (TraceId::from(1), SpanId::from(1));
        SpanContext::new(trace, span, flags, false, TraceState::default())
    }

    /// Returns true if a span in a trace with this ID is recorded.
    fn is_sampled(sampler: &WithLinked, id: u64, parent: Option<bool>, link: Option<bool>) -> bool {
        let parent = parent.map(|parent| Context::new().with_remote_span_context(context(parent)));
        let links: Vec<Link> = link
            .map(context)
            .map(Link::with_context)
            .into_iter()
            .collect();
        let trace = TraceId::from(u128::from(id));
        let kind = SpanKind::Internal;
        let result = sampler.should_sample(parent.as_ref(), trace, "", &kind, &[], &links);
        result.decision == SamplingDecision::RecordAndSample
    }

    fn sampler(sampler: SamplerKind, trace_ratio: f64) -> WithLinked {
        WithLinked::new(&Settings {
            sampler,
            trace_ratio,
            ..Settings::default()
        })
    }

    #[test]
    fn so_many_are_recorded_as_the_ratio_says() {
        for (ratio, least, most) in [(0.0, 0, 0), (0.01, 800, 1200), (1.0, 100_000, 100_000)] {
            let sampler = sampler(SamplerKind::ParentBasedTraceIdRatio, ratio);
            let ids = (0..100_000u64).map(|id| id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let recorded = ids
                .filter(|id| is_sampled(&sampler, *id, None, None))
                .count();
            assert!((least..=most).contains(&recorded), "{ratio}: {recorded}");
        }
    }

    #[test]
    fn children_follow_their_parent_and_roots_what_they_are_linked_to() {
        let none = sampler(SamplerKind::ParentBasedTraceIdRatio, 0.0);
        let all = sampler(SamplerKind::ParentBasedTraceIdRatio, 1.0);
        assert!(is_sampled(&none, 1, Some(true), None));
        assert!(!is_sampled(&all, 1, Some(false), None));
        assert!(is_sampled(&none, 1, None, Some(true)));
        assert!(!is_sampled(&none, 1, None, Some(false)));
    }

    #[test]
    fn always_and_never() {
        use SamplerKind::{AlwaysOff, AlwaysOn, ParentBasedAlwaysOff, ParentBasedAlwaysOn};
        for (kind, root, child) in [
            (AlwaysOn, true, true),
            (AlwaysOff, false, false),
            (ParentBasedAlwaysOn, true, false),
            (ParentBasedAlwaysOff, false, false),
        ] {
            let sampler = sampler(kind, 0.5);
            assert_eq!(is_sampled(&sampler, 1, None, None), root, "{kind:?}");
            assert_eq!(
                is_sampled(&sampler, 1, Some(false), None),
                child,
                "{kind:?}"
            );
        }
    }
}
