use super::acme::Challenges;
use super::*;

fn configs(resolver: CertResolver) -> Vec<Arc<ServerConfig>> {
    let configs = ServerConfigs::new(&Arc::new(resolver)).unwrap();
    let by_group = configs.by_group.into_iter().map(|(_, config)| config);
    by_group.chain([configs.for_all_groups]).collect()
}

#[test]
fn there_are_tickets_and_alpn() {
    for config in configs(CertResolver::default()) {
        assert_eq!(config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
        assert!(config.ticketer.enabled());
        assert_eq!(config.send_tls13_tickets, 1);
    }
}

/// The groups of rustls, in any order.
#[test]
fn no_group_is_missing() {
    let names = |groups: &[&dyn SupportedKxGroup]| {
        let mut names: Vec<u16> = groups.iter().map(|g| g.name().into()).collect();
        names.sort_unstable();
        names
    };
    let configs = ServerConfigs::new(&Arc::new(CertResolver::default())).unwrap();
    let all = &configs.for_all_groups.crypto_provider().kx_groups;
    assert_eq!(names(all), names(aws_lc_rs::DEFAULT_KX_GROUPS));
    assert_eq!(configs.by_group.len(), all.len());
    for (name, config) in configs.by_group {
        let groups = &config.crypto_provider().kx_groups;
        assert_eq!(names(groups), [u16::from(name)]);
    }
}

#[test]
fn the_protocol_of_challenges_is_there_only_for_who_answers_them() {
    for config in configs(CertResolver::answering(Arc::new(Challenges::default()))) {
        assert_eq!(config.alpn_protocols[2], b"acme-tls/1");
    }
}
