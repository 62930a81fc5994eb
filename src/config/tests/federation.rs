//! Refused settings of the federation.

use std::io::Write as _;

use tempfile::NamedTempFile;

use super::*;

const TLS: &str = "[federation.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\nca = \"ca.pem\"\n";

/// The findings for a file with this section and remainder.
fn with(section: &str, rest: &str) -> Result<Vec<String>, String> {
    let mut file = NamedTempFile::new().unwrap();
    write!(file, "[federation]\n{section}\n{rest}").unwrap();
    let variables = [
        ("SNOWFLAKE_BROKER_GEOIP__DISABLE", "true"),
        ("SNOWFLAKE_BROKER_HTTP__FORWARDED_BY", "none"),
    ];
    let inputs = Inputs {
        files: vec![file.path().to_owned()],
        ..in_the_clear(&variables, vec![])
    };
    let loaded = load(&inputs).map_err(|error| error.to_string())?;
    Ok(loaded.warnings.iter().map(ToString::to_string).collect())
}

fn peer(settings: &str) -> Result<Vec<String>, String> {
    with("", &format!("{TLS}[[federation.peers]]\n{settings}"))
}

#[test]
fn a_federation_as_it_should_be() {
    let peers = "[[federation.peers]]\nname = \"b.example\"\nurl = \"https://b.example:7443\"\n\
                 [[federation.peers]]\nname = \"spiffe://brokers.example/c\"\nlend = false\n\
                 max_in_flight = 1\nmax_per_second = 1000000\n";
    let section = "listen = \":7443\"\ndiscover = \"brokers.example:7443\"\nreserve = 0";
    assert_eq!(with(section, &format!("{TLS}{peers}")), Ok(vec![]));
    for url in [
        "https://192.0.2.1:1",
        "https://[2001:db8::1]:1/",
        "https://b:1",
    ] {
        let settings = format!("name = \"b.example\"\nurl = \"{url}\"");
        assert_eq!(peer(&settings), Ok(vec![]), "{url}");
    }
}

#[test]
fn what_is_wrong_with_a_peer_is_said_with_its_name() {
    let url = "url = \"https://b.example:1\"";
    for (settings, problem) in [
        (
            format!("name = \"b c\"\n{url}"),
            "\"b c\": its name must be a DNS name or a URI",
        ),
        (
            format!("name = \"\"\n{url}"),
            "\"\": its name must be a DNS name or a URI",
        ),
        (
            format!("name = \"x:\\\"\"\n{url}"),
            "its name must be a DNS name or a URI",
        ),
        (
            "name = \"b.example\"\nurl = \"http://b.example:1\"".to_owned(),
            "\"b.example\": its url must be https://HOST:PORT",
        ),
        (
            "name = \"b.example\"\nurl = \"https://b.example\"".to_owned(),
            "its url must be https://HOST:PORT",
        ),
        (
            "name = \"b.example\"\nurl = \"https://b.example:1/x\"".to_owned(),
            "its url must be https://HOST:PORT",
        ),
        (
            "name = \"b.example\"\nurl = \"https://a@b.example:1\"".to_owned(),
            "its url must be https://HOST:PORT",
        ),
        (
            format!("name = \"b.example\"\nmax_in_flight = 0\n{url}"),
            "its max_in_flight must be between 1",
        ),
        (
            format!("name = \"b.example\"\nmax_per_second = 2000000\n{url}"),
            "its max_per_second must be between 1",
        ),
        (
            format!("name = \"b.example\"\n{url}\nlends = true"),
            "unknown key lends, did you mean lend?",
        ),
        (url.to_owned(), "name is missing"),
        (
            format!(
                "name = \"b.example\"\n{url}\n[[federation.peers]]\nname = \"b.example\"\n{url}"
            ),
            "has the name \"b.example\" twice",
        ),
    ] {
        let error = peer(&settings).unwrap_err();
        assert!(error.starts_with("federation.peers"), "{settings}: {error}");
        assert!(error.contains(problem), "{settings}: {error}");
    }
}

#[test]
fn brokers_are_not_spoken_to_in_the_clear() {
    let bob = "[[federation.peers]]\nname = \"b.example\"\nurl = \"https://b.example:1\"\n";
    let error = with("listen = \":7443\"", bob).unwrap_err();
    assert!(error.starts_with("federation.listen: "), "{error}");
    assert!(
        error.contains("needs federation.tls.cert, federation.tls.key, federation.tls.ca"),
        "{error}"
    );
    let error = with("", bob).unwrap_err();
    assert!(error.starts_with("federation.peers: "), "{error}");
    for (left_out, given) in [("cert", "key"), ("key", "cert"), ("ca", "cert")] {
        let lines = TLS.lines().filter(|line| !line.starts_with(left_out));
        let error = with("", &lines.collect::<Vec<_>>().join("\n")).unwrap_err();
        assert!(
            error.starts_with(&format!("federation.tls.{given}: ")),
            "{error}"
        );
        assert!(
            error.contains(&format!("needs federation.tls.{left_out} as well")),
            "{error}"
        );
    }
}

#[test]
fn addresses_have_to_be_addresses() {
    for (section, key) in [
        ("listen = \"7443\"", "federation.listen"),
        ("discover = \"brokers.example\"", "federation.discover"),
        ("discover = \":7443\"", "federation.discover"),
        ("discover = \"192.0.2.1:7443\"", "federation.discover"),
        ("reserve = 200000000", "federation.reserve"),
    ] {
        let error = with(section, TLS).unwrap_err();
        assert!(error.starts_with(&format!("{key}: ")), "{error}");
    }
}

#[test]
fn what_comes_to_nothing_is_a_warning() {
    let lost = peer("name = \"b.example\"").unwrap();
    assert!(lost[0].contains("\"b.example\" is never asked"), "{lost:?}");
    assert_eq!(peer("name = \"b.example\"\nborrow = false"), Ok(vec![]));
    let nobody = with("listen = \":7443\"", TLS).unwrap();
    assert!(nobody[0].contains("lets nobody in"), "{nobody:?}");
}
