//! Private pools that the administration creates and removes.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use snowflake_broker::proto::admin::v1::{
    CreatePrivatePoolRequest, DeletePrivatePoolRequest, ListPrivatePoolsRequest, PrivatePool,
};
use tonic::Code;

use crate::broker::{Broker, Setup};
use crate::supply::post;
use crate::support::messages::client_poll;

const RELOADED: &str = "configuration reloaded";
const NO_PROXIES: &str = r#"{"error":"no snowflake proxies currently available"}"#;
const NOT_FOUND: &str = "404 page not found\n";

fn request(name: &str) -> CreatePrivatePoolRequest {
    CreatePrivatePoolRequest {
        private_pool: Some(PrivatePool {
            name: name.to_owned(),
            ..PrivatePool::default()
        }),
        validate_only: false,
    }
}

async fn names(broker: &Broker) -> Vec<(String, bool)> {
    let mut client = broker.client().await;
    let listed = client.list_private_pools(ListPrivatePoolsRequest {});
    let listed = listed.await.unwrap().into_inner().private_pools.into_iter();
    listed.map(|pool| (pool.name, pool.configured)).collect()
}

/// The response to a client of the pool with this token.
async fn ask(addr: SocketAddr, token: &str) -> String {
    let path = format!("/p/{token}/client");
    post(addr, "192.0.2.1", &path, &client_poll("x", "open")).await
}

#[tokio::test]
async fn a_pool_is_created_outlives_a_restart_and_is_removed() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    let mut asked = request("family");
    let pool = asked.private_pool.as_mut().unwrap();
    (pool.spare, pool.reserve) = (true, Some(0));
    pool.expire_time = Some("2999-01-01T00:00:00Z".parse().unwrap());
    let only_checked = CreatePrivatePoolRequest {
        validate_only: true,
        ..asked.clone()
    };
    let checked = client.create_private_pool(only_checked).await.unwrap();
    assert_eq!(checked.into_inner().token, "");
    assert_eq!(names(&broker).await, []);
    let created = client.create_private_pool(asked.clone()).await;
    let created = created.unwrap().into_inner();
    assert_eq!(created.token.len(), 32);
    assert_eq!(created.bridge_fingerprint.len(), 40);
    let pool = created.private_pool.unwrap();
    assert_eq!(
        (pool.spare, pool.overflow, pool.reserve),
        (true, false, Some(0))
    );
    assert_eq!(
        pool.expire_time.unwrap().to_string(),
        "2999-01-01T00:00:00Z"
    );
    assert_eq!(ask(broker.addr(), &created.token).await, NO_PROXIES);
    let again = client.create_private_pool(asked).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);

    broker.signal(Signal::HUP, RELOADED).await;
    assert_eq!(ask(broker.addr(), &created.token).await, NO_PROXIES);
    let file = broker.setup.path("pools.json");
    assert_eq!(
        fs::metadata(file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    broker.logs("private pool family created").await;
    let broker = restart(broker).await;
    assert_eq!(names(&broker).await, [("family".to_owned(), false)]);
    assert_eq!(ask(broker.addr(), &created.token).await, NO_PROXIES);

    let mut client = broker.client().await;
    let asked = DeletePrivatePoolRequest {
        name: "family".to_owned(),
    };
    client.delete_private_pool(asked.clone()).await.unwrap();
    assert_eq!(ask(broker.addr(), &created.token).await, NOT_FOUND);
    assert_eq!(names(&broker).await, []);
    let again = client.delete_private_pool(asked).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
    broker.logs("private pool family removed").await;
    assert!(!broker.log().contains(&created.token));
}

#[tokio::test]
async fn a_reload_without_the_file_of_pools_loses_none() {
    let broker = Broker::start("").await;
    let mut client = broker.client().await;
    let created = client.create_private_pool(request("family")).await;
    let token = created.unwrap().into_inner().token;
    let file = broker.setup.path("pools.json");
    fs::rename(&file, file.with_extension("moved")).unwrap();
    broker.signal(Signal::HUP, "nothing reloaded").await;
    broker.logs("though there are private pools of it").await;
    assert_eq!(ask(broker.addr(), &token).await, NO_PROXIES);
    fs::rename(file.with_extension("moved"), &file).unwrap();
    broker.signal(Signal::HUP, RELOADED).await;
    assert_eq!(ask(broker.addr(), &token).await, NO_PROXIES);
}

async fn restart(mut broker: Broker) -> Broker {
    broker.send(Signal::TERM);
    broker.end().await;
    broker.setup.start().await
}

#[tokio::test]
async fn what_cannot_be_created_or_removed_is_said() {
    let setup = Setup::new();
    let token = setup.write("token", "0123456789abcdef");
    setup.configure(&format!(
        "[[pools]]\nname = \"own\"\ntoken_file = \"{}\"\n",
        token.display()
    ));
    let broker = setup.start().await;
    assert_eq!(ask(broker.addr(), "0123456789abcdef").await, NO_PROXIES);
    assert_eq!(names(&broker).await, [("own".to_owned(), true)]);
    let mut client = broker.client().await;
    let past = Some("2026-01-01T00:00:00Z".parse().unwrap());
    let changed = |change: fn(&mut PrivatePool)| {
        let mut asked = request("a");
        change(asked.private_pool.as_mut().unwrap());
        asked
    };
    let mut ended = request("a");
    ended.private_pool.as_mut().unwrap().expire_time = past;
    for (asked, code, problem) in [
        (
            request("own"),
            Code::AlreadyExists,
            "there is a private pool of this name",
        ),
        (
            request("A b"),
            Code::InvalidArgument,
            "small letters, digits and -",
        ),
        (
            ended,
            Code::InvalidArgument,
            "expire_time: must be a time to come",
        ),
        (
            changed(|pool| pool.clients_per_minute = Some(0)),
            Code::InvalidArgument,
            "clients_per_minute: must be 1 or more",
        ),
        (
            CreatePrivatePoolRequest::default(),
            Code::InvalidArgument,
            "must have a name",
        ),
    ] {
        let refused = client.create_private_pool(asked).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(problem), "{refused}");
    }
    let name = "own".to_owned();
    let refused = client.delete_private_pool(DeletePrivatePoolRequest { name });
    let refused = refused.await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("the configuration has"),
        "{refused}"
    );
}

/// And nothing of it is in the file, which the next start could not read.
#[tokio::test]
async fn no_pool_too_many_is_created() {
    let setup = Setup::new();
    let pools = (0..256).map(|number| {
        let token = setup.write(&format!("t{number}"), &format!("0123456789abcdef{number}"));
        let token = token.display();
        format!("[[pools]]\nname = \"p{number}\"\ntoken_file = \"{token}\"\n")
    });
    setup.configure(&pools.collect::<String>());
    let broker = setup.start().await;
    let mut client = broker.client().await;
    let refused = client.create_private_pool(request("a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(!broker.setup.path("pools.json").exists());
    assert_eq!(names(&restart(broker).await).await.len(), 256);
}

/// Else it would be gone at the next restart, and its people with it.
#[tokio::test]
async fn no_pool_is_created_that_cannot_be_kept() {
    let broker = Broker::start("[admin]\npools_file = \"\"\n").await;
    let mut client = broker.client().await;
    let refused = client.create_private_pool(request("a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("admin.pools_file"), "{refused}");

    let broker = Broker::start("[admin]\npools_file = \"/proc/pools.json\"\n").await;
    let mut client = broker.client().await;
    let refused = client.create_private_pool(request("a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("/proc/pools.json"), "{refused}");
    assert_eq!(names(&broker).await, []);
}
