//! The version of this program.

/// The version with the commit and the features of this build, such as `0.2.0 (commit
/// 0123456789ab, features: sqs)`.
pub(super) const VERSION: &str = env!("VERSION_WITH_DETAILS");
