//! The bridges that clients can ask for, with their addresses.
//!
//! A bridge has one or more WebSocket addresses, each with a weight and a state. A new
//! client gets one of those that are up.

mod address;
pub mod doubts;
pub mod health;
mod line;
mod list;
mod settings;

pub use address::{AddressState, BridgeAddress, NotAWebSocket, UnknownState, WEIGHTS};
pub use health::BridgeHealth;
pub use line::{BridgeLine, InvalidBridge};
pub use list::{AddressChange, BridgeList, InvalidBridgeList, NoAddress, OverriddenLine};
pub use settings::Settings;
