//! Replacing bridges at runtime.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;

use prost_types::FieldMask;
use snowflake_broker::proto::admin::v1::{
    Bridge, BridgeState, ListBridgesRequest, ListBridgesResponse, ReloadRequest,
    ReplaceBridgesRequest, SetBridgeRequest,
};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::broker::{Broker, Setup};
use crate::load::{Load, UNKNOWN_BRIDGE};
use crate::until;

/// The number of bridges. The first 60 are in one list and the last 60 in the other, so
/// the middle ones are in both.
const BRIDGES: usize = 90;
const FIRST: std::ops::Range<usize> = 0..60;
const SECOND: std::ops::Range<usize> = 30..BRIDGES;

fn fingerprint(number: usize) -> String {
    format!("{number:040X}")
}

/// Bridges whose relays depend on the list's name.
fn list(name: &str, numbers: std::ops::Range<usize>) -> Vec<Bridge> {
    let bridges = numbers.map(|number| Bridge {
        fingerprint: fingerprint(number),
        relay_url: format!("wss://{name}{number}.example/"),
        display_name: format!("{name} {number}"),
        weight: Some(1.0),
        state: BridgeState::Up.into(),
        ..Bridge::default()
    });
    bridges.collect()
}

fn replacing(bridges: Vec<Bridge>) -> ReplaceBridgesRequest {
    ReplaceBridgesRequest {
        bridges,
        ..ReplaceBridgesRequest::default()
    }
}

async fn listed(broker: &Broker) -> ListBridgesResponse {
    let mut client = broker.client().await;
    let listed = client.list_bridges(ListBridgesRequest::default()).await;
    listed.unwrap().into_inner()
}

/// Writes this list to a file in the configuration.
fn with_file(setup: &Setup) -> std::path::PathBuf {
    let folder = setup.path("lists");
    fs::create_dir(&folder).unwrap();
    let line = |bridge: Bridge| {
        serde_json::json!({
            "displayName": bridge.display_name,
            "webSocketAddress": bridge.relay_url,
            "fingerprint": bridge.fingerprint,
        })
        .to_string()
    };
    let lines: Vec<String> = list("a", FIRST).into_iter().map(line).collect();
    let file = folder.join("bridges.json");
    fs::write(&file, lines.join("\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    setup.configure(&format!(
        "[broker]\nbridge_list_path = \"{}\"\n",
        file.display()
    ));
    file
}

#[tokio::test]
async fn nobody_sees_half_a_list() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    let lists = Arc::new([list("a", FIRST), list("b", SECOND)]);
    let mut etags = Vec::new();
    for list in lists.iter() {
        let replaced = client
            .replace_bridges(replacing(list.clone()))
            .await
            .unwrap();
        etags.push(replaced.into_inner().etag);
    }
    let fingerprints: Vec<String> = (0..BRIDGES).map(fingerprint).collect();
    let load = Load::start(broker.addr(), &fingerprints);

    let stopping = CancellationToken::new();
    let reader = tokio::spawn(is_one_of(
        broker.client().await,
        Arc::clone(&lists),
        etags,
        stopping.clone(),
    ));
    let mut replacements = 0;
    until("clients were served under many lists", async || {
        let next = lists[replacements % 2].clone();
        client.replace_bridges(replacing(next)).await.unwrap();
        replacements += 1;
        load.answered() > 200 && replacements > 100
    })
    .await;
    stopping.cancel();
    assert!(reader.await.unwrap() > 20);

    let met = load.stop().await;
    for (fingerprint, relay) in &met.relays {
        let number = usize::from_str_radix(fingerprint, 16).unwrap();
        let of = |name, numbers: std::ops::Range<usize>| {
            numbers.contains(&number) && *relay == format!("wss://{name}{number}.example/")
        };
        assert!(of("a", FIRST) || of("b", SECOND), "{number}: {relay}");
    }
    let mut unknown = 0;
    for (fingerprint, error) in &met.errors {
        let number = usize::from_str_radix(fingerprint, 16).unwrap();
        let is_in_both = FIRST.contains(&number) && SECOND.contains(&number);
        assert!(error != UNKNOWN_BRIDGE || !is_in_both, "{number}: {error}");
        unknown += usize::from(error == UNKNOWN_BRIDGE);
    }
    assert!(
        unknown > 0,
        "clients have asked for no bridge that was away"
    );
}

/// Reads the list until stopped, checks that it is always one of these, and returns the
/// number of reads.
async fn is_one_of(
    mut client: snowflake_broker::proto::admin::v1::admin_client::AdminClient<
        tonic::transport::Channel,
    >,
    lists: Arc<[Vec<Bridge>; 2]>,
    etags: Vec<String>,
    stopping: CancellationToken,
) -> usize {
    let mut reads = 0;
    while !stopping.is_cancelled() {
        let listed = client
            .list_bridges(ListBridgesRequest::default())
            .await
            .unwrap()
            .into_inner();
        let which = etags.iter().position(|etag| *etag == listed.etag).unwrap();
        assert!(listed.bridges == lists[which], "{listed:?}");
        reads += 1;
    }
    reads
}

#[tokio::test]
async fn a_list_that_has_changed_meanwhile_is_not_replaced() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    let etag = listed(&broker).await.etag;
    let mut request = replacing(list("a", FIRST));
    request.etag.clone_from(&etag);
    let replaced = client
        .replace_bridges(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((replaced.replaced_count, replaced.bridge_count), (1, 60));
    assert_eq!(listed(&broker).await.etag, replaced.etag);

    request.bridges = list("b", SECOND);
    let aborted = client.replace_bridges(request.clone()).await.unwrap_err();
    assert_eq!(aborted.code(), Code::Aborted);
    assert_eq!(listed(&broker).await.etag, replaced.etag);
    request.etag = replaced.etag;
    client.replace_bridges(request).await.unwrap();
}

#[tokio::test]
async fn of_two_who_replace_the_same_list_one_does() {
    let broker = Broker::start("").await;
    let etag = listed(&broker).await.etag;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..10 {
        let mut client = broker.client().await;
        let mut request = replacing(list(&format!("list{number}-"), FIRST));
        request.etag.clone_from(&etag);
        clients.spawn(async move { client.replace_bridges(request).await });
    }
    let outcomes = clients.join_all().await;
    let codes = outcomes.iter().map(|outcome| match outcome {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    });
    assert_eq!(codes.clone().filter(|code| *code == Code::Ok).count(), 1);
    assert_eq!(codes.filter(|code| *code == Code::Aborted).count(), 9);
}

#[tokio::test]
async fn a_list_is_written_back_as_a_whole_and_for_the_same_readers() {
    let setup = Setup::new();
    let file = with_file(&setup);
    let before = fs::metadata(&file).unwrap().ino();
    let broker = setup.start().await;
    let mut client = broker.client().await;
    let request = ReplaceBridgesRequest {
        write_back: true,
        ..replacing(list("b", SECOND))
    };
    let etag = client
        .replace_bridges(request)
        .await
        .unwrap()
        .into_inner()
        .etag;
    let after = fs::metadata(&file).unwrap();
    assert_ne!(after.ino(), before, "it was written in place");
    assert_eq!(after.mode() & 0o777, 0o640);
    let names = fs::read_dir(file.parent().unwrap()).unwrap();
    assert_eq!(names.count(), 1, "something is left beside it");

    // A reload reads the written file.
    client.reload(ReloadRequest::default()).await.unwrap();
    let listed = listed(&broker).await;
    assert_eq!(listed.etag, etag);
    assert!(listed.bridges == list("b", SECOND));
}

#[tokio::test]
async fn a_list_that_is_not_written_back_lasts_until_the_next_reload() {
    let setup = Setup::new();
    with_file(&setup);
    let broker = setup.start().await;
    let before = listed(&broker).await.etag;
    let mut client = broker.client().await;
    client
        .replace_bridges(replacing(list("b", SECOND)))
        .await
        .unwrap();
    assert_ne!(listed(&broker).await.etag, before);
    client.reload(ReloadRequest::default()).await.unwrap();
    assert_eq!(listed(&broker).await.etag, before);
}

/// As under systemd's `ProtectSystem=strict`. Permissions would not help: they do not
/// keep root out.
#[tokio::test]
async fn a_list_that_cannot_be_written_changes_nothing() {
    let setup = Setup::new();
    let file = with_file(&setup);
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(file.parent().unwrap())
        .arg(env!("CARGO_BIN_EXE_snowflake-broker"));
    setup.complete(&mut command);
    let broker = setup.start_as(command).await;
    let before = listed(&broker).await.etag;
    let content = fs::read(&file).unwrap();
    let mut client = broker.client().await;
    let request = ReplaceBridgesRequest {
        write_back: true,
        ..replacing(list("b", SECOND))
    };
    let failed = client.replace_bridges(request).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable, "{failed}");
    assert!(
        failed.message().contains("broker.bridge_list_path"),
        "{failed}"
    );
    assert_eq!(listed(&broker).await.etag, before);
    assert_eq!(fs::read(&file).unwrap(), content);
}

#[tokio::test]
async fn without_a_file_there_is_nowhere_to_write_to() {
    let broker = Broker::start("").await;
    let before = listed(&broker).await.etag;
    let request = ReplaceBridgesRequest {
        write_back: true,
        ..replacing(list("b", SECOND))
    };
    let failed = broker
        .client()
        .await
        .replace_bridges(request)
        .await
        .unwrap_err();
    assert_eq!(failed.code(), Code::FailedPrecondition, "{failed}");
    assert_eq!(listed(&broker).await.etag, before);
}

#[tokio::test]
async fn what_is_only_to_be_checked_is_not_done() {
    let setup = Setup::new();
    let file = with_file(&setup);
    let content = fs::read(&file).unwrap();
    let broker = setup.start().await;
    let before = listed(&broker).await.etag;
    let request = ReplaceBridgesRequest {
        write_back: true,
        validate_only: true,
        ..replacing(list("b", SECOND))
    };
    let mut client = broker.client().await;
    let checked = client.replace_bridges(request).await.unwrap().into_inner();
    assert_ne!(checked.etag, before);
    assert_eq!(listed(&broker).await.etag, before);
    assert_eq!(fs::read(&file).unwrap(), content);
    assert!(!broker.log().contains("admin: "), "{}", broker.log());
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    let before = listed(&broker).await.etag;
    let mut bridges = list("a", 0..7);
    for bridge in [0, 3] {
        bridges[bridge].weight = None;
        bridges[bridge].state = 0;
    }
    bridges[1].fingerprint = "12".to_owned();
    bridges[2].relay_url = "https://a.example/".to_owned();
    bridges[3].fingerprint = bridges[0].fingerprint.to_lowercase();
    bridges[4].weight = Some(-1.0);
    bridges[5].state = 4;
    bridges.push(bridges[6].clone());
    let wrong = client
        .replace_bridges(replacing(bridges))
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    let details = wrong.get_details_bad_request().unwrap();
    let fields: Vec<&str> = details
        .field_violations
        .iter()
        .map(|wrong| &*wrong.field)
        .collect();
    assert_eq!(
        fields,
        [
            "bridges[1].fingerprint",
            "bridges[2].relay_url",
            "bridges[4].weight",
            "bridges[5].state",
            "bridges[3].fingerprint",
            "bridges[7].relay_url",
        ]
    );
    let none = client
        .replace_bridges(replacing(Vec::new()))
        .await
        .unwrap_err();
    assert_eq!(none.code(), Code::InvalidArgument);
    assert_eq!(listed(&broker).await.etag, before);
}

/// One bridge with these addresses, each with a host and a weight.
fn addresses(hosts: &[(&str, f64)]) -> Vec<Bridge> {
    let addresses = hosts.iter().map(|(host, weight)| Bridge {
        relay_url: format!("wss://{host}.example/"),
        weight: Some(*weight),
        ..list("a", 0..1).remove(0)
    });
    addresses.collect()
}

fn setting(relay_url: &str, state: BridgeState, weight: Option<f64>) -> SetBridgeRequest {
    SetBridgeRequest {
        bridge: Some(Bridge {
            fingerprint: fingerprint(0).to_lowercase(),
            relay_url: relay_url.to_owned(),
            weight,
            state: state.into(),
            ..Bridge::default()
        }),
        ..SetBridgeRequest::default()
    }
}

#[tokio::test]
async fn a_bridge_may_have_several_addresses() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    let both = addresses(&[("a", 1.0), ("b", 0.5)]);
    let replaced = client.replace_bridges(replacing(both.clone())).await;
    assert_eq!(replaced.unwrap().into_inner().bridge_count, 1);
    assert_eq!(listed(&broker).await.bridges, both);
}

#[tokio::test]
async fn an_address_drains_until_the_next_reload_or_for_good() {
    let setup = Setup::new();
    let file = with_file(&setup);
    let broker = setup.start().await;
    let mut client = broker.client().await;
    let request = ReplaceBridgesRequest {
        write_back: true,
        ..replacing(addresses(&[("a", 1.0), ("b", 1.0)]))
    };
    client.replace_bridges(request).await.unwrap();
    let before = listed(&broker).await;
    let states = async || {
        let listed = listed(&broker).await.bridges.into_iter();
        let states = listed.map(|bridge| (bridge.state(), bridge.weight()));
        states.collect::<Vec<_>>()
    };
    let unchanged = [(BridgeState::Up, 1.0); 2];

    let drain = setting("wss://a.example/", BridgeState::Drain, None);
    let checked = SetBridgeRequest {
        validate_only: true,
        ..drain.clone()
    };
    client.set_bridge(checked).await.unwrap();
    assert_eq!(states().await, unchanged);

    let told = client.set_bridge(drain.clone()).await.unwrap().into_inner();
    assert_eq!(told.bridges[0].state(), BridgeState::Drain);
    assert_eq!(told.etag, listed(&broker).await.etag);
    assert_eq!(states().await, [(BridgeState::Drain, 1.0), unchanged[1]]);
    let warning = "no address is up";
    assert!(!told.warnings.concat().contains(warning));
    let all = setting("", BridgeState::Down, Some(3.0));
    let told = client.set_bridge(all).await.unwrap().into_inner();
    assert_eq!(states().await, [(BridgeState::Down, 3.0); 2]);
    assert!(told.warnings.concat().contains(warning), "{told:?}");
    client.reload(ReloadRequest::default()).await.unwrap();
    assert_eq!(states().await, unchanged);

    let outdated = SetBridgeRequest {
        etag: told.etag,
        ..drain.clone()
    };
    let aborted = client.set_bridge(outdated).await.unwrap_err();
    assert_eq!(aborted.code(), Code::Aborted);
    let for_good = SetBridgeRequest {
        etag: before.etag,
        write_back: true,
        ..drain
    };
    client.set_bridge(for_good).await.unwrap();
    client.reload(ReloadRequest::default()).await.unwrap();
    assert_eq!(states().await, [(BridgeState::Drain, 1.0), unchanged[1]]);
    let written = fs::read_to_string(file).unwrap();
    assert!(written.contains(r#""state":"drain""#), "{written}");
}

/// The log had only the fingerprint, so that nobody could tell what an operator had done.
#[tokio::test]
async fn the_log_tells_which_values_a_bridge_has_now() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    let mut both = addresses(&[("a", 1.0), ("b", 1.0)]);
    for (bridge, name) in both.iter_mut().zip(["north", "south"]) {
        name.clone_into(&mut bridge.display_name);
    }
    client.replace_bridges(replacing(both)).await.unwrap();
    let checked = SetBridgeRequest {
        validate_only: true,
        ..setting("", BridgeState::Down, Some(9.0))
    };
    client.set_bridge(checked).await.unwrap();
    let drain = setting("wss://a.example/", BridgeState::Drain, None);
    client.set_bridge(drain).await.unwrap();
    let all = setting("", BridgeState::Drain, Some(2.5));
    client.set_bridge(all).await.unwrap();
    let set = format!("admin: bridge {} set", fingerprint(0).to_lowercase());
    for values in [
        "values=\"north\": state = drain",
        "values=\"north\": weight = 2.5, state = drain; \"south\": weight = 2.5, state = drain",
    ] {
        broker.logs(values).await;
    }
    let log = broker.log();
    assert_eq!(log.matches(&set).count(), 2, "{log}");
    for secret in ["wss:", "a.example", "weight = 9"] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}

#[tokio::test]
async fn only_what_the_mask_names_changes() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    let both = addresses(&[("a", 1.0), ("b", 1.0)]);
    client.replace_bridges(replacing(both)).await.unwrap();
    let mut request = setting("wss://b.example/", BridgeState::Drain, Some(7.0));
    let mask = |path: &str| {
        Some(FieldMask {
            paths: vec![path.to_owned()],
        })
    };
    request.update_mask = mask("weight");
    client.set_bridge(request.clone()).await.unwrap();
    let other = &listed(&broker).await.bridges[1];
    assert_eq!((other.state(), other.weight()), (BridgeState::Up, 7.0));

    request.update_mask = mask("display_name");
    let wrong = client.set_bridge(request.clone()).await.unwrap_err();
    assert!(wrong.message().contains("update_mask"), "{wrong}");
    request.update_mask = None;
    request.bridge.as_mut().unwrap().weight = Some(f64::NAN);
    let wrong = client.set_bridge(request.clone()).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    let problem = "bridge.weight: must be between 0 and 1000000 (got NaN)";
    assert_eq!(wrong.message(), problem);
    request.bridge.as_mut().unwrap().weight = None;
    request.bridge.as_mut().unwrap().relay_url = "wss://c.example/".to_owned();
    let missing = client.set_bridge(request.clone()).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    request.bridge.as_mut().unwrap().fingerprint = String::new();
    let wrong = client.set_bridge(request).await.unwrap_err();
    let problem = "bridge.fingerprint: is not 40 or 64 hexadecimal digits";
    assert_eq!(wrong.message(), problem);
}

/// The error still fits into a response's head.
#[tokio::test]
async fn a_list_that_is_all_wrong_is_answered() {
    let broker = Broker::start("").await;
    let bridge = Bridge {
        relay_url: "x".repeat(300),
        ..Bridge::default()
    };
    let request = replacing(vec![bridge; 5_000]);
    let wrong = broker
        .client()
        .await
        .replace_bridges(request)
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument, "{wrong}");
    assert!(wrong.message().ends_with("; and 9980 more"), "{wrong}");
}

#[tokio::test]
async fn pages_are_of_one_list() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    client
        .replace_bridges(replacing(list("a", FIRST)))
        .await
        .unwrap();
    let mut bridges = Vec::new();
    let mut request = ListBridgesRequest {
        page_size: 7,
        ..ListBridgesRequest::default()
    };
    loop {
        let page = client
            .list_bridges(request.clone())
            .await
            .unwrap()
            .into_inner();
        bridges.extend(page.bridges);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert!(bridges == list("a", FIRST));

    let first = ListBridgesRequest {
        page_token: String::new(),
        ..request
    };
    let page = client.list_bridges(first).await.unwrap().into_inner();
    client
        .replace_bridges(replacing(list("b", SECOND)))
        .await
        .unwrap();
    let stale = ListBridgesRequest {
        page_token: page.next_page_token,
        page_size: 7,
    };
    let refused = client.list_bridges(stale).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}
