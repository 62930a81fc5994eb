//! The configuration: every module's settings in one tree.
