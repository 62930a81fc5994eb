//! JSON as Protocol Buffers define it, where serde would write another: 64 bit numbers
//! and spans are strings, and an enumeration's value has the name that it has in the
//! protocol file.
#![expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls them with references to the fields"
)]

use std::collections::HashMap;
use std::fmt::Display;

use prost_types::{Duration, Timestamp};
use serde::{Serialize, Serializer};

pub(super) fn integer<S: Serializer>(number: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(number)
}

pub(super) fn integers_by_name<S: Serializer>(
    numbers: &HashMap<String, i64>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_map(
        numbers
            .iter()
            .map(|(name, number)| (name, number.to_string())),
    )
}

/// Writes a number; JSON has none that is not finite.
pub(super) fn number<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    if number.is_finite() {
        to.serialize_f64(*number)
    } else if number.is_nan() {
        to.serialize_str("NaN")
    } else if *number > 0.0 {
        to.serialize_str("Infinity")
    } else {
        to.serialize_str("-Infinity")
    }
}

/// Writes a number that may be unset; serde leaves it out if it is.
pub(super) fn optional_number<S: Serializer>(
    unless_unset: &Option<f64>,
    to: S,
) -> Result<S::Ok, S::Error> {
    number(&unless_unset.unwrap_or_default(), to)
}

pub(super) fn duration<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&span.unwrap_or_default())
}

pub(super) fn timestamp<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&time.unwrap_or_default())
}

/// Writes the name of a value, or its number if the protocol knows no name for it.
pub(super) fn enumeration<E, S>(value: &i32, to: S) -> Result<S::Ok, S::Error>
where
    E: TryFrom<i32> + Serialize,
    S: Serializer,
{
    match E::try_from(*value) {
        Ok(known) => known.serialize(to),
        Err(_) => to.serialize_i32(*value),
    }
}
