//! The files of `ip_count_prefix`: sketches of proxy addresses, one line a period, to be
//! merged later. Their hash is public so that sketches of different periods and brokers
//! can be merged; [`super::distinct_ips`] describes what they reveal. Periods may have
//! any length: the current one is ended early at exit, so nothing else of it needs to be
//! saved.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::distinct_ips::Sketch;
use super::timestamp;
use crate::wire::nat::NatType;
use crate::wire::proxy::ProxyType;

/// A line: the addresses of one period. Each type and NAT has its own file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    /// The beginning of the period.
    #[serde(with = "timestamp")]
    pub recording_start: SystemTime,
    /// The end of the period.
    #[serde(with = "timestamp")]
    pub recording_end: SystemTime,
    /// The addresses seen in the period.
    pub recorded: Sketch,
}

/// The error for a line that is not a recording.
#[derive(Debug, thiserror::Error)]
#[error("line {number}, column {column}: {fault}")]
pub struct InvalidRecording {
    /// The line number, counted from 1.
    pub number: usize,
    /// The column of the error, counted from 1.
    pub column: usize,
    /// The error in the line.
    pub fault: String,
}

/// The sketches of the current period.
#[derive(Debug, Default)]
pub struct IpRecorder {
    sketches: BTreeMap<(ProxyType, NatType), Sketch>,
}

impl IpRecorder {
    /// Adds a proxy's address.
    pub fn record(&mut self, address: IpAddr, proxy_type: ProxyType, nat: NatType) {
        let sketch = self.sketches.entry((proxy_type, nat)).or_default();
        sketch.insert(address);
    }

    /// Ends the period and begins the next one. Returns the recordings of the types and
    /// NATs seen, each for its own file.
    pub fn end_period(
        &mut self,
        start: SystemTime,
        end: SystemTime,
    ) -> impl Iterator<Item = (ProxyType, NatType, Recording)> + use<> {
        let sketches = std::mem::take(&mut self.sketches);
        sketches
            .into_iter()
            .map(move |((proxy_type, nat), recorded)| {
                let recording = Recording {
                    recording_start: start,
                    recording_end: end,
                    recorded,
                };
                (proxy_type, nat, recording)
            })
    }

    /// Bytes held on the heap, without the tree nodes of the sketches.
    pub fn heap_size(&self) -> usize {
        self.sketches.values().map(Sketch::heap_size).sum()
    }
}

impl Recording {
    /// The line with its line end.
    pub fn encode(&self) -> String {
        // Serialization of two times and a text cannot fail.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }

    /// Returns true if the whole period is in the range; `None` means unbounded.
    pub fn is_within(&self, from: Option<SystemTime>, to: Option<SystemTime>) -> bool {
        from.is_none_or(|from| from <= self.recording_start)
            && to.is_none_or(|to| self.recording_end <= to)
    }
}

/// Reads the lines of a file; empty lines are skipped.
pub fn decode(text: &str) -> impl Iterator<Item = Result<Recording, InvalidRecording>> {
    let lines = (1..).zip(text.lines());
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| InvalidRecording::new(number, &error))
        })
}

impl InvalidRecording {
    fn new(number: usize, error: &serde_json::Error) -> Self {
        let column = error.column();
        // The parser sees only this line, and appends its own position to the message.
        let place = format!(" at line {} column {column}", error.line());
        let said = error.to_string();
        let fault = said.strip_suffix(&place).unwrap_or(&said).to_owned();
        Self {
            number,
            column,
            fault,
        }
    }
}

/// The merged sketch of these recordings.
pub fn merge<'a>(recordings: impl IntoIterator<Item = &'a Recording>) -> Sketch {
    let mut merged = Sketch::new();
    for recording in recordings {
        merged.merge(&recording.recorded);
    }
    merged
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn hour(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(number)
    }

    fn recordings(recorder: &mut IpRecorder, number: u64) -> Vec<Recording> {
        recorder
            .end_period(hour(number), hour(number + 1))
            .map(|(_, _, recording)| recording)
            .collect()
    }

    fn record(recorder: &mut IpRecorder, numbers: impl Iterator<Item = u32>) {
        for number in numbers {
            let proxy_type = ProxyType::DEFAULT[number as usize % 2];
            recorder.record(
                Ipv4Addr::from_bits(number).into(),
                proxy_type,
                NatType::Open,
            );
        }
    }

    #[test]
    fn a_line_has_the_keys_that_its_readers_know() {
        let mut recorder = IpRecorder::default();
        recorder.record([192, 0, 2, 1].into(), ProxyType::WEBEXT, NatType::Open);
        let lines: Vec<String> = recordings(&mut recorder, 1)
            .iter()
            .map(Recording::encode)
            .collect();
        assert_eq!(
            lines,
            [
                "{\"recordingStart\":\"1970-01-01T01:00:00Z\",\"recordingEnd\":\"1970-01-01T02:00:00Z\",\"recorded\":\"s17.9:HRmS\"}\n"
            ]
        );
    }

    #[test]
    fn recordings_of_types_and_hours_merge_to_the_different_addresses() {
        let mut recorder = IpRecorder::default();
        record(&mut recorder, 0..20_000);
        let mut text: String = recordings(&mut recorder, 0)
            .iter()
            .map(Recording::encode)
            .collect();
        assert_eq!(text.lines().count(), 2);
        record(&mut recorder, 10_000..30_000);
        text.extend(recordings(&mut recorder, 1).iter().map(Recording::encode));
        assert!(recordings(&mut recorder, 2).is_empty());
        let read: Vec<Recording> = decode(&text).collect::<Result<_, _>>().unwrap();
        let (all, first): (Vec<_>, Vec<_>) = (
            read.iter().collect(),
            read.iter()
                .filter(|line| line.is_within(None, Some(hour(1))))
                .collect(),
        );
        assert_eq!((all.len(), first.len()), (4, 2));
        assert!(merge(all).estimate().abs_diff(30_000) < 300);
        assert!(merge(first).estimate().abs_diff(20_000) < 200);
    }

    #[test]
    fn a_period_is_in_a_range_when_all_of_it_is() {
        let recording = Recording {
            recording_start: hour(1),
            recording_end: hour(2),
            recorded: Sketch::new(),
        };
        for (from, to, within) in [
            (None, None, true),
            (Some(1), Some(2), true),
            (Some(0), Some(3), true),
            (Some(2), None, false),
            (None, Some(1), false),
        ] {
            assert_eq!(recording.is_within(from.map(hour), to.map(hour)), within);
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        let good = Recording {
            recording_start: hour(1),
            recording_end: hour(2),
            recorded: Sketch::new(),
        };
        for bad in [
            "garbage".to_owned(),
            good.encode().replace("17.9", "16.9"),
            good.encode().replace("1970-01-01T01", "1970-01-32T01"),
            good.encode().replace("recorded\"", "record\""),
        ] {
            let text = format!("{}\n{bad}", good.encode());
            let results: Vec<_> = decode(&text).collect();
            assert_eq!(results[0].as_ref().unwrap(), &good);
            assert_eq!(results[1].as_ref().unwrap_err().number, 3, "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_once() {
        let error = decode("\nx").next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "line 2, column 1: expected value");
    }

    #[test]
    fn times_are_read_with_fractions_and_offsets() {
        let line = r#"{"recordingStart":"1970-01-01T02:00:00.5+01:00","recordingEnd":"1970-01-01T02:00:00Z","recorded":"s17.9:"}"#;
        let recording = decode(line).next().unwrap().unwrap();
        assert_eq!(
            recording.recording_start,
            hour(1) + Duration::from_millis(500)
        );
    }
}
