//! Settings of the bridges' probes.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::report::SettingsReport;

/// The bounds of the interval of probes.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// The probes of the bridges' addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// True if the addresses are probed.
    pub probe: bool,
    /// The time from one probe of an address to the next.
    #[serde(with = "crate::timespan")]
    pub probe_interval: Duration,
    /// True if an address that cannot be reached gets no clients, as long as another one
    /// of its bridge can be reached.
    pub act_on_probe: bool,
}

impl Settings {
    /// Reports values out of bounds, and keys without effect.
    pub fn check(&self, report: &mut SettingsReport) {
        report.within("probe_interval", self.probe_interval, &INTERVALS);
        if self.act_on_probe && !self.probe {
            report.warn(
                &["act_on_probe", "probe"],
                "has no effect, because bridges.probe is not set",
            );
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            probe: false,
            probe_interval: Duration::from_secs(30),
            act_on_probe: false,
        }
    }
}
