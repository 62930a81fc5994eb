//! The status of a broker as a screen with bars and sparklines.

use std::collections::VecDeque;

use crossterm::style::Color;

use crate::proto::admin::v1::broker_status::State;
use crate::proto::admin::v1::{BrokerStatus, Pool, RecentActivity};

use super::figures::{percent, pool, rate, seconds, span, time};
use super::status::{self, CLIENT_SHARES, LATENCIES, POOLS, PROXY_SHARES, Share};

/// More values than a wide terminal has columns.
const HISTORY_MAX: usize = 500;
/// The width of a label.
const LABEL: usize = 12;
/// The width of a figure.
const FIGURE: usize = 9;
/// The maximum width of a bar.
const BAR_MAX: usize = 30;

/// The recent statuses, as far as the screen shows them.
#[derive(Debug, Default)]
pub(in crate::admin_client) struct History {
    proxy_polls: Series,
    client_polls: Series,
    parked: [Series; 3],
}

impl History {
    /// Adds a status.
    pub(in crate::admin_client) fn note(&mut self, status: &BrokerStatus) {
        let minute = status.recent.first().map_or((0.0, 0.0), |minute| {
            (
                minute.proxy_polls_per_second,
                minute.client_polls_per_second,
            )
        });
        self.proxy_polls.push(minute.0);
        self.client_polls.push(minute.1);
        for (series, pool) in self.parked.iter_mut().zip(POOLS) {
            series.push(count(status::parked(status, pool)));
        }
    }
}

/// A bounded series of values, newest last.
#[derive(Debug, Default)]
struct Series(VecDeque<f64>);

impl Series {
    fn push(&mut self, value: f64) {
        if self.0.len() == HISTORY_MAX {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// The newest values as blocks with heights relative to the highest value.
    fn sparkline(&self, width: usize) -> String {
        const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let seen = self.0.len().saturating_sub(width);
        let values = self.0.range(seen..);
        let highest = values.clone().copied().fold(0.0, f64::max);
        let block = |value: &f64| match eighths(value / highest) {
            0 => BLOCKS[0],
            eighths => BLOCKS[(eighths - 1).min(7)],
        };
        values.map(block).collect()
    }
}

/// A line of the screen: pieces of text, some with a color.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::admin_client) struct Line(pub(in crate::admin_client) Vec<(Option<Color>, String)>);

impl Line {
    fn plain(text: impl Into<String>) -> Self {
        Self::default().then(None, text)
    }

    fn then(mut self, colour: impl Into<Option<Color>>, text: impl Into<String>) -> Self {
        self.0.push((colour.into(), text.into()));
        self
    }

    /// The line, cut to a width.
    fn clipped(mut self, width: usize) -> Self {
        let mut room = width;
        for (_, text) in &mut self.0 {
            *text = text.chars().take(room).collect();
            room -= text.chars().count();
        }
        self
    }
}

/// The newest status and its history, in `width` columns and at most `height` lines.
pub(in crate::admin_client) fn screen(
    status: &BrokerStatus,
    history: &History,
    width: usize,
    height: usize,
) -> Vec<Line> {
    let mut lines = vec![title(status)];
    lines.extend(parked(status, history, width));
    lines.extend(clients(status));
    lines.push(Line::default());
    let minute = status.recent.first().copied().unwrap_or_default();
    let rates = [
        (
            "proxy polls",
            minute.proxy_polls_per_second,
            &history.proxy_polls,
            &PROXY_SHARES[..],
        ),
        (
            "client polls",
            minute.client_polls_per_second,
            &history.client_polls,
            &CLIENT_SHARES,
        ),
    ];
    for (what, polls, series, shares) in rates {
        let figure = format!("{what:<LABEL$}{:>FIGURE$}  ", rate(polls) + "/s");
        let room = width.saturating_sub(LABEL + FIGURE + 2);
        lines.push(Line::plain(figure).then(Color::Cyan, series.sparkline(room)));
        lines.extend(shares.iter().map(|share| shared(share, &minute, width)));
        lines.push(Line::default());
    }
    lines.extend(LATENCIES.map(|(what, latency)| {
        let latency = latency(&minute);
        let [half, most, nearly] = [latency.p50, latency.p90, latency.p99].map(seconds);
        Line::plain(format!("{what:<20}p50 {half}  p90 {most}  p99 {nearly}"))
    }));
    let covered = minute.covered.unwrap_or_default().seconds;
    let covered = span(Some(prost_types::Duration {
        seconds: covered,
        nanos: 0,
    }));
    lines.push(Line::plain(format!(
        "rates, shares and latencies of the last {covered} · q ends"
    )));
    lines.truncate(height);
    lines.into_iter().map(|line| line.clipped(width)).collect()
}

fn title(status: &BrokerStatus) -> Line {
    let (version, uptime) = status::version_and_uptime(status);
    let colour = match status.state() {
        State::Serving => Color::Green,
        State::LameDuck | State::Unspecified => Color::Yellow,
        State::Draining => Color::Red,
    };
    Line::plain(format!("snowflake-broker {version} · "))
        .then(colour, status::state(status))
        .then(
            None,
            format!(" · up {uptime} · {}", time(status.observe_time)),
        )
}

/// A bar for each pool, with its history.
fn parked(status: &BrokerStatus, history: &History, width: usize) -> Vec<Line> {
    let counts = POOLS.map(|pool| status::parked(status, pool));
    let all = counts.iter().sum::<i64>();
    let mut lines = vec![Line::plain(format!("{:<LABEL$}{all:>FIGURE$}", "parked"))];
    let bar_width = bar_width(width);
    for ((series, of), parked) in history.parked.iter().zip(POOLS).zip(counts) {
        let share = if all == 0 {
            0.0
        } else {
            count(parked) / count(all)
        };
        let label = format!("  {:<LABEL$}{parked:>1$}  ", pool(of), FIGURE - 2);
        let room = width.saturating_sub(LABEL + FIGURE + 2 + bar_width + 2);
        let line = Line::plain(label)
            .then(pool_colour(of), bar(share, bar_width))
            .then(Color::Cyan, format!("  {}", series.sparkline(room)));
        lines.push(line);
    }
    lines
}

fn pool_colour(pool: Pool) -> Color {
    match pool {
        Pool::Open => Color::Green,
        Pool::Moderate => Color::Yellow,
        _ => Color::Magenta,
    }
}

fn clients(status: &BrokerStatus) -> [Line; 2] {
    let queued = POOLS.map(|pool| status::queued(status, pool));
    let all = queued.iter().sum::<i64>();
    let [open, moderate, strict] = queued;
    let queued = format!("open {open}, moderate {moderate}, strict {strict}");
    let (matched, connections) = (status.matched_clients, status.open_connections);
    [
        Line::plain(format!("{:<LABEL$}{all:>FIGURE$}  {queued}", "queued")),
        Line::plain(format!(
            "{:<LABEL$}{matched:>FIGURE$}  {connections} connections",
            "matched"
        )),
    ]
}

fn shared((what, share): &Share, minute: &RecentActivity, width: usize) -> Line {
    let share = share(minute);
    let colour = match *what {
        "matched" => Color::Green,
        "idle" => Color::Blue,
        _ => Color::Red,
    };
    let label = format!("  {what:<LABEL$}{:>1$}  ", percent(share), FIGURE - 2);
    Line::plain(label).then(colour, bar(share, bar_width(width)))
}

/// The width of a bar: a third of the screen.
fn bar_width(width: usize) -> usize {
    (width / 3).min(BAR_MAX)
}

/// A share from 0 to 1 as blocks, precise to an eighth of a column.
fn bar(share: f64, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let full = (0..width).map(|column| eighths(share * count(width) - count(column)));
    let bar: String = full
        .map(|eighths| PARTS.get(eighths).copied().unwrap_or("█"))
        .collect();
    format!("{bar:<width$}")
}

/// The number of eighths in `part`, 0 to 8; 0 for NaN.
fn eighths(part: f64) -> usize {
    (1..=8)
        .take_while(|&eighths| part * 8.0 + 0.5 >= count(eighths))
        .count()
}

/// A count as a number for drawing.
fn count<T: TryInto<u32>>(count: T) -> f64 {
    count.try_into().map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin_client::text::status::example;

    fn shown(width: usize, height: usize) -> Vec<String> {
        let mut history = History::default();
        let mut status = example();
        for rate in [0.0, 10.0, 20.0, 40.0] {
            status.recent[0].proxy_polls_per_second = rate;
            history.note(&status);
        }
        let lines = screen(&status, &history, width, height);
        let text = |line: Line| line.0.into_iter().map(|(_, text)| text).collect::<String>();
        lines.into_iter().map(text).collect()
    }

    #[test]
    fn the_screen() {
        let expected = "\
snowflake-broker 0.2.0 · serving · up 2h · 2026-10-01T02:00:00Z
parked           1000
  open            100  ██▋                         ████
  moderate          0                              ▁▁▁▁
  strict          900  ███████████████████████▍    ████
queued              3  open 0, moderate 0, strict 3
matched            12  1015 connections

proxy polls    40.0/s  ▁▂▄█
  matched      25.0 %  ██████▌
  idle         70.0 %  ██████████████████▎
  refused       5.0 %  █▎
  abandoned     0.0 %

client polls   12.5/s  ████
  matched       0.0 %
  timed out     0.0 %
  denied        0.0 %
  refused       0.0 %
  abandoned     0.0 %

request to answer   p50 1.00 s  p90 2.00 s  p99 3.00 s
hand-off to answer  p50 -  p90 -  p99 -
rates, shares and latencies of the last 1m · q ends";
        let shown = shown(80, 24);
        let lines: Vec<_> = shown.iter().map(|line| line.trim_end()).collect();
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn it_fits_into_any_terminal() {
        for (width, height) in [(0, 0), (1, 1), (10, 5), (33, 12), (40, 100), (300, 2)] {
            let lines = shown(width, height);
            assert!(lines.len() <= height);
            for line in lines {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn the_history_has_an_end() {
        let mut history = History::default();
        for _ in 0..2 * HISTORY_MAX {
            history.note(&BrokerStatus::default());
        }
        assert_eq!(history.proxy_polls.0.len(), HISTORY_MAX);
        assert_eq!(history.proxy_polls.sparkline(3), "▁▁▁");
    }

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(0.3, 4), "█▎  ");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(f64::NAN, 2), "  ");
    }
}
