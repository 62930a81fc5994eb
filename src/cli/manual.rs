//! The parts of the manual pages that the command line's help does not have.

use clap_mangen::roff::{Roff, bold, roman};

/// A heading, and its entries: a term, and the words about it.
type Section = (&'static str, &'static [(&'static str, &'static str)]);

const ENVIRONMENT: Section = (
    "ENVIRONMENT",
    &[
        (
            "SNOWFLAKE_BROKER_SECTION__KEY",
            "Sets a key of the configuration, over the files and below the flags: \
             SNOWFLAKE_BROKER_LISTENER__ADDR=:8443 sets addr in [listener]. Lists are written \
             with commas or as in TOML.",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT and others",
            "OpenTelemetry's own variables set the keys of [otel], below those of the broker.",
        ),
        (
            "AWS_PROFILE, AWS_REGION and others",
            "Credentials and the region for SQS, as for every AWS program.",
        ),
        (
            "NO_COLOR, TERM",
            "The log and the help have colours on a terminal unless NO_COLOR is set or TERM is \
             dumb.",
        ),
        (
            "LISTEN_FDS, LISTEN_FDNAMES, NOTIFY_SOCKET, WATCHDOG_USEC, JOURNAL_STREAM",
            "Set by systemd: inherited sockets, readiness, the watchdog and the journal.",
        ),
    ],
);

const FILES: Section = (
    "FILES",
    &[
        (
            "/etc/snowflake-broker/config.toml",
            "The configuration, unless --config names others. `snowflake-broker print-config \
             --example` prints one with every key explained.",
        ),
        (
            "/run/snowflake-broker/admin.sock",
            "The socket of the administration, if its directory exists (admin.listen).",
        ),
        (
            "/usr/share/tor/geoip, /usr/share/tor/geoip6",
            "The country databases (geoip.geoipdb, geoip.geoip6db).",
        ),
    ],
);

const SIGNALS: Section = (
    "SIGNALS",
    &[
        (
            "SIGHUP",
            "Reloads the configuration and the files that it names. If anything is wrong, \
             nothing changes and the log names every problem.",
        ),
        (
            "SIGTERM, SIGINT",
            "Stops the broker: waiting clients get their answers first, for up to \
             matching.drain_grace and the time-outs. A second signal stops it at once.",
        ),
    ],
);

const EXIT_STATUS: Section = (
    "EXIT STATUS",
    &[
        ("0", "Success."),
        (
            "1",
            "A failure of this machine, such as an address in use, or a call that the broker \
             refused.",
        ),
        (
            "2",
            "A wrong command line or configuration, or a file in it that cannot be used: a \
             restart does not help.",
        ),
    ],
);

const EXAMPLES: Section = (
    "EXAMPLES",
    &[
        (
            "snowflake-broker --disable-tls --addr 127.0.0.1:8080",
            "Runs a broker without TLS, behind a reverse proxy or for a try.",
        ),
        (
            "snowflake-broker --acme-hostnames broker.example",
            "Runs a broker on port 443 that orders its own certificate.",
        ),
        (
            "snowflake-broker check-config --config new.toml",
            "Checks a configuration before it is put in place.",
        ),
        (
            "snowflake-broker admin status",
            "Shows what the broker on this machine is doing.",
        ),
    ],
);

const ADMIN_EXAMPLES: Section = (
    "EXAMPLES",
    &[
        (
            "snowflake-broker admin watch",
            "Shows what the broker on this machine is doing until you press q.",
        ),
        (
            "snowflake-broker admin reload --dry-run",
            "Has the broker check its configuration and files, and changes nothing.",
        ),
        (
            "snowflake-broker admin --address broker.example:9443 --token-file token status",
            "Asks a broker on another machine, over TLS.",
        ),
    ],
);

/// The sections of a page, by the name of its command: `snowflake-broker` or
/// `snowflake-broker-admin`.
fn sections(page: &str) -> &'static [Section] {
    match page {
        "snowflake-broker" => &[ENVIRONMENT, FILES, SIGNALS, EXIT_STATUS, EXAMPLES],
        "snowflake-broker-admin" => &[EXIT_STATUS, ADMIN_EXAMPLES],
        _ => &[],
    }
}

/// The same in roff.
pub(super) fn roff(page: &str) -> String {
    let mut roff = Roff::new();
    for (heading, entries) in sections(page) {
        roff.control("SH", [*heading]);
        for (term, words) in *entries {
            roff.control("TP", []);
            roff.text([bold(*term)]);
            roff.text([roman(*words)]);
        }
    }
    roff.to_roff()
}
