//! The source of the certificate.

use super::program::Broker;

#[test]
fn exactly_one_way_to_a_certificate() {
    Broker::new("check-config -disable-tls").run().ok();
    Broker::with_pair("check-config -cert c.pem -key k.pem")
        .run()
        .ok();
    // The machine may have no authorities.
    Broker::with_pair("check-config -acme-hostnames a.org")
        .env("SNOWFLAKE_BROKER_ACME__CA_FILE", "c.pem")
        .run()
        .ok();
    Broker::new("check-config")
        .run()
        .refused(&[("tls: must have a certificate", "tls.disable")]);
    Broker::new("check-config -disable-tls=false")
        .run()
        .refused(&[("tls: must have a certificate", "tls.disable")]);
    Broker::new("check-config -cert c.pem")
        .run()
        .refused(&[("tls.cert: needs tls.key", "(got \"c.pem\", flag --cert)")]);
    Broker::new("check-config -key k.pem")
        .run()
        .refused(&[("tls.key: needs tls.cert", "(got \"k.pem\", flag --key)")]);
    Broker::new("check-config -cert c.pem -key k.pem -acme-hostnames a.example")
        .run()
        .refused(&[
            (
                "acme.hostnames: must not be set together with tls.cert",
                "(got \"a.example\", flag --acme-hostnames)",
            ),
            (
                "tls.cert: must not be set together with acme.hostnames",
                "(got \"c.pem\", flag --cert)",
            ),
        ]);
}

#[test]
fn names_that_could_not_be_proven_are_refused() {
    let file = "[acme]\ntls_alpn = false\nhttp_addr = \"\"\n";
    Broker::with_file("check-config -acme-hostnames a.example", file)
        .run()
        .refused(&[(
            "acme.http_addr: must not be empty while acme.tls_alpn is false",
            "(got \"\", config.toml line 3)",
        )]);
    Broker::with_file("check-config -disable-tls", file)
        .run()
        .ok();
}

#[test]
fn what_no_authority_can_be_told_is_refused() {
    let file = "[acme]\ndirectory = \"http://ca.example\"\nhttp_addr = \"80\"\n";
    Broker::with_file(
        "check-config -acme-hostnames a.example -acme-email nobody",
        file,
    )
    .run()
    .refused(&[
        (
            "acme.directory: must be a URL that begins with https://",
            "(got \"http://ca.example\", config.toml line 2)",
        ),
        (
            "acme.http_addr: must be :PORT",
            "(got \"80\", config.toml line 3)",
        ),
        (
            "acme.email: must be an email address",
            "(got \"nobody\", flag --acme-email)",
        ),
    ]);
}

/// Command lines for the reference broker keep working.
#[test]
fn a_certificate_and_no_tls_serve_the_certificate_with_a_warning() {
    let said = Broker::with_pair("check-config -cert c.pem -key k.pem -disable-tls").run();
    assert!(
        said.stderr
            .contains("tls.disable: is ignored, because a certificate is set (got \"true\", flag"),
        "{}",
        said.stderr
    );
    said.ok();
}

#[test]
fn the_certificates_of_the_administration_are_tried() {
    let check = |cert, key, client_ca: Option<&str>| {
        let broker = Broker::with_pair("check-config -disable-tls")
            .env("SNOWFLAKE_BROKER_ADMIN__LISTEN", "127.0.0.1:0")
            .env("SNOWFLAKE_BROKER_ADMIN__TLS__CERT", cert)
            .env("SNOWFLAKE_BROKER_ADMIN__TLS__KEY", key);
        match client_ca {
            Some(file) => broker
                .env("SNOWFLAKE_BROKER_ADMIN__TLS__CLIENT_CA", file)
                .env("SNOWFLAKE_BROKER_ADMIN__TLS__OPERATORS", "alice.example"),
            None => broker,
        }
        .run()
    };
    check("c.pem", "k.pem", None).ok();
    check("c.pem", "k.pem", Some("c.pem")).ok();
    for (wrong, culprit) in [
        (check("nowhere", "k.pem", None), "admin.tls.cert: nowhere: "),
        (check("k.pem", "k.pem", None), "admin.tls.cert: "),
        (check("c.pem", "c.pem", None), "admin.tls.key: "),
        (
            check("c.pem", "k.pem", Some("k.pem")),
            "admin.tls.client_ca: ",
        ),
    ] {
        assert_eq!(wrong.code, 2, "{}", wrong.stderr);
        let line = wrong.stderr.lines().last().unwrap_or_default();
        assert!(line.starts_with(culprit), "{}", wrong.stderr);
    }
}
