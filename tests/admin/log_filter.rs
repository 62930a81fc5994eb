//! Changes of the log filter at runtime.

use prost_types::Duration;
use snowflake_broker::proto::admin::v1::{ReloadRequest, SetLogFilterRequest};

use crate::broker::Broker;
use crate::settings::{intervals, seconds, setting, wrong_fields};
use crate::until;

fn filter(filter: &str, ttl: Option<Duration>) -> SetLogFilterRequest {
    SetLogFilterRequest {
        filter: filter.to_owned(),
        ttl,
        ..SetLogFilterRequest::default()
    }
}

#[tokio::test]
async fn a_log_filter_holds_for_its_time() {
    let broker = Broker::start("[telemetry]\nlog_level = \"warn\"\n").await;
    let mut client = broker.client().await;
    let configured = async || setting(&broker, "telemetry.log_level").await;
    // Lines are written a moment later.
    let logs = async || {
        let count = || broker.log().matches("admin: poll intervals set").count();
        let before = count();
        let mut client = broker.client().await;
        client.set_poll_intervals(intervals(20, 20)).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        count() > before
    };
    assert!(!logs().await);
    let set = client
        .set_log_filter(filter("info", Some(seconds(2))))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(set.filter, "info");
    assert!(set.expire_time.is_some());
    let shown = ("\"info\"".to_owned(), "admin".to_owned());
    assert_eq!(configured().await, shown);
    until("it logs more", async || logs().await).await;
    let is_back = async || configured().await.0 == "\"warn\"";
    until("the filter of the configuration is back", is_back).await;
    assert!(!logs().await);

    // A filter without an end outlasts an earlier temporary one.
    let short = filter("info", Some(seconds(1)));
    client.set_log_filter(short).await.unwrap();
    let set = client.set_log_filter(filter("debug", None)).await;
    assert!(set.unwrap().into_inner().expire_time.is_none());
    tokio::time::sleep(std::time::Duration::from_millis(1_300)).await;
    until("it logs more", async || logs().await).await;
    // Until the next reload.
    client.reload(ReloadRequest::default()).await.unwrap();
    assert_eq!(configured().await.0, "\"warn\"");
    assert!(!logs().await);
}

#[tokio::test]
async fn a_wrong_log_filter_changes_nothing() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    let wrong = client
        .set_log_filter(filter("loud", None))
        .await
        .unwrap_err();
    assert_eq!(wrong_fields(&wrong), ["filter"]);
    for ttl in [0, -5, 24 * 60 * 60 + 1] {
        let wrong = client
            .set_log_filter(filter("debug", Some(seconds(ttl))))
            .await
            .unwrap_err();
        assert_eq!(wrong_fields(&wrong), ["ttl"]);
    }
    let checked = SetLogFilterRequest {
        validate_only: true,
        ..filter("off", None)
    };
    client.set_log_filter(checked).await.unwrap();
    client.set_poll_intervals(intervals(20, 20)).await.unwrap();
    broker.logs("admin: poll intervals set").await;
}
