//! The lock of the broker's tables. Where schedules are explored, it is one whose users are
//! interrupted wherever they take or release it.

#[cfg(all(test, shuttle))]
pub(super) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, shuttle)))]
pub(super) use std::sync::{Mutex, MutexGuard};
