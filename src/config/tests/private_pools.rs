//! Refused settings of private pools.

use std::io::Write as _;

use tempfile::NamedTempFile;

use super::*;

fn with(text: &str) -> Result<Config, String> {
    let mut file = NamedTempFile::new().unwrap();
    write!(file, "{text}").unwrap();
    let inputs = Inputs {
        files: vec![file.path().to_owned()],
        ..in_the_clear(&[("SNOWFLAKE_BROKER_GEOIP__DISABLE", "true")], vec![])
    };
    load(&inputs)
        .map(|loaded| loaded.config)
        .map_err(|error| error.to_string())
}

fn pool(settings: &str) -> Result<Config, String> {
    with(&format!("[[pools]]\ntoken_file = \"t\"\n{settings}"))
}

#[test]
fn pools_are_tables_of_their_own_or_a_list() {
    let two = "[[pools]]\nname = \"a\"\ntoken_file = \"t\"\n\
               [[pools]]\nname = \"b\"\ntoken_file = \"t\"\nspare = \"to-public\"\nreserve = 0\n\
               expires = \"2030-01-31T00:00:00Z\"\nclients_per_minute = 1\n";
    let config = with(two).unwrap();
    assert_eq!(config.pools.list.len(), 2);
    let as_list = "[pools]\nlist = [{ name = \"a\", token_file = \"t\" }]\n";
    let list = with(as_list).unwrap().pools.list;
    assert_eq!(list[..], config.pools.list[..1]);
    let read: Config = toml::from_str(&config.to_toml().unwrap()).unwrap();
    assert_eq!(read, config);
}

#[test]
fn what_is_wrong_with_a_pool_is_said_with_its_name() {
    for (settings, problem) in [
        (
            "name = \"A b\"",
            "\"A b\" must have a name of 1 to 63 small letters, digits and -",
        ),
        (
            "name = \"a\"\nexpires = \"tomorrow\"",
            "\"a\" must have a time such as \"2030-01-31T00:00:00Z\" for expires",
        ),
        (
            "name = \"a\"\nallowed_relay_pattern = \"a b\"",
            "\"a\" has the relay pattern \"a b\", which ",
        ),
        (
            "name = \"a\"\nclients_per_minute = 2000000",
            "\"a\" must have at most 1000000 for clients_per_minute",
        ),
        (
            "name = \"a\"\nmax_parked_polls = 1000000000",
            "\"a\" must have at most 100000000 for max_parked_polls and reserve",
        ),
        (
            "name = \"a\"\n[[pools]]\nname = \"a\"\ntoken_file = \"u\"",
            "has two pools \"a\"",
        ),
    ] {
        let error = pool(settings).unwrap_err();
        assert!(error.starts_with("pools.list: "), "{settings}: {error}");
        assert!(error.contains(problem), "{settings}: {error}");
    }
}

#[test]
fn what_does_not_fit_is_said_with_its_line() {
    for (settings, problem) in [
        ("nam = \"a\"", "unknown key"),
        (
            "name = \"a\"\noverflow = \"all\"",
            "overflow must be none or to-public",
        ),
        (
            "name = \"a\"\nclients_per_minute = 0",
            "clients_per_minute must be a whole number, 1 or more",
        ),
        ("name = 7", "name must be a string"),
        (
            "name = \"a\"\nexpires = 2030-01-31T00:00:00Z",
            "expires must be a string",
        ),
    ] {
        let error = pool(settings).unwrap_err();
        assert!(error.contains(problem), "{settings}: {error}");
        assert!(error.contains("line 1"), "{settings}: {error}");
    }
    let error = with("pools = 3\n").unwrap_err();
    assert!(error.contains("must be a section"), "{error}");
}

#[test]
fn a_queue_is_of_a_pool_of_the_configuration_and_of_one_only() {
    let queue = |pool: &str| format!("[[sqs.queues]]\nname = \"q\"\npool = \"{pool}\"\n");
    let pools = "[[pools]]\nname = \"a\"\ntoken_file = \"t\"\n\
                 [[pools]]\nname = \"b\"\ntoken_file = \"u\"\n";
    let config = with(&format!("{pools}{}", queue("b"))).unwrap();
    assert_eq!(config.sqs.queues[0].pool.as_deref(), Some("b"));
    for (queues, problem) in [
        (
            queue("c"),
            "has the pool \"c\" for queue q, default credentials, but pools.list has no such pool",
        ),
        (
            queue("a") + &queue("b"),
            "has queue q, default credentials twice",
        ),
    ] {
        let error = with(&format!("{pools}{queues}")).unwrap_err();
        assert!(error.starts_with("sqs.queues: "), "{error}");
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_peer_shares_pools_of_the_configuration() {
    let text = |pool: &str| {
        format!(
            "[[pools]]\nname = \"a\"\ntoken_file = \"t\"\n\
             [[federation.peers]]\nname = \"b.example\"\nurl = \"https://b.example:1\"\n\
             private_pools = [\"{pool}\"]\n\
             [federation.tls]\ncert = \"c\"\nkey = \"k\"\nca = \"a\"\n"
        )
    };
    let config = with(&text("a")).unwrap();
    assert_eq!(config.federation.peers[0].private_pools, ["a"]);
    let error = with(&text("c")).unwrap_err();
    let problem = "has the pool \"c\" for b.example, but pools.list has no such pool";
    assert!(error.starts_with("federation.peers: "), "{error}");
    assert!(error.contains(problem), "{error}");
}
