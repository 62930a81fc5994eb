//! The text form of shares of the supply.

use crate::proto::admin::v1;

use super::figures;
use super::sentences::DryRun;
use super::table::TextTable;

/// A row for each limit.
pub(in crate::admin_client) fn supply(supply: &v1::Supply, dry_run: DryRun) -> String {
    let mut table = TextTable::of_words();
    let limit = |limit: u32| match limit {
        0 => "no limit".to_owned(),
        limit => limit.to_string(),
    };
    let network = match supply.sources_per_network() {
        0 => "no limit".to_owned(),
        factor => format!("{factor} times as many"),
    };
    let (first_come, recent) = (supply.first_come(), supply.recent_clients());
    for (what, value) in [
        (
            "first come",
            format!("{first_come} of the last {recent} clients"),
        ),
        ("clients a minute", limit(supply.matches_per_minute())),
        ("others are tried", tries(supply.explore_every())),
        ("unanswered offers", limit(supply.unanswered())),
        ("parked polls", limit(supply.parked_per_source())),
        ("network around it", network),
        ("larger shares", networks(&supply.networks)),
        (
            "clients' networks",
            supply.max_client_networks().to_string(),
        ),
    ] {
        table.row([what, &value]);
    }
    dry_run.mark(format!("of one source:\n{table}"))
}

fn tries(every: u32) -> String {
    match every {
        0 => "never".to_owned(),
        every => format!("with one in {every} clients"),
    }
}

fn networks(shares: &[v1::NetworkShare]) -> String {
    let shares = shares.iter();
    let named = shares.map(|share| format!("{} times {}", share.network, share.share));
    match &named.collect::<Vec<_>>()[..] {
        [] => "none".to_owned(),
        named => named.join(", "),
    }
}

/// A row for each number of sources, with their shares of polls, matches and answers.
pub(in crate::admin_client) fn sources(distribution: &v1::SourceDistribution) -> String {
    let acts = [
        &distribution.polls,
        &distribution.matches,
        &distribution.answers,
    ];
    let acts = acts.map(|act| act.clone().unwrap_or_default());
    let mut table = TextTable::of_figures(1);
    table.row(["", "polls", "matches", "answers"]);
    let mut row = |what: &str, figure: &dyn Fn(&v1::ActShares) -> String| {
        let [polls, matches, answers] = acts.each_ref().map(figure);
        table.row([what, &polls, &matches, &answers]);
    };
    for (place, top) in acts[0].top.iter().enumerate() {
        let share = |act: &v1::ActShares| act.top.get(place).map_or(0.0, |top| top.share);
        row(&format!("top {}", top.source_count), &|act| {
            format!("{:.2} %", share(act) * 100.0)
        });
    }
    row("sources", &|act| act.source_count.to_string());
    row("in all", &|act| act.total_count.to_string());
    format!("{table}since {}\n", figures::time(distribution.start_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_summed_up() {
        let act = |total_count, share| {
            let top = v1::TopShare {
                source_count: 10,
                share,
            };
            Some(v1::ActShares {
                total_count,
                source_count: 3,
                top: vec![top],
            })
        };
        let distribution = v1::SourceDistribution {
            start_time: Some(prost_types::Timestamp::default()),
            polls: act(1_000, 0.123_45),
            matches: act(20, 1.0),
            answers: None,
        };
        let expected = "           polls   matches  answers\n\
            top 10   12.35 %  100.00 %   0.00 %\n\
            sources        3         3        0\n\
            in all      1000        20        0\n\
            since 1970-01-01T00:00:00Z\n";
        assert_eq!(sources(&distribution), expected);
    }

    #[test]
    fn limits_that_are_off_are_told() {
        let shares = v1::Supply {
            first_come: Some(72),
            recent_clients: Some(10_000),
            matches_per_minute: Some(40),
            explore_every: Some(20),
            sources_per_network: Some(8),
            networks: vec![v1::NetworkShare {
                network: "192.0.2.0/24".to_owned(),
                share: 10,
            }],
            max_client_networks: Some(200_000),
            ..v1::Supply::default()
        };
        let expected = "of one source:\n\
            first come         72 of the last 10000 clients\n\
            clients a minute   40\n\
            others are tried   with one in 20 clients\n\
            unanswered offers  no limit\n\
            parked polls       no limit\n\
            network around it  8 times as many\n\
            larger shares      192.0.2.0/24 times 10\n\
            clients' networks  200000\n\
            dry run: nothing has changed\n";
        assert_eq!(supply(&shares, DryRun(true)), expected);
    }
}
