//! The knowledge of kinds of matches across a restart. There is nothing about
//! single sources, clients or addresses in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::Level;

use crate::broker::Broker;
use crate::broker::clock;
use crate::causes::in_words;
use crate::outcomes::SavedOutcomes;
use crate::telemetry::{Kind, LogLimit};
use crate::wire::proxy::ProxyTypes;

use super::state_file::StateFile;

const NAME: &str = "outcomes.json";

/// The broker whose knowledge is saved, and the file.
#[derive(Debug)]
pub(super) struct SavesOutcomes {
    broker: Arc<Broker>,
    file: StateFile,
    warnings: LogLimit,
}

impl SavesOutcomes {
    /// Continues with what the last process saved.
    pub(super) fn start(directory: PathBuf, broker: Arc<Broker>, types: &ProxyTypes) -> Self {
        let file = StateFile::new(directory, NAME);
        if let Some(saved) = file.load(SavedOutcomes::decode) {
            let control = broker.control();
            control.restore_outcomes(clock::read(), &saved, types);
        }
        let kind = Kind::new(
            Level::WARN,
            "metrics.state_directory: failed saves of outcomes",
        );
        let warnings = LogLimit::new(kind, 1, Duration::from_mins(10));
        if file.has_no_place() {
            // The start has already reported what the first save would report.
            warnings.admit(clock::now());
        }
        Self {
            broker,
            file,
            warnings,
        }
    }

    pub(super) fn save(&mut self) {
        let saved = self.broker.control().saved_outcomes(clock::read());
        if let Err(error) = self.file.save(&saved.encode())
            && let Some(suppressed) = self.warnings.admit(clock::now())
        {
            tracing::warn!(
                suppressed,
                "metrics.state_directory: cannot save the outcomes of matches: {}",
                in_words(&error)
            );
        }
    }
}
