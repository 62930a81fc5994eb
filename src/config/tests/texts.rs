//! The meaning of texts in variables and flags.

use super::*;

#[test]
fn a_text_is_read_as_its_key_needs() {
    let Loaded { config, .. } = load(&in_the_clear(
        &[
            ("SNOWFLAKE_BROKER_SQS__QUEUE_NAME", "12"),
            ("SNOWFLAKE_BROKER_HTTP__TRUSTED_HOPS", "2"),
            ("SNOWFLAKE_BROKER_MATCHING__CLIENT_QUEUE_WAIT", "0"),
            ("SNOWFLAKE_BROKER_METRICS__IP_COUNT_INTERVAL", "24h0m0s"),
            ("SNOWFLAKE_BROKER_TELEMETRY__UNSAFE_LOGGING", "1"),
            ("SNOWFLAKE_BROKER_SQS__PROFILES", "7"),
        ],
        vec![],
    ))
    .unwrap();
    assert_eq!(config.sqs.queue_name.as_deref(), Some("12"));
    assert_eq!(config.http.trusted_hops, 2);
    assert!(config.matching.client_queue_wait.is_zero());
    assert_eq!(config.metrics.ip_count_interval.as_secs(), 24 * 3600);
    assert!(config.telemetry.unsafe_logging);
    assert_eq!(config.sqs.profiles, ["7"]);
}

#[test]
fn a_list_in_a_variable_is_written_with_commas_or_as_in_a_file() {
    for (text, expected) in [
        ("a,b", &["a", "b"][..]),
        (" a , b,", &["a", "b"]),
        (r#"["a","b"]"#, &["a", "b"]),
        (" [ 'a', \"b\", ] ", &["a", "b"]),
        ("[\n\"a\"\n]", &["a"]),
        ("[]", &[]),
        ("", &[]),
    ] {
        let loaded = load(&in_the_clear(
            &[
                ("SNOWFLAKE_BROKER_SQS__QUEUE_NAME", "queue"),
                ("SNOWFLAKE_BROKER_SQS__PROFILES", text),
            ],
            vec![],
        ));
        assert_eq!(loaded.unwrap().config.sqs.profiles, expected, "{text}");
    }
}

#[test]
fn a_list_of_tables_in_a_variable_is_written_as_in_toml_or_json() {
    let name = "SNOWFLAKE_BROKER_SQS__QUEUES";
    for text in [
        r#"[{ name = "a", region = "b" }]"#,
        r#"[{"name": "a", "region": "b"}]"#,
    ] {
        let queues = load(&in_the_clear(&[(name, text)], vec![])).unwrap();
        let [queue] = &queues.config.sqs.queues[..] else {
            panic!("one queue: {text}")
        };
        assert_eq!((&*queue.name, queue.region.as_deref()), ("a", Some("b")));
    }
    let message = refused(&in_the_clear(&[(name, "[{ name = 1 }]")], vec![]));
    assert!(
        message.contains(": name must be a string (got "),
        "{message}"
    );
}

#[test]
fn an_empty_text_unsets_an_optional_key_only() {
    let variable = ("SNOWFLAKE_BROKER_METRICS__METRICS_LOG", "/tmp/log");
    let unset = flag("metrics-log", "metrics.metrics_log", "");
    let Loaded { config, .. } = load(&in_the_clear(&[variable], vec![unset])).unwrap();
    assert_eq!(config.metrics.metrics_log, None);

    let addr = flag("addr", "listener.addr", "");
    assert_eq!(
        refused(&in_the_clear(&[], vec![addr])),
        "listener.addr: must be :PORT, HOST:PORT or [IPV6]:PORT (got \"\", flag --addr)"
    );
}

/// Every key, each with texts that are invalid for it.
#[test]
fn what_is_expected_is_said_in_words() {
    let texts = ["perhaps", "-1.5", "[1]", "[{ x = 1 }]", "[{ name = [] }]"];
    let mut said = BTreeSet::new();
    for (key, _) in Config::default().flatten() {
        for text in texts {
            let name = format!("SNOWFLAKE_BROKER_{}", key.to_uppercase().replace('.', "__"));
            let Err(errors) = load(&in_the_clear(&[(&name, text)], vec![])) else {
                continue;
            };
            said.extend(errors.0.into_iter().map(|finding| finding.problem));
        }
    }
    assert!(said.len() > 20, "{said:#?}");
    for problem in &said {
        for stray in [
            "`", "struct ", "enum ", "usize", "u32", "u64", "f64", "variant",
        ] {
            assert!(!problem.contains(stray), "{problem}");
        }
    }
    for expected in ["must be text or json", "must be grpc or http/protobuf"] {
        assert!(said.contains(expected), "{expected}: {said:#?}");
    }
}
