//! The sections that a reload reads, and the problems in them.

use std::fmt::{self, Display};

/// A part of the broker that a reload reads anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) enum Section {
    /// The configuration: file, environment and flags.
    Configuration,
    /// The bridge list.
    Bridges,
    /// The relays that proxies have to accept.
    RelayPatterns,
    /// The intervals at which proxies poll.
    PollIntervals,
    /// The country databases.
    Countries,
    /// The certificate and its key, from files.
    Certificate,
    /// The limits of requests and connections of one address.
    Limits,
    /// Patience and bounds of the matching engine.
    Matching,
    /// The log filter.
    LogLevel,
    /// The networks to which the public port shows everything.
    OperatorNetworks,
    /// The callers of the administration.
    Administration,
    /// The other brokers, and the certificates to know each other by.
    Federation,
}

impl Section {
    /// All that is replaced.
    pub(in crate::app) const REPLACED: [Self; 11] = [
        Self::Bridges,
        Self::RelayPatterns,
        Self::PollIntervals,
        Self::Countries,
        Self::Certificate,
        Self::Limits,
        Self::Matching,
        Self::LogLevel,
        Self::OperatorNetworks,
        Self::Administration,
        Self::Federation,
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
            Self::Certificate => "certificate",
            Self::Limits => "limits",
            Self::Matching => "matching",
            Self::LogLevel => "log level",
            Self::OperatorNetworks => "operators",
            Self::Administration => "administration",
            Self::Federation => "federation",
        })
    }
}

/// A fault in a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct Problem {
    pub(in crate::app) section: Section,
    /// One line that names the setting.
    pub(in crate::app) text: String,
}

/// The problems for which a reload changes nothing.
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
        // Each wrong key of the configuration is a line.
        let text = format!("{error:#}").replace('\n', "; ");
        Self { section, text }
    }
}
