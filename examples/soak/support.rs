//! What the tests and this program share.

#[path = "../../tests/support/certificates.rs"]
pub(crate) mod certificates;
#[path = "../../tests/support/closing.rs"]
pub(crate) mod closing;
#[path = "../../tests/support/exposition.rs"]
pub(crate) mod exposition;
#[path = "../../tests/support/http.rs"]
pub(crate) mod http;
#[path = "../../tests/support/namespace.rs"]
pub(crate) mod namespace;
#[path = "../../tests/support/peer.rs"]
pub(crate) mod peer;
#[path = "../../tests/support/privacy.rs"]
pub(crate) mod privacy;
#[path = "../../tests/support/process.rs"]
pub(crate) mod process;
#[path = "../../tests/support/unpacked.rs"]
pub(crate) mod unpacked;
#[path = "../../tests/support/wait.rs"]
pub(crate) mod wait;
