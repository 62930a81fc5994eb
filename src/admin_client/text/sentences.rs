//! The text form of all responses except the status.

use crate::proto::admin::v1;

use super::figures;
use super::table::TextTable;
use crate::causes::one_line;

/// True if nothing was changed.
#[derive(Clone, Copy, Debug)]
pub(in crate::admin_client) struct DryRun(pub(in crate::admin_client) bool);

impl DryRun {
    pub(super) fn mark(self, mut text: String) -> String {
        if self.0 {
            text += "dry run: nothing has changed\n";
        }
        text
    }
}

/// A row for each poll, and the number of polls.
pub(in crate::admin_client) fn polls(polls: &[v1::ParkedPoll]) -> String {
    let mut table = TextTable::of_words();
    table.row(["type", "nat", "pool", "country", "clients", "waiting"]);
    for poll in polls {
        let waiting = std::time::Duration::from_millis(poll.waiting_ms.unsigned_abs());
        table.row([
            &*poll.r#type,
            &poll.nat,
            figures::pool(poll.pool()),
            &poll.country,
            &poll.clients.to_string(),
            &format!("{:.1} s", waiting.as_secs_f64()),
        ]);
    }
    match polls {
        [] => "no parked polls\n".to_owned(),
        [_] => format!("{table}1 parked poll\n"),
        polls => format!("{table}{} parked polls\n", polls.len()),
    }
}

/// The exact counts.
pub(in crate::admin_client) fn stats(stats: &v1::Stats) -> String {
    let mut table = TextTable::of_figures(1);
    let mut figure = |what: &str, number: i64| table.row([what, &number.to_string()]);
    figure("unique addresses of proxies", stats.unique_ips);
    let by_kind = [
        ("by type", &stats.unique_ips_by_type),
        ("by NAT", &stats.unique_ips_by_nat),
    ];
    for (by, numbers) in by_kind {
        for (kind, number) in sorted(numbers) {
            figure(&format!("  {by}: {kind}"), number);
        }
    }
    figure("proxy polls, no client", stats.idle_proxy_polls);
    let pattern = stats.proxy_polls_with_relay_pattern;
    figure("proxy polls with relay pattern", pattern);
    let no_pattern = stats.proxy_polls_without_relay_pattern;
    figure("proxy polls without one", no_pattern);
    let rejected = stats.proxy_polls_with_rejected_pattern;
    figure("proxy polls refused for it", rejected);
    for (rendezvous, number) in sorted(&stats.client_polls_by_rendezvous) {
        figure(&format!("client polls by {rendezvous}"), number);
    }
    figure("clients matched", stats.matched_clients);
    figure("clients timed out", stats.timed_out_clients);
    for (nat, number) in sorted(&stats.denied_clients_by_nat) {
        figure(&format!("clients denied, NAT {nat}"), number);
    }
    let since = figures::time(stats.start_time);
    format!("since {since}\n{table}")
}

fn sorted(numbers: &std::collections::HashMap<String, i64>) -> Vec<(&String, i64)> {
    let mut sorted: Vec<_> = numbers
        .iter()
        .map(|(kind, &number)| (kind, number))
        .collect();
    sorted.sort_unstable();
    sorted
}

/// A row for each kind of proxy.
pub(in crate::admin_client) fn intervals(intervals: &v1::PollIntervals, dry_run: DryRun) -> String {
    let mut table = TextTable::of_words();
    for (of, interval) in [
        ("open", intervals.open),
        ("moderate", intervals.moderate),
        ("strict", intervals.strict),
        ("refused", intervals.refused),
        ("overloaded", intervals.overloaded),
    ] {
        table.row([of, &figures::span(interval)]);
    }
    dry_run.mark(table.to_string())
}

/// A line for each warning.
pub(super) fn warnings(warnings: &[String]) -> String {
    let lines = warnings
        .iter()
        .map(|warning| format!("warning: {}\n", one_line(warning)));
    lines.collect::<Vec<_>>().concat()
}

/// Both relay patterns.
pub(in crate::admin_client) fn relay(policy: &v1::RelayPolicy, dry_run: DryRun) -> String {
    let mut table = TextTable::of_words();
    table.row(["allowed", policy.allowed_relay_pattern()]);
    let default = match policy.default_relay_pattern.as_deref() {
        None => "the Tor Project's bridge",
        Some("" | "$") => "every relay",
        Some(pattern) => pattern,
    };
    table.row(["default", default]);
    dry_run.mark(table.to_string() + &warnings(&policy.warnings))
}

/// A row for each limit.
pub(in crate::admin_client) fn limits(limits: &v1::Limits, dry_run: DryRun) -> String {
    let mut table = TextTable::of_words();
    table.row(["of one address", "a minute", "at once"]);
    let rate = |rate| match rate {
        0 => "no limit".to_owned(),
        rate => rate.to_string(),
    };
    for (of, a_minute, at_once) in [
        (
            "proxy polls",
            limits.proxy_polls_per_minute(),
            limits.proxy_poll_burst(),
        ),
        (
            "client polls",
            limits.client_polls_per_minute(),
            limits.client_poll_burst(),
        ),
        (
            "answers",
            limits.answers_per_minute(),
            limits.answer_burst(),
        ),
    ] {
        table.row([of, &rate(a_minute), &at_once.to_string()]);
    }
    let mut others = TextTable::of_words();
    let times = |factor: u32| format!("{factor} times as many");
    let list = |list: &[String]| match list {
        [] => "none".to_owned(),
        some => some.join(", "),
    };
    for (what, value) in [
        ("of an intermediary", times(limits.intermediary_factor())),
        ("AMP caches", list(&limits.intermediaries)),
        ("said to forward", times(limits.unconfirmed_factor())),
        ("not limited", list(&limits.exempt)),
    ] {
        others.row([what, &value]);
    }
    dry_run.mark(format!("{table}{others}"))
}

/// The log filter and its end.
pub(in crate::admin_client) fn log_filter(filter: &v1::LogFilter, dry_run: DryRun) -> String {
    let end = match filter.expire_time {
        None => "until the next reload".to_owned(),
        end => format!("until {}", figures::time(end)),
    };
    dry_run.mark(format!("logging {} {end}\n", one_line(&filter.filter)))
}

/// A line for each section, and for any further information.
pub(in crate::admin_client) fn reloaded(reloaded: &v1::ReloadResponse, dry_run: DryRun) -> String {
    let done = if dry_run.0 { "fine" } else { "reloaded" };
    let mut table = TextTable::of_words();
    for part in &reloaded.parts {
        table.row([part, done]);
    }
    for key in &reloaded.waiting_for_restart {
        table.row([key, "waits for a restart"]);
    }
    dry_run.mark(table.to_string() + &warnings(&reloaded.warnings))
}

/// The time until which clients are still served.
pub(in crate::admin_client) fn drain(drain: &v1::DrainResponse) -> String {
    let end = figures::time(drain.grace_end_time);
    format!("draining: from {end} on, new clients are told that there is no proxy\n")
}

/// A row for each key.
pub(in crate::admin_client) fn config(config: &v1::Config) -> String {
    let mut table = TextTable::of_words();
    table.row(["key", "value", "source"]);
    for setting in &config.settings {
        let value = match &*setting.value {
            "" => "not set",
            value => value,
        };
        let mut source = setting.source.clone();
        if setting.waiting_for_restart {
            source += ", waits for a restart";
        }
        table.row([&*setting.key, value, &source]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_counted() {
        let poll = v1::ParkedPoll {
            r#type: "webext".to_owned(),
            nat: "restricted".to_owned(),
            pool: v1::Pool::Strict.into(),
            clients: 1,
            country: "??".to_owned(),
            waiting_ms: 2_345,
        };
        let expected = "\
type    nat         pool    country  clients  waiting
webext  restricted  strict  ??       1        2.3 s
1 parked poll
";
        assert_eq!(polls(&[poll]), expected);
        assert_eq!(polls(&[]), "no parked polls\n");
    }

    #[test]
    fn limits_tell_what_is_none() {
        let some = v1::Limits {
            proxy_polls_per_minute: Some(600),
            proxy_poll_burst: Some(100),
            client_polls_per_minute: Some(0),
            client_poll_burst: Some(1),
            intermediary_factor: Some(10),
            intermediaries: vec!["google".to_owned(), "192.0.2.0/25".to_owned()],
            unconfirmed_factor: Some(5),
            exempt: vec!["192.0.2.0/24".to_owned()],
            ..v1::Limits::default()
        };
        let expected = "\
of one address  a minute  at once
proxy polls     600       100
client polls    no limit  1
answers         no limit  0
of an intermediary  10 times as many
AMP caches          google, 192.0.2.0/25
said to forward     5 times as many
not limited         192.0.2.0/24
dry run: nothing has changed
";
        assert_eq!(limits(&some, DryRun(true)), expected);
    }

    #[test]
    fn a_reload_names_what_waits() {
        let response = v1::ReloadResponse {
            parts: vec!["bridges".to_owned()],
            waiting_for_restart: vec!["listener.addr".to_owned()],
            warnings: vec!["geoip: not there".to_owned()],
        };
        let expected = "\
bridges        reloaded
listener.addr  waits for a restart
warning: geoip: not there
";
        assert_eq!(reloaded(&response, DryRun(false)), expected);
    }

    #[test]
    fn keys_without_a_value_say_so() {
        let setting = |key: &str, value: &str, waiting_for_restart| v1::Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            source: "default".to_owned(),
            waiting_for_restart,
        };
        let all = v1::Config {
            settings: vec![setting("tls.cert", "", false), setting("a.b", "1", true)],
        };
        let expected = "\
key       value    source
tls.cert  not set  default
a.b       1        default, waits for a restart
";
        assert_eq!(config(&all), expected);
    }
}
