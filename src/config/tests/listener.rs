//! Refused listening addresses.

use super::*;

#[test]
fn expected_sockets_have_the_names_of_ours() {
    let expected = |names| {
        let variables = [("SNOWFLAKE_BROKER_LISTENER__EXPECTED_SOCKETS", names)];
        load(&in_the_clear(&variables, vec![])).map_err(|error| error.to_string())
    };
    let loaded = expected("http,acme").unwrap();
    assert_eq!(loaded.config.listener.expected_sockets, ["http", "acme"]);
    let error = expected("http,coffee").unwrap_err();
    assert!(
        error.contains("must name only http, acme, admin"),
        "{error}"
    );
}

/// The warnings or errors for variables, given without their prefix.
fn with(variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let prefixed: Vec<_> = variables
        .iter()
        .map(|(name, value)| {
            let name = format!("SNOWFLAKE_BROKER_{name}");
            (name, *value)
        })
        .collect();
    let mut all = vec![("SNOWFLAKE_BROKER_HTTP__FORWARDED_BY", "none")];
    all.extend(prefixed.iter().map(|(name, value)| (&**name, *value)));
    let loaded = load(&in_the_clear(&all, vec![])).map_err(|error| error.to_string())?;
    Ok(loaded.warnings.iter().map(ToString::to_string).collect())
}

const FEDERATION: [(&str, &str); 4] = [
    ("FEDERATION__TLS__CERT", "c.pem"),
    ("FEDERATION__TLS__KEY", "k.pem"),
    ("FEDERATION__TLS__CA", "ca.pem"),
    (
        "FEDERATION__PEERS",
        r#"[{ name = "b.example", url = "https://b.example:7443" }]"#,
    ),
];

#[test]
fn no_two_listeners_have_one_port() {
    let acme = ("ACME__HOSTNAMES", "a.example");
    let addr = ("LISTENER__ADDR", "127.0.0.1:8080");
    for (variables, [key, other]) in [
        (
            vec![addr, ("OPERATOR__LISTEN", "[::]:8080")],
            ["operator.listen", "listener.addr"],
        ),
        (
            vec![addr, ("ADMIN__LISTEN", "/run/a.sock, localhost:8080")],
            ["admin.listen", "listener.addr"],
        ),
        (
            vec![addr, ("FEDERATION__LISTEN", ":8080")],
            ["federation.listen", "listener.addr"],
        ),
        (
            vec![addr, acme, ("ACME__HTTP_ADDR", ":8080")],
            ["acme.http_addr", "listener.addr"],
        ),
        (
            vec![("ADMIN__LISTEN", "[::1]:1"), ("FEDERATION__LISTEN", ":1")],
            ["federation.listen", "admin.listen"],
        ),
        (
            vec![("OPERATOR__LISTEN", "127.0.0.1:1, localhost:1")],
            ["operator.listen", "operator.listen"],
        ),
        (
            vec![acme, ("ACME__TLS_ALPN", "false"), ("LISTENER__ADDR", ":80")],
            ["acme.http_addr", "listener.addr"],
        ),
    ] {
        let error = with(&[&FEDERATION[..], &variables].concat()).unwrap_err();
        assert!(error.starts_with(&format!("{key}: ")), "{error}");
        assert!(
            error.contains(&format!(" has the port of {other} (")),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn listeners_that_are_off_or_not_opened_here_take_no_port() {
    for variables in [
        // The operator's default is skipped if it is taken.
        &[("LISTENER__ADDR", "127.0.0.1:9580")][..],
        &[
            ("LISTENER__ADDR", ":0"),
            ("OPERATOR__LISTEN", "127.0.0.1:0"),
        ],
        &[("LISTENER__ADDR", "127.0.0.1:80")],
        &[
            ("LISTENER__EXPECTED_SOCKETS", "http"),
            ("OPERATOR__LISTEN", "127.0.0.1:443"),
        ],
        &[
            ("LISTENER__EXPECTED_SOCKETS", "operator"),
            ("OPERATOR__LISTEN", "127.0.0.1:443"),
        ],
    ] {
        assert_eq!(with(variables), Ok(vec![]), "{variables:?}");
    }
}

/// The names can be proven without HTTP-01.
#[test]
fn a_default_port_of_acme_that_is_taken_is_a_warning() {
    let variables = [
        ("ACME__HOSTNAMES", "a.example"),
        ("LISTENER__ADDR", "127.0.0.1:80"),
    ];
    let warnings = with(&variables).unwrap();
    let expected = "acme.http_addr: :80 has the port of listener.addr";
    assert!(
        warnings.iter().any(|line| line.starts_with(expected)),
        "{warnings:?}"
    );
}

/// The operator's default, which is opened first, is not skipped for the page's sake.
#[test]
fn the_status_page_cannot_have_the_default_port_for_operators() {
    let status = ("STATUS__LISTEN", "127.0.0.1:9580");
    let error = with(&[status]).unwrap_err();
    let expected =
        "status.listen: 127.0.0.1:9580 has the port of operator.listen: set another port";
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(with(&[status, ("OPERATOR__LISTEN", "off")]), Ok(vec![]));
}
