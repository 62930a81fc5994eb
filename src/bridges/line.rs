//! A line of a bridge list: a JSON object in the reference broker's format, with two keys
//! of our own, `weight` and `state`.

use crate::wire::JsonError;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::json::Object;

use super::address::{
    AddressState, BridgeAddress, NotAWebSocket, UnknownState, WEIGHT_DEFAULT, WEIGHTS,
};

const NAME: &str = "displayName";
const ADDRESS: &str = "webSocketAddress";
const FINGERPRINT: &str = "fingerprint";
const WEIGHT: &str = "weight";
const STATE: &str = "state";

/// One address, as its line has it.
#[derive(Clone, Debug, PartialEq)]
pub struct BridgeLine {
    /// The fingerprint of the address' bridge.
    pub fingerprint: Fingerprint,
    /// The address.
    pub address: BridgeAddress,
    /// True if the line has one of the keys that the reference broker does not know.
    pub is_extended: bool,
}

/// The error in a line of a bridge list.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBridge {
    /// Not JSON, or a value of the wrong type.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The key is unknown.
    #[error("unknown key {0:?}")]
    Key(String),
    /// The fingerprint is absent, or neither 40 nor 64 hex digits.
    #[error("fingerprint must be 40 or 64 hex digits")]
    Fingerprint,
    /// The address is absent, or not a WebSocket URL.
    #[error("webSocketAddress must be a ws:// or wss:// URL")]
    Address(#[source] NotAWebSocket),
    /// The weight is out of bounds.
    #[error("weight must be between {least} and {most} (got {0})", least = WEIGHTS.start(), most = WEIGHTS.end())]
    Weight(f64),
    /// The state is none.
    #[error("state must be \"up\", \"drain\" or \"down\" (got {0:?})")]
    State(String),
}

impl BridgeLine {
    /// Reads a line with keys in any case.
    pub(super) fn parse(line: &str) -> Result<Self, InvalidBridge> {
        let line = Object::parse(line)?;
        let known = [NAME, ADDRESS, FINGERPRINT, WEIGHT, STATE];
        if let Some(key) = line.unknown_keys(&known).next() {
            return Err(InvalidBridge::Key(key));
        }
        let fingerprint = line
            .string(FINGERPRINT)?
            .unwrap_or_default()
            .parse()
            .map_err(|_| InvalidBridge::Fingerprint)?;
        let relay_url = line.string(ADDRESS)?.unwrap_or_default();
        let display_name = line.string(NAME)?.unwrap_or_default();
        let address =
            BridgeAddress::new(display_name, &relay_url).map_err(InvalidBridge::Address)?;
        let weight = line.number(WEIGHT)?;
        let state = line.string(STATE)?;
        Ok(Self {
            fingerprint,
            is_extended: weight.is_some() || state.is_some(),
            address: BridgeAddress {
                weight: weight.map_or(Ok(WEIGHT_DEFAULT), checked_weight)?,
                state: state.map_or(Ok(AddressState::default()), known_state)?,
                ..address
            },
        })
    }
}

fn checked_weight(weight: f64) -> Result<f64, InvalidBridge> {
    let is_valid = WEIGHTS.contains(&weight);
    is_valid
        .then_some(weight)
        .ok_or(InvalidBridge::Weight(weight))
}

fn known_state(word: String) -> Result<AddressState, InvalidBridge> {
    word.parse()
        .map_err(|UnknownState| InvalidBridge::State(word))
}

/// The line of an address. Unless it `is_extended`, it has our own keys only if their
/// values are not the defaults.
pub(super) fn written(
    fingerprint: Fingerprint,
    address: &BridgeAddress,
    is_extended: bool,
) -> String {
    let mut line = serde_json::json!({
        NAME: address.display_name,
        ADDRESS: &*address.relay_url,
        FINGERPRINT: fingerprint.to_string(),
    });
    let default = AddressState::default();
    if is_extended || address.weight.total_cmp(&WEIGHT_DEFAULT).is_ne() {
        line[WEIGHT] = address.weight.into();
    }
    if is_extended || address.state != default {
        line[STATE] = address.state.to_string().into();
    }
    format!("{line}\n")
}
