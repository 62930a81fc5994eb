use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use tokio::net::UdpSocket;

use super::*;

/// The records of a name server.
type Zone = BTreeMap<(&'static str, RecordType), Vec<RData>>;

const TTL: u32 = 77;

/// A resolver that uses a name server on this machine.
async fn resolver_of(zone: Zone) -> TokioResolver {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut connection = ConnectionConfig::new(ProtocolConfig::Udp);
    connection.port = socket.local_addr().unwrap().port();
    tokio::spawn(serve(socket, zone));
    let server = NameServerConfig::new(IpAddr::V4(Ipv4Addr::LOCALHOST), true, vec![connection]);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(config, provider);
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build().unwrap()
}

async fn serve(socket: UdpSocket, zone: Zone) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let mut message = Message::from_vec(&buffer[..length])
            .unwrap()
            .into_response();
        let query = message.queries[0].clone();
        let name = query.name().to_utf8();
        let known = zone.get(&(name.as_str(), query.query_type()));
        for data in known.into_iter().flatten() {
            let record = Record::from_rdata(query.name().clone(), TTL, data.clone());
            message.add_answer(record);
        }
        if !zone.keys().any(|(known, _)| *known == name) {
            message.metadata.response_code = ResponseCode::NXDomain;
        }
        let reply = message.to_vec().unwrap();
        socket.send_to(&reply, from).await.unwrap();
    }
}

fn service(target: &str, port: u16) -> RData {
    RData::SRV(SRV::new(0, 0, port, Name::from_ascii(target).unwrap()))
}

fn address(last: u8) -> RData {
    RData::A(A(Ipv4Addr::new(192, 0, 2, last)))
}

#[tokio::test]
async fn services_have_ports_of_their_own() {
    let resolver = resolver_of(BTreeMap::from([
        (
            ("_snowflake-fed._tcp.brokers.example.", RecordType::SRV),
            vec![service("b.example.", 1), service("c.example.", 2)],
        ),
        (("brokers.example.", RecordType::A), vec![address(1)]),
    ]))
    .await;
    let found = find(&resolver, "brokers.example:7443").await.unwrap();
    let expected = ["b.example:1", "c.example:2"].map(str::to_owned);
    assert_eq!(found.addrs, expected.into());
    let left = found.until.saturating_duration_since(clock::now());
    let ttl = Duration::from_secs(TTL.into());
    assert!(left <= ttl && left > ttl / 2, "{left:?}");
}

#[tokio::test]
async fn without_services_the_addresses_are_taken() {
    let resolver = resolver_of(BTreeMap::from([(
        ("brokers.example.", RecordType::A),
        vec![address(1), address(2)],
    )]))
    .await;
    let found = find(&resolver, "brokers.example:7443").await.unwrap();
    let expected = ["192.0.2.1:7443", "192.0.2.2:7443"].map(str::to_owned);
    assert_eq!(found.addrs, expected.into());
}

#[tokio::test]
async fn a_name_that_is_not_there_is_named() {
    let resolver = resolver_of(BTreeMap::new()).await;
    let error = find(&resolver, "brokers.example:7443").await.err().unwrap();
    assert!(
        error.to_string().starts_with("brokers.example: "),
        "{error}"
    );
}
