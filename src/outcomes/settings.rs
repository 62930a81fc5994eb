//! Settings of outcomes.

use serde::{Deserialize, Serialize};

use crate::report::{COUNT_MAX, SettingsReport};

/// Learning from the outcomes of matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Lets outcomes decide which sources of proxies are served first, and how much they
    /// may have. Otherwise they are only counted.
    pub learn: bool,
    /// Maximum number of clients that are known for two minutes after their request.
    pub max_clients: usize,
    /// Maximum number of sources that are known for a day.
    pub max_sources: usize,
}

impl Settings {
    /// Reports invalid settings.
    pub fn check(&self, report: &mut SettingsReport) {
        report.within("max_clients", self.max_clients, &(0..=COUNT_MAX));
        report.within("max_sources", self.max_sources, &(0..=COUNT_MAX));
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            learn: true,
            max_clients: 200_000,
            max_sources: 200_000,
        }
    }
}
