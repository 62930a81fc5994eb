//! The queues of SQS.

use super::program::Broker;

#[test]
fn queues_that_cannot_be_served_are_refused() {
    let file = "[sqs]\nqueue_name = \"a b\"\nconcurrency = 0\n\
                [[sqs.queues]]\nname = \"snowflake-client-1\"\n";
    Broker::with_file("check-config -disable-tls", file)
        .run()
        .refused(&[
            (
                "sqs.queue_name: must be 1 to 80 of",
                "(got \"a b\", config.toml line 2)",
            ),
            (
                "sqs.concurrency: must be between 1",
                "(got 0, config.toml line 3)",
            ),
            (
                "sqs.queues: ",
                "the name \"snowflake-client-1\" must not begin with snowflake-client-",
            ),
        ]);
    let file = "[[sqs.queues]]\nname = \"a\"\nprofile = \"one\"\n";
    Broker::with_file(
        "check-config -disable-tls -broker-sqs-name a -sqs-profiles one",
        file,
    )
    .run()
    .refused(&[("sqs.queues: has queue a, profile one twice", "")]);
    let file = "[[sqs.queues]]\nname = \"a\"\nprofile = \"\"\nregion = \"\"\n";
    Broker::with_file("check-config -disable-tls", file)
        .run()
        .refused(&[("sqs.queues: must not have an empty profile or region", "")]);
}

#[cfg(feature = "sqs")]
#[test]
fn a_queue_without_a_region_is_a_warning() {
    let check = || Broker::new("check-config -disable-tls -broker-sqs-name a");
    let warning = "sqs: queue a, default credentials: no region: set sqs.region";
    check().run().warned(warning);
    let known = |broker: Broker| {
        let said = broker.run();
        said.ok();
        assert!(!said.stderr.contains("no region"), "{}", said.stderr);
    };
    known(check().arg("--broker-sqs-region").arg("eu-west-1"));
    known(check().env("AWS_REGION", "eu-west-1"));
    let broker = check().env("AWS_CONFIG_FILE", "aws");
    broker.write("aws", "[default]\nregion = eu-west-1\n");
    known(broker);
    let broker = check().arg("--sqs-profiles").arg("one,two");
    broker.write("aws", "[profile one]\nregion = eu-west-1\n");
    let said = broker.env("AWS_CONFIG_FILE", "aws").run();
    said.warned("sqs: queue a, profile two: no region");
    assert!(!said.stderr.contains("profile one: no"), "{}", said.stderr);
}

#[test]
fn a_region_or_profile_without_a_queue_is_a_warning() {
    let line = "check-config -disable-tls -broker-sqs-region a -sqs-profiles b";
    let said = Broker::new(line).run();
    said.ok();
    for (key, value) in [("sqs.region: ", "\"a\""), ("sqs.profiles: ", "\"b\"")] {
        let ignored = format!("{key}is ignored");
        let warns = |line: &str| line.contains(&ignored) && line.contains(value);
        assert!(said.stderr.lines().any(warns), "{}", said.stderr);
    }
}

#[cfg(not(feature = "sqs"))]
#[test]
fn a_build_without_sqs_says_how_to_get_one_with_it() {
    Broker::new("check-config -disable-tls -broker-sqs-name a")
        .run()
        .refused(&[(
            "sqs.queue_name: this program was built without SQS",
            "--features sqs",
        )]);
}
