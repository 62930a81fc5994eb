//! The plots.

use std::path::Path;

use anyhow::Result;
use plotters::chart::SeriesLabelPosition;

use crate::bars::{self, Bars};
use crate::curves::{self, Curve, Plot, Scales};
use crate::fleet::{CALM, DAYS, SHUTDOWN};
use crate::runs::Runs;
use crate::scene::{Rule, Scene};
use crate::tables::{CROWDS, kept, rules};
use crate::tally::Tally;

/// The numbers of addresses of attackers.
const ADDRESSES: [u16; 5] = [1, 4, 16, 64, 256];

/// Draws all plots to the folder.
pub(crate) fn draw(runs: &Runs, folder: &Path) -> Result<()> {
    attackers(runs, &folder.join("attackers.svg"))?;
    crowds(runs, &folder.join("crowds.svg"))
}

fn attackers(runs: &Runs, file: &Path) -> Result<()> {
    let plots = [CALM, SHUTDOWN].map(|day| Plot {
        title: day.name,
        x: "addresses of the attacker, 30 polls a second each",
        y: "% of offers to strict clients",
        scales: Scales::LogarithmicX,
        legend: SeriesLabelPosition::UpperLeft,
        curves: rules()
            .map(|(name, rule)| {
                let points = ADDRESSES.map(|addresses| {
                    let scene = Scene::of(day, rule).with_attack(addresses.into(), true);
                    let share = runs.figure(scene, Tally::attackers_share);
                    (f64::from(addresses), share.mean * 1e2)
                });
                Curve::new(name, points.into())
            })
            .into(),
    });
    curves::draw(&plots, file)
}

fn crowds(runs: &Runs, file: &Path) -> Result<()> {
    let (_, proxies, kind) = CROWDS[0];
    let of = |rule: Rule| {
        let kept = DAYS.map(|day| kept(runs, day, rule, (proxies, kind)).mean * 1e2);
        kept.map(Some).into()
    };
    let series = rules().map(|(name, rule)| (name, of(rule)));
    bars::draw(
        &Bars {
            title: "20 honest proxies behind one address",
            unit: "% of the matches that they have with 20 addresses",
            rows: DAYS.map(|day| day.name).into(),
            series: series.into(),
        },
        file,
    )
}
