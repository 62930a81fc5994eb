//! The figures of a run, for docs/reliability.md.

use std::fmt::Display;

use crate::Options;
use crate::samples::Sample;
use crate::slope::Slope;
use crate::support::exposition::Exposition;
use crate::table::Table;
use crate::tally::{Fate, Kind, Tally};

/// How often each of A and its neighbors was disturbed.
#[derive(Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) reloads: u64,
    pub(crate) node: u64,
    pub(crate) peer: u64,
    pub(crate) server: u64,
    pub(crate) admin: u64,
}

/// The figures, each with its name.
pub(crate) struct Figures(Vec<[String; 2]>);

impl Figures {
    pub(crate) fn new(
        options: &Options,
        samples: &[Sample],
        slope: Slope,
        tally: &Tally,
        faults: Faults,
        page: &Exposition,
    ) -> Self {
        let mut figures = Self(Vec::new());
        figures.of_load(options, tally, page);
        figures.of_faults(faults);
        figures.of_memory(samples, slope);
        figures
    }

    fn of_load(&mut self, options: &Options, tally: &Tally, page: &Exposition) {
        let known = |kind, outcome| tally.count(kind, Fate::Known(outcome));
        let clients = |outcome| known(Kind::Client, outcome) + known(Kind::AmpClient, outcome);
        let sum = |name: &str, label: (&str, &str)| {
            page.sum(&format!("snowflake_broker_{name}"), &[label])
        };
        self.add("length of the load", &format!("{} min", options.minutes));
        for (name, outcome) in [
            ("clients answered", "matched"),
            ("denied", "denied"),
            ("timed out", "timed_out"),
            ("refused", "refused"),
        ] {
            self.add(name, &clients(outcome));
        }
        let left = tally.all(Fate::Left);
        self.add("requests whose senders left before the reply", &left);
        self.add(
            "requests without an end, by hostile connections",
            &tally.all(Fate::Unfinished),
        );
        self.add("proxy polls with a client", &known(Kind::Proxy, "matched"));
        self.add("proxy polls without one", &known(Kind::Proxy, "idle"));
        self.add("answers delivered", &known(Kind::Answer, "delivered"));
        self.add(
            "answers too late, twice or to nobody",
            &known(Kind::Answer, "gone"),
        );
        let answered = ("outcome", "answered");
        self.add(
            "clients answered by the peer's proxies",
            &sum("peer_borrowed_total", answered),
        );
        self.add(
            "by those of the other node",
            &sum("node_offers_sent_total", answered),
        );
        self.add(
            "the peer's clients answered by ours",
            &sum("peer_lent_total", answered),
        );
        self.add(
            "and the other node's",
            &sum("node_offers_received_total", answered),
        );
    }

    fn of_faults(&mut self, faults: Faults) {
        let Faults {
            reloads,
            node,
            peer,
            server,
            admin,
        } = faults;
        self.add("reloads", &reloads);
        self.add("ends of the other node", &node);
        self.add("ends of the peer", &peer);
        self.add("times that NATS hung or restarted", &server);
        self.add("changes by the administration", &admin);
    }

    fn of_memory(&mut self, samples: &[Sample], slope: Slope) {
        let most = |of: fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or_default();
        let [from, to] = slope
            .ends
            .map(|hours| format!("{:.1} MB", slope.line.at(hours)));
        self.add("most parked polls", &most(|sample| sample.parked));
        self.add("most connections", &most(|sample| sample.connections));
        self.add(
            "most bytes in flight",
            &most(|sample| sample.bytes_in_flight),
        );
        self.add("most open files", &most(|sample| sample.files));
        self.add("threads", &most(|sample| sample.threads));
        self.add(
            "resident memory by the regression, after the warm-up",
            &from,
        );
        self.add("at the end", &to);
        self.add("its growth", &slope);
    }

    fn add(&mut self, name: &str, figure: &dyn Display) {
        self.0.push([name.to_owned(), figure.to_string()]);
    }

    pub(crate) fn table(self) -> Table {
        Table {
            head: ["", "figure"].map(str::to_owned).into(),
            rows: self.0.into_iter().map(Vec::from).collect(),
        }
    }
}
