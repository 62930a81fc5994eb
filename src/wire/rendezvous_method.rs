//! The ways on which clients' polls come.

use std::fmt;

/// A client's rendezvous method, in the order of the metrics log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rendezvous {
    /// A request to `/client`.
    Http,
    /// Through an AMP cache.
    Ampcache,
    /// Through Amazon SQS.
    Sqs,
}

impl Rendezvous {
    /// All methods, in order.
    pub const ALL: [Self; 3] = [Self::Http, Self::Ampcache, Self::Sqs];

    /// The word used in Prometheus labels and wherever else the method is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Ampcache => "ampcache",
            Self::Sqs => "sqs",
        }
    }
}

impl fmt::Display for Rendezvous {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
