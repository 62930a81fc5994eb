//! The cluster: its keys and credentials, the connection to NATS, and the node.

#[cfg(feature = "cluster")]
mod bucket;
#[cfg(feature = "cluster")]
mod handle;
#[cfg(feature = "cluster")]
mod nats;
#[cfg(not(feature = "cluster"))]
mod without;

#[cfg(feature = "cluster")]
pub(super) use handle::{ClusterFiles, ClusterHandle, read};
#[cfg(not(feature = "cluster"))]
pub(super) use without::{NoCluster as ClusterHandle, NoClusterFiles as ClusterFiles, read};
