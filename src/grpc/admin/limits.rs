//! Changes of request limits at runtime.

use tonic::Status;

use super::operations::{Operations, Overrides};
use crate::broker::Broker;
use crate::broker::limits::{Intermediary, Settings};
use crate::grpc::update::{Update, all, network};
use crate::proto::admin::v1;

const FIELDS: [&str; 10] = [
    "proxy_polls_per_minute",
    "proxy_poll_burst",
    "client_polls_per_minute",
    "client_poll_burst",
    "answers_per_minute",
    "answer_burst",
    "intermediary_factor",
    "intermediaries",
    "unconfirmed_factor",
    "exempt",
];

/// Changes limits. Returns all of them and what changed.
pub(super) fn set(
    broker: &Broker,
    operations: &dyn Operations,
    asked: &v1::SetLimitsRequest,
) -> Result<(v1::Limits, Overrides), Status> {
    let Some(before) = broker.control().limits() else {
        return Err(Status::failed_precondition("this broker has no limits"));
    };
    let (limits, overrides) = changed(before, asked)?;
    if !asked.validate_only {
        operations.set_limits(&limits);
    }
    Ok((message(&limits), overrides))
}

/// The request that makes these limits those of another node.
pub(super) fn whole(limits: &v1::Limits) -> v1::SetLimitsRequest {
    v1::SetLimitsRequest {
        limits: Some(limits.clone()),
        update_mask: Some(all(&FIELDS)),
        validate_only: false,
    }
}

/// The limits with the changes applied, and the changes as in a TOML file.
fn changed(
    mut limits: Settings,
    asked: &v1::SetLimitsRequest,
) -> Result<(Settings, Overrides), Status> {
    let sent = asked.limits.clone().unwrap_or_default();
    let mut update = Update::new("limits", &FIELDS, asked.update_mask.as_ref());
    let numbers = [
        (
            "proxy_polls_per_minute",
            sent.proxy_polls_per_minute,
            &mut limits.proxy_polls_per_minute,
        ),
        (
            "proxy_poll_burst",
            sent.proxy_poll_burst,
            &mut limits.proxy_poll_burst,
        ),
        (
            "client_polls_per_minute",
            sent.client_polls_per_minute,
            &mut limits.client_polls_per_minute,
        ),
        (
            "client_poll_burst",
            sent.client_poll_burst,
            &mut limits.client_poll_burst,
        ),
        (
            "answers_per_minute",
            sent.answers_per_minute,
            &mut limits.answers_per_minute,
        ),
        ("answer_burst", sent.answer_burst, &mut limits.answer_burst),
        (
            "intermediary_factor",
            sent.intermediary_factor,
            &mut limits.intermediary_factor,
        ),
        (
            "unconfirmed_factor",
            sent.unconfirmed_factor,
            &mut limits.unconfirmed_factor,
        ),
    ];
    for (field, sent, setting) in numbers {
        update.set(field, sent, Ok, setting);
    }
    let known = |name: &String| Intermediary::try_from(name.clone()).map_err(|e| e.to_string());
    let intermediaries = &mut limits.intermediaries;
    update.set_list(
        "intermediaries",
        &sent.intermediaries,
        known,
        intermediaries,
    );
    update.set_list(
        "exempt",
        &sent.exempt,
        |text| network(text),
        &mut limits.exempt,
    );
    let overrides = update.finish("limits", &limits, Settings::check)?;
    Ok((limits, overrides))
}

fn message(limits: &Settings) -> v1::Limits {
    v1::Limits {
        proxy_polls_per_minute: Some(limits.proxy_polls_per_minute),
        proxy_poll_burst: Some(limits.proxy_poll_burst),
        client_polls_per_minute: Some(limits.client_polls_per_minute),
        client_poll_burst: Some(limits.client_poll_burst),
        answers_per_minute: Some(limits.answers_per_minute),
        answer_burst: Some(limits.answer_burst),
        intermediary_factor: Some(limits.intermediary_factor),
        intermediaries: limits
            .intermediaries
            .iter()
            .map(ToString::to_string)
            .collect(),
        unconfirmed_factor: Some(limits.unconfirmed_factor),
        exempt: limits.exempt.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use prost_types::FieldMask;

    use super::*;

    fn asked(limits: v1::Limits, paths: &[&str]) -> v1::SetLimitsRequest {
        v1::SetLimitsRequest {
            limits: Some(limits),
            update_mask: Some(FieldMask {
                paths: paths.iter().map(|&path| path.to_owned()).collect(),
            }),
            validate_only: false,
        }
    }

    #[test]
    fn only_what_is_named_changes() {
        let sent = v1::Limits {
            answers_per_minute: Some(0),
            answer_burst: Some(7),
            exempt: vec!["192.0.2.0/24".to_owned(), "2001:db8::/32".to_owned()],
            ..v1::Limits::default()
        };
        let (limits, overrides) = changed(Settings::default(), &asked(sent.clone(), &[])).unwrap();
        assert_eq!((limits.answers_per_minute, limits.answer_burst), (0, 7));
        assert_eq!(
            limits.proxy_poll_burst,
            Settings::default().proxy_poll_burst
        );
        let exempt = "[\"192.0.2.0/24\", \"2001:db8::/32\"]";
        assert_eq!(overrides["limits.exempt"], exempt);
        assert_eq!(overrides["limits.answers_per_minute"], "0");

        let named = asked(sent, &["answer_burst"]);
        let (limits, overrides) = changed(Settings::default(), &named).unwrap();
        assert_eq!(limits.answer_burst, 7);
        assert!(limits.exempt.is_empty());
        assert_eq!(overrides.len(), 1);

        let exempt = Settings {
            exempt: vec!["192.0.2.0/24".parse().unwrap()],
            ..Settings::default()
        };
        let named = asked(v1::Limits::default(), &["exempt"]);
        assert!(changed(exempt, &named).unwrap().0.exempt.is_empty());
    }

    #[test]
    fn who_passes_on_the_requests_of_others_changes() {
        let sent = v1::Limits {
            intermediaries: vec!["google".to_owned(), "192.0.2.0/24".to_owned()],
            unconfirmed_factor: Some(2),
            ..v1::Limits::default()
        };
        let (limits, overrides) = changed(Settings::default(), &asked(sent, &[])).unwrap();
        let network = Intermediary::Network("192.0.2.0/24".parse().unwrap());
        assert_eq!(limits.intermediaries, [Intermediary::Google, network]);
        assert_eq!(limits.unconfirmed_factor, 2);
        let written = "[\"google\", \"192.0.2.0/24\"]";
        assert_eq!(overrides["limits.intermediaries"], written);
        assert_eq!(overrides["limits.unconfirmed_factor"], "2");
        let named = asked(v1::Limits::default(), &["intermediaries"]);
        assert!(changed(limits, &named).unwrap().0.intermediaries.is_empty());
    }

    /// Every limit in the configuration except the size of the tables, which is fixed at
    /// the start.
    #[test]
    fn every_limit_of_the_configuration_is_a_field() {
        let settings = toml::Table::try_from(Settings::default()).unwrap();
        let mut known: Vec<&str> = settings.keys().map(String::as_str).collect();
        known.retain(|key| *key != "max_addresses");
        let mut fields = FIELDS;
        known.sort_unstable();
        fields.sort_unstable();
        assert_eq!(known, fields);
    }

    #[test]
    fn everything_wrong_is_named() {
        let sent = v1::Limits {
            proxy_poll_burst: Some(0),
            intermediary_factor: Some(1_001),
            unconfirmed_factor: Some(1),
            intermediaries: vec!["gogle".to_owned()],
            exempt: vec!["example".to_owned()],
            ..v1::Limits::default()
        };
        let refused = changed(Settings::default(), &asked(sent, &[])).unwrap_err();
        for culprit in [
            "limits.proxy_poll_burst",
            "limits.intermediary_factor",
            "limits.intermediaries",
            "limits.unconfirmed_factor",
            "limits.exempt",
        ] {
            assert!(refused.message().contains(culprit), "{refused}");
        }
    }
}
