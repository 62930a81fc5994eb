//! A broker that keeps its certificate, and renews it in time.

use std::fs;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::acme::broker::{Broker, NAMES, Proofs, Site};
use crate::acme::http::Connection;
use crate::acme::pebble::Pebble;
use crate::support::tls_client::{connect, served, trusting};
use crate::support::wait::until;

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_restart_serves_what_was_kept_and_orders_nothing() {
    let (pebble, site) = (Pebble::new(), Site::new());
    let mut authority = pebble.start().await;
    let mut broker = site.start(&pebble, Proofs::TlsAlpn01).await;
    let certificate = served(&broker.until_vouched_for_by(&authority.root).await);
    // It is served first and saved later; a broker that is killed in between would order
    // another one.
    let saved = site.cache().join("certificate.json");
    let is_saved = until("it is saved", async || Ok(saved.exists().then_some(())));
    is_saved.await.unwrap();
    // On a busy machine the first order may have failed when it was issued already.
    let (issued, ordered) = (authority.issued(), orders_in(&broker.log()));
    broker.end().await;
    let broker = site.start(&pebble, Proofs::TlsAlpn01).await;
    let again = handshake(&broker, &authority.root).await;
    assert_eq!(served(&again), certificate);
    assert_eq!(authority.issued(), issued);

    // The authority need not run for that.
    let root = authority.root.clone();
    broker.end().await;
    authority.end(&pebble).await;
    let mut broker = site.start(&pebble, Proofs::TlsAlpn01).await;
    assert_eq!(served(&handshake(&broker, &root).await), certificate);
    for outcome in ["issued", "refused", "failed"] {
        assert_eq!(broker.orders(outcome).await, 0);
    }
    assert_eq!(orders_in(&broker.log()), ordered);
}

fn orders_in(log: &str) -> usize {
    log.matches("ordering a certificate").count()
}

/// Of 90 s, 43 are left at the start, and 30 to 33 when it is due.
#[tokio::test]
async fn a_certificate_is_replaced_a_third_of_its_life_before_its_end() {
    let (pebble, site) = (Pebble::new(), Site::new());
    let mut authority = pebble.start().await;
    let (since, left) = (Duration::from_secs(47), Duration::from_secs(43));
    let kept = site.keep_certificate(&pebble, since, left);
    let broker = site.start(&pebble, Proofs::Http01).await;
    let before = handshake(&broker, &kept).await;
    assert_eq!(served(&before), kept);
    assert_eq!(authority.issued(), 0);
    let mut before = Connection::over(before).await;
    expect_robots(&mut before).await;

    broker.until_vouched_for_by(&authority.root).await;
    assert_eq!(broker.orders("issued").await, 1);
    // The connection with the old certificate continues.
    expect_robots(&mut before).await;
}

#[tokio::test]
async fn what_is_due_or_expired_is_served_until_the_authority_is_there() {
    let (pebble, site) = (Pebble::new(), Site::new());
    site.keep_certificate(&pebble, 90 * DAY, Duration::ZERO);
    let mut broker = site.start(&pebble, Proofs::TlsAlpn01).await;
    broker.until_logged("cannot get a certificate: ").await;
    let expired = connect(trusting([]), broker.addr, NAMES[0]).await;
    // It is the client that rejects the certificate.
    let reason = expired.unwrap_err().to_string();
    assert!(reason.contains("invalid peer certificate"), "{reason}");
    broker.end().await;

    let due = site.keep_certificate(&pebble, 85 * DAY, 5 * DAY);
    let mut broker = site.start(&pebble, Proofs::TlsAlpn01).await;
    broker.until_logged("cannot get a certificate: ").await;
    assert_eq!(served(&handshake(&broker, &due).await), due);

    let authority = pebble.start().await;
    broker.until_vouched_for_by(&authority.root).await;
}

/// The broker opens a new account after an authority has lost it, as pebble does, with the
/// same key and in the same order.
#[tokio::test]
async fn an_account_that_is_unknown_is_opened_again() {
    let (pebble, site) = (Pebble::new(), Site::new());
    let authority = pebble.start().await;
    let broker = site.start(&pebble, Proofs::TlsAlpn01).await;
    broker.until_vouched_for_by(&authority.root).await;
    broker.end().await;
    authority.end(&pebble).await;

    site.keep_certificate(&pebble, 85 * DAY, 5 * DAY);
    let authority = pebble.start().await;
    let broker = site.start(&pebble, Proofs::TlsAlpn01).await;
    broker.until_vouched_for_by(&authority.root).await;
    assert_eq!(broker.orders("issued").await, 1);
    assert_eq!(broker.orders("refused").await, 0);
}

/// Builds with another ACME library also saved the account's URL.
#[tokio::test]
async fn an_account_that_was_saved_by_an_older_build_is_kept() {
    let (pebble, site) = (Pebble::new(), Site::new());
    site.keep_certificate(&pebble, 85 * DAY, 5 * DAY);
    let account = format!(
        r#"{{
  "directory": "{url}",
  "email": "operator@broker.example",
  "credentials": {{
    "id": "https://127.0.0.1:14000/my-account/385550ca61d54e76",
    "key_pkcs8": "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgpR-l-lXI7ZtHrHdbVc-UReW3VgNpo7pleHKjPOA1-iyhRANCAATQV2gVCOI91_wDBbFm0lchBH8ceZPnqVZfMOrlrKF-0SNpgVvx3pG75pBHdjw6_5woHZ_Kb45Z8UP-wTacqWgO",
    "directory": "{url}"
  }}
}}
"#,
        url = pebble.url()
    );
    let file = site.cache().join("account.json");
    fs::write(&file, &account).unwrap();
    let authority = pebble.start().await;
    let broker = site.start(&pebble, Proofs::TlsAlpn01).await;
    broker.until_vouched_for_by(&authority.root).await;
    assert_eq!(broker.orders("issued").await, 1);
    // A new account would have been saved.
    assert_eq!(fs::read_to_string(&file).unwrap(), account);
}

/// A file that cannot be replaced simulates a full disk.
#[tokio::test]
async fn a_cache_that_is_damaged_or_full_costs_no_more_than_an_order() {
    let (pebble, site) = (Pebble::new(), Site::new());
    fs::create_dir_all(site.cache().join("certificate.json.new")).unwrap();
    fs::write(site.cache().join("certificate.json"), "{\"chain\":").unwrap();
    fs::write(site.cache().join("account.json"), "rubbish").unwrap();
    let autocert = site.cache().join("broker.example");
    fs::write(&autocert, "of the reference broker").unwrap();
    let authority = pebble.start().await;
    let mut broker = site.start(&pebble, Proofs::TlsAlpn01).await;
    for file in ["certificate.json", "account.json"] {
        broker
            .until_logged(&format!("{file}: it is damaged; going on without it"))
            .await;
    }
    broker.until_logged("cannot save the certificate").await;
    broker.until_vouched_for_by(&authority.root).await;
    let untouched = fs::read_to_string(&autocert).unwrap();
    assert_eq!(untouched, "of the reference broker");
}

async fn expect_robots(connection: &mut Connection) {
    let (status, _) = connection.get("/robots.txt").await;
    assert_eq!(status, 200);
}

async fn handshake(broker: &Broker, trusted: &CertificateDer<'static>) -> TlsStream<TcpStream> {
    let config = trusting([trusted]);
    connect(config, broker.addr, NAMES[0]).await.unwrap()
}
