//! A wall clock that is set while the broker runs, or while it does not.
