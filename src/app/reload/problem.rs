//! The sections that a reload reads, and problems in them.

use std::fmt::{self, Display};

use crate::causes::with_causes;

/// A section that a reload reads again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) enum Section {
    /// The configuration: file, environment and flags.
    Configuration,
    /// The bridge list.
    Bridges,
    /// The relay patterns.
    RelayPatterns,
    /// The poll intervals of proxies.
    PollIntervals,
    /// The country databases.
    Countries,
    /// The rules of who shall be matched with whom, and their files.
    Policy,
    /// The certificate and its key, from files.
    Certificate,
    /// The limits of requests and connections per address.
    Limits,
    /// Time-outs and bounds of the matching engine.
    Matching,
    /// The log filter.
    LogLevel,
    /// The networks that get all metrics on the public port.
    OperatorNetworks,
    /// The callers of the administration.
    Administration,
    /// The peers, and the certificates of the federation.
    Federation,
    /// The private pools, with their tokens and bridges.
    PrivatePools,
}

impl Section {
    /// All sections that are replaced.
    pub(in crate::app) const REPLACED: [Self; 13] = [
        Self::Bridges,
        Self::RelayPatterns,
        Self::PollIntervals,
        Self::Countries,
        Self::Policy,
        Self::Certificate,
        Self::Limits,
        Self::Matching,
        Self::LogLevel,
        Self::OperatorNetworks,
        Self::Administration,
        Self::Federation,
        Self::PrivatePools,
    ];
}

impl Display for Section {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Configuration => "configuration",
            Self::Bridges => "bridges",
            Self::RelayPatterns => "relay patterns",
            Self::PollIntervals => "poll intervals",
            Self::Countries => "countries",
            Self::Policy => "policy",
            Self::Certificate => "certificate",
            Self::Limits => "limits",
            Self::Matching => "matching",
            Self::LogLevel => "log level",
            Self::OperatorNetworks => "operators",
            Self::Administration => "administration",
            Self::Federation => "federation",
            Self::PrivatePools => "private pools",
        })
    }
}

/// A problem in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Problem {
    pub(in crate::app) section: Section,
    /// One line that names the setting.
    pub(in crate::app) text: String,
}

/// The problems because of which a reload changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.problems())]
pub(in crate::app) struct ReloadRefused(pub(in crate::app) Vec<Problem>);

impl ReloadRefused {
    pub(super) fn because(section: Section, error: &anyhow::Error) -> Self {
        Self(vec![Problem::new(section, error)])
    }

    fn problems(&self) -> String {
        let problems: Vec<&str> = self.0.iter().map(|problem| &*problem.text).collect();
        problems.join("; ")
    }
}

impl Problem {
    pub(super) fn new(section: Section, error: &anyhow::Error) -> Self {
        // The configuration has one line for each invalid key.
        let text = with_causes(error.as_ref()).replace('\n', "; ");
        Self { section, text }
    }
}
