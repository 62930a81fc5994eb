//! The scenarios and their runs.

use std::time::Duration;

use crate::results::Scenario;

/// The plan of a scenario.
pub(crate) struct Plan {
    /// True if it measures, false if it only tries.
    pub(crate) is_full: bool,
    /// The number of runs of each row.
    pub(crate) rounds: usize,
    pub(crate) rows: Vec<PlannedRow>,
}

/// A server to compare the broker with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    Floor,
    Reference,
}

/// The runs of one row of the table.
pub(crate) struct PlannedRow {
    pub(crate) name: String,
    /// Arguments of the load generator.
    pub(crate) arguments: Vec<String>,
    /// The other servers under the same load. The reference is not always possible: it
    /// does not speak HTTP/2 without TLS, and lets no poll wait for longer than 10 s.
    pub(crate) beside: Vec<Other>,
    /// True if the broker reads country databases.
    pub(crate) has_countries: bool,
    /// True if polls stay parked for longer than the run.
    pub(crate) parks_long: bool,
    pub(crate) at: Option<u64>,
}

impl PlannedRow {
    fn new(name: &str, arguments: &str) -> Self {
        Self {
            name: name.to_owned(),
            arguments: arguments.split_whitespace().map(str::to_owned).collect(),
            beside: Vec::new(),
            has_countries: false,
            parks_long: false,
            at: None,
        }
    }

    fn beside(mut self, other: Other) -> Self {
        self.beside.push(other);
        self
    }

    fn beside_reference_if(self, can_do_it: bool) -> Self {
        if can_do_it {
            self.beside(Other::Reference)
        } else {
            self
        }
    }

    fn with_countries(self) -> Self {
        Self {
            has_countries: true,
            ..self
        }
    }

    /// Parks polls for longer than the run, and lets requests take as long.
    fn parking_long(mut self) -> Self {
        self.arguments.push("--patience=1h".to_owned());
        self.parks_long = true;
        self
    }

    fn at(self, at: u64) -> Self {
        Self {
            at: Some(at),
            ..self
        }
    }
}

/// Durations and counts, for a measurement or only to try.
struct Scale {
    is_full: bool,
}

impl Scale {
    /// The options for the length of the measurement.
    fn duration(&self, seconds: u64) -> String {
        let full = Duration::from_secs(seconds);
        let span = if self.is_full { full } else { full.min(MOMENT) };
        let warm_up = if self.is_full { "2s" } else { "0s" };
        format!("--warm-up={warm_up} --duration={}ms", span.as_millis())
    }

    fn count(&self, count: u64) -> u64 {
        if self.is_full { count } else { count / 50 }
    }
}

/// Long enough to see that a run works.
const MOMENT: Duration = Duration::from_millis(500);

impl Scenario {
    pub(crate) fn plan(self, is_full: bool) -> Plan {
        let scale = Scale { is_full };
        let (rounds, mut rows) = match self {
            Self::Match => (3, matches(&scale)),
            Self::Connections => (3, connections(&scale)),
            Self::Memory => (3, memory(&scale)),
            Self::Growth => (3, growth(&scale)),
            Self::Latency => (1, latency(&scale)),
            Self::DayCalm => (1, vec![day(&scale, &CALM)]),
            Self::DayShutdown => (1, vec![day(&scale, &SHUTDOWN)]),
            Self::Start => (20, start()),
            Self::Idle => (3, idle(&scale)),
        };
        if !is_full {
            for row in &mut rows {
                row.arguments.push("--settle=0s".to_owned());
            }
        }
        Plan {
            is_full,
            rounds: if is_full { rounds } else { 1 },
            rows,
        }
    }
}

fn matches(scale: &Scale) -> Vec<PlannedRow> {
    let duration = scale.duration(10);
    [
        ("HTTP/1.1", ""),
        ("HTTP/1.1, answers after 50 ms", "--answer-delay=50ms"),
        ("HTTP/2", "--http2"),
        ("HTTP/1.1 over TLS", "--tls"),
        ("HTTP/2 over TLS", "--tls --http2"),
    ]
    .map(|(name, more)| {
        let clients = "--proxies=400 --clients=100";
        PlannedRow::new(name, &format!("{clients} {more} {duration}"))
            .beside(Other::Floor)
            .beside_reference_if(more != "--http2")
    })
    .into()
}

/// Uses many addresses, because a used port is not reused for a minute.
fn connections(scale: &Scale) -> Vec<PlannedRow> {
    let duration = scale.duration(10);
    [
        ("in the clear", ""),
        ("TLS, full handshakes", "--tls"),
        ("TLS, resumed sessions", "--tls --resume"),
    ]
    .map(|(name, more)| {
        let clients = "--proxies=400 --clients=100 --no-keep-alive --sources=100";
        PlannedRow::new(name, &format!("{clients} {more} {duration}"))
            .beside(Other::Floor)
            .beside(Other::Reference)
    })
    .into()
}

fn memory(scale: &Scale) -> Vec<PlannedRow> {
    [
        ("HTTP/1.1", 15_000, ""),
        ("HTTP/1.1 over TLS", 15_000, "--tls"),
        ("HTTP/2", 50_000, "--http2"),
        ("HTTP/2 over TLS", 50_000, "--tls --http2"),
    ]
    .map(|(name, polls, more)| {
        let (polls, none) = (scale.count(polls), nobody("0s"));
        PlannedRow::new(name, &format!("--proxies={polls} {more} {none}"))
            .beside(Other::Floor)
            // Sending more polls would take too long.
            .beside_reference_if(polls <= 15_000)
            .parking_long()
            .at(polls)
    })
    .into()
}

fn nobody(duration: &str) -> String {
    format!("--clients=0 --warm-up=0s --duration={duration}")
}

/// Uses HTTP/2, because few users may open 50,000 files.
fn growth(scale: &Scale) -> Vec<PlannedRow> {
    let duration = scale.duration(10);
    [1_000, 2_000, 5_000, 10_000, 20_000, 50_000]
        .map(|polls| {
            let polls = scale.count(polls);
            let clients = "--clients=100 --http2";
            let name = format!("{polls} parked polls");
            PlannedRow::new(&name, &format!("--proxies={polls} {clients} {duration}"))
                .parking_long()
                .at(polls)
        })
        .into()
}

fn latency(scale: &Scale) -> Vec<PlannedRow> {
    let duration = scale.duration(20);
    [250, 500, 1_000, 2_000, 4_000]
        .map(|rate| {
            let (rate, peers) = (scale.count(rate), scale.count(2_000));
            let name = format!("{rate} clients/s");
            let clients = format!("--proxies={peers} --clients={peers}");
            PlannedRow::new(&name, &format!("--rate={rate} {clients} {duration}"))
                .beside(Other::Reference)
                .at(rate)
        })
        .into()
}

/// One day of the large broker, from its published metrics: averages over the day.
struct Day {
    date: &'static str,
    polls_per_second: u64,
    clients_per_second: u64,
    /// Maximum numbers of simultaneous proxies and clients, which suffice for all.
    proxies: u64,
    clients: u64,
    /// The share of offered clients that timed out.
    silent: f64,
    /// The percentage of clients that any proxy can serve, chosen so that as many clients
    /// are denied as on that day.
    unrestricted_clients: u32,
}

const CALM: Day = Day {
    date: "2025-05-21, calm",
    polls_per_second: 812,
    clients_per_second: 54,
    proxies: 13_000,
    clients: 1_000,
    silent: 0.27,
    unrestricted_clients: 35,
};

/// 29 % of the clients timed out and 18.5 % were matched. 65 % of the polls got a client,
/// far more than the 18 % of unrestricted proxies, so 35 % of the clients accepted other
/// proxies.
const SHUTDOWN: Day = Day {
    date: "2025-06-17, shutdown in Iran",
    polls_per_second: 614,
    clients_per_second: 838,
    proxies: 8_000,
    clients: 6_000,
    silent: 0.61,
    unrestricted_clients: 35,
};

/// The rates are those of the day, but the day is 144 times shorter. They vary by 40 %
/// around their mean.
fn day(scale: &Scale, day: &Day) -> PlannedRow {
    let (duration, every) = if scale.is_full {
        ("--warm-up=15s --duration=585s", "10s")
    } else {
        ("--warm-up=0s --duration=3s", "1s")
    };
    let Day {
        date,
        polls_per_second,
        clients_per_second,
        proxies,
        clients,
        silent,
        unrestricted_clients,
    } = day;
    let (polls_per_second, proxies) = (scale.count(*polls_per_second), scale.count(*proxies));
    let (clients_per_second, clients) = (scale.count(*clients_per_second), scale.count(*clients));
    let restricted_clients = 100 - unrestricted_clients;
    PlannedRow::new(
        date,
        &format!(
            "--poll-rate={polls_per_second} --rate={clients_per_second} --swing=0.4 \
             --proxies={proxies} --clients={clients} --sources=10 \
             --answer-delay=300ms..3s --silent={silent} \
             --proxy-nat=unrestricted=18,restricted=62,unknown=20 \
             --client-nat=unrestricted={unrestricted_clients},restricted={restricted_clients} \
             {duration} --sample-every={every}"
        ),
    )
    .with_countries()
}

fn start() -> Vec<PlannedRow> {
    let none = nobody("0s");
    let arguments = format!("--proxies=1 {none}");
    vec![
        PlannedRow::new("without countries", &arguments),
        PlannedRow::new("with country databases", &arguments).with_countries(),
        PlannedRow::new("with TLS, too", &format!("{arguments} --tls")).with_countries(),
    ]
}

fn idle(scale: &Scale) -> Vec<PlannedRow> {
    let polls = scale.count(10_000);
    let none = nobody(if scale.is_full { "30s" } else { "1s" });
    let arguments = format!("--proxies={polls} {none}");
    vec![
        PlannedRow::new("nobody comes", &arguments)
            .parking_long()
            .at(polls),
        PlannedRow::new("each polls again after 10 s", &arguments).at(polls),
    ]
}
