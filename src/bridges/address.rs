//! One WebSocket address of a bridge.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;

/// The weight of an address whose line gives none.
pub(super) const WEIGHT_DEFAULT: f64 = 1.0;
/// The bounds of weights. The sum of as many as a list can hold is still exact enough.
pub const WEIGHTS: RangeInclusive<f64> = 0.0..=1_000_000.0;

/// An address at which proxies reach a bridge.
#[derive(Clone, Debug, PartialEq)]
pub struct BridgeAddress {
    /// The name for people.
    pub display_name: String,
    /// The WebSocket URL.
    pub relay_url: Arc<str>,
    /// The share of the bridge's clients relative to its other addresses, within
    /// [`WEIGHTS`]. An address of weight 0 gets clients only if no other can.
    pub weight: f64,
    /// The operator's word on new clients.
    pub state: AddressState,
}

/// The operator's word on whether an address takes new clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressState {
    /// It takes new clients.
    #[default]
    Up,
    /// It serves the clients that it has, and takes no new ones.
    Drain,
    /// It serves nobody.
    Down,
}

/// The error for an address that is not a WebSocket URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a ws:// or wss:// URL")]
pub struct NotAWebSocket;

/// The error for a word that is no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be \"up\", \"drain\" or \"down\"")]
pub struct UnknownState;

impl BridgeAddress {
    /// Creates an address that is up, of the default weight.
    pub fn new(display_name: String, relay_url: &str) -> Result<Self, NotAWebSocket> {
        if !is_web_socket_url(relay_url) {
            return Err(NotAWebSocket);
        }
        Ok(Self {
            display_name,
            relay_url: relay_url.into(),
            weight: WEIGHT_DEFAULT,
            state: AddressState::default(),
        })
    }

    /// The host as proxies compare it, with an IPv6 address without brackets. There is
    /// always a host, because an address without one is refused.
    pub fn host(&self) -> String {
        let uri = self.relay_url.parse::<Uri>().unwrap_or_default();
        let host = uri.host().unwrap_or_default();
        host.trim_matches(['[', ']']).to_owned()
    }
}

impl AddressState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Up, Self::Drain, Self::Down];
}

impl Display for AddressState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Up => "up",
            Self::Drain => "drain",
            Self::Down => "down",
        })
    }
}

impl FromStr for AddressState {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, UnknownState> {
        let mut states = Self::ALL.into_iter();
        let known = states.find(|state| state.to_string() == word);
        known.ok_or(UnknownState)
    }
}

fn is_web_socket_url(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        let is_scheme = |scheme: &str| ["ws", "wss"].iter().any(|s| s.eq_ignore_ascii_case(scheme));
        uri.scheme_str().is_some_and(is_scheme) && uri.host().is_some_and(|host| !host.is_empty())
    })
}
