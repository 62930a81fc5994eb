//! Refused settings of the administration.

use std::io::Write as _;

use tempfile::NamedTempFile;

use super::*;

#[test]
fn whoever_reaches_the_administration_has_to_say_who_they_are() {
    let admin = |variables: &[(&str, &str)]| {
        let names: Vec<(String, &str)> = variables
            .iter()
            .map(|(name, value)| (format!("SNOWFLAKE_BROKER_ADMIN__{name}"), *value))
            .collect();
        let nobody_forwards = ("SNOWFLAKE_BROKER_HTTP__FORWARDED_BY", "none");
        let variables: Vec<(&str, &str)> = names
            .iter()
            .map(|(name, value)| (&**name, *value))
            .chain([nobody_forwards])
            .collect();
        load(&in_the_clear(&variables, vec![])).map_err(|error| error.to_string())
    };
    for listen in [
        "/run/a.sock",
        "unix:/run/a.sock",
        "127.0.0.1:1",
        "localhost:1",
        "[::1]:1",
        "off",
    ] {
        assert!(admin(&[("LISTEN", listen)]).is_ok(), "{listen}");
    }
    for listen in [":1", "0.0.0.0:1", "192.0.2.1:1", "broker.example:1"] {
        let error = admin(&[("LISTEN", listen)]).unwrap_err();
        assert!(error.starts_with("admin.listen: "), "{error}");
        assert!(error.contains("other machines reach it"), "{error}");
    }
    let error = admin(&[("LISTEN", "unix:a.sock")]).unwrap_err();
    assert!(
        error.contains("must name the socket by an absolute path"),
        "{error}"
    );
    let mutual = [
        ("LISTEN", ":1"),
        ("TLS__CERT", "/c"),
        ("TLS__KEY", "/k"),
        ("TLS__CLIENT_CA", "/ca"),
        ("TLS__OPERATORS", "alice.example"),
    ];
    let loaded = admin(&mutual).unwrap();
    assert_eq!(loaded.config.admin.tls.operators, ["alice.example"]);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    for (left_out, error) in [
        (1, "admin.tls.key"),
        (2, "admin.tls.cert"),
        (3, "admin.listen"),
        (4, "admin.tls.client_ca"),
    ] {
        let mut variables = mutual.to_vec();
        variables.remove(left_out);
        let wrong = admin(&variables).unwrap_err();
        assert!(wrong.starts_with(error), "{wrong}");
    }
}

/// On the loopback, these names would not restrict anyone.
#[test]
fn names_of_certificates_need_an_authority_wherever_it_listens() {
    for listen in ["127.0.0.1:1", "[::1]:1", "/run/a.sock", "off", ":1"] {
        for key in ["OPERATORS", "VIEWERS"] {
            let name = format!("SNOWFLAKE_BROKER_ADMIN__TLS__{key}");
            let variables = [
                ("SNOWFLAKE_BROKER_ADMIN__LISTEN", listen),
                ("SNOWFLAKE_BROKER_ADMIN__TLS__CERT", "/c"),
                ("SNOWFLAKE_BROKER_ADMIN__TLS__KEY", "/k"),
                (&name, "alice.example"),
            ];
            let error = refused(&in_the_clear(&variables, vec![]));
            let culprit = format!("admin.tls.{}: ", key.to_lowercase());
            let line = error.lines().find(|line| line.starts_with(&culprit));
            let needs = "needs admin.tls.client_ca as well";
            assert!(line.is_some_and(|line| line.contains(needs)), "{error}");
        }
    }
}

#[test]
fn the_administration_listens_in_several_places() {
    let listening = |listen: &str| {
        let mut file = NamedTempFile::new().unwrap();
        writeln!(file, "[admin]\nlisten = {listen}").unwrap();
        let mut inputs = in_the_clear(&[], vec![]);
        inputs.files = vec![file.path().to_owned()];
        load(&inputs).map_err(|error| error.to_string())
    };
    for (listen, places) in [
        (r#""/a.sock""#, &["/a.sock"][..]),
        (r#"["/a.sock", "127.0.0.1:1"]"#, &["/a.sock", "127.0.0.1:1"]),
        (r#""[::1]:1, 127.0.0.1:1""#, &["[::1]:1", "127.0.0.1:1"]),
        ("[]", &[]),
        (r#""off""#, &["off"]),
    ] {
        let config = listening(listen).unwrap().config;
        assert_eq!(config.admin.listen, places, "{listen}");
        let again: Config = toml::from_str(&config.to_toml().unwrap()).unwrap();
        assert_eq!(again, config, "{listen}");
    }
    for (listen, problem) in [
        (r#"["off", "127.0.0.1:1"]"#, "must be off alone"),
        (r#"["/a.sock", "/a.sock"]"#, "has \"/a.sock\" twice"),
        (
            r#"["/a.sock", "unix:b.sock"]"#,
            "must name the socket by an absolute path",
        ),
        (r#"["127.0.0.1:1", "sock"]"#, "must be a path, :PORT"),
        (r#"["127.0.0.1:1", ":2"]"#, "other machines reach it"),
        ("9443", "must be a path, an address and port"),
    ] {
        let error = listening(listen).unwrap_err();
        assert!(error.starts_with("admin.listen: "), "{error}");
        assert!(error.contains(problem), "{listen}: {error}");
    }
}

#[test]
fn tokens_for_the_administration_are_tables_of_a_file() {
    let load = |tokens: &str| {
        let text = format!("[tls]\ndisable = true\n[admin]\nlisten = \":1\"\n{tokens}");
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let inputs = Inputs {
            files: vec![file.path().to_owned()],
            ..inputs(&[], vec![])
        };
        load(&inputs).map_err(|error| error.to_string())
    };
    let alice = "[[admin.tokens]]\nname = \"alice\"\nrole = \"operator\"\nfile = \"/a\"\n";
    let loaded = load(alice).unwrap();
    assert_eq!(loaded.config.admin.tokens[0].name, "alice");
    let warned = loaded.warnings.iter().map(ToString::to_string);
    assert!(
        warned
            .into_iter()
            .any(|warning| warning.contains("without TLS"))
    );
    let twice = load(&alice.repeat(2)).unwrap_err();
    assert!(twice.contains("has the name \"alice\" twice"), "{twice}");
    let role = load(&alice.replace("operator", "king")).unwrap_err();
    assert!(role.starts_with("admin.tokens"), "{role}");
}
