//! What is refused of where connections are taken.

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
        error.contains("\"coffee\": expected http, acme, admin"),
        "{error}"
    );
}
