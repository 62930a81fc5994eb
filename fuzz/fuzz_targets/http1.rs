#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| snowflake_broker_fuzz::run("http1", input));
