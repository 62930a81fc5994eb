//! All interleavings of hand-off, time-out, departure and answer, by name.

mod answers;
mod bands;
mod departures;
mod draining;
mod lame_duck;
mod limits;
mod order;
mod peers;
mod queue;
mod reconfiguration;
mod rematch;
mod resumption;
mod rules;
mod scene;
mod shares;
