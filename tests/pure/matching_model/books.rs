//! Invariants of every script, checked on the engine's outputs alone: one reply each,
//! answers to the right client, balanced totals.

use std::collections::BTreeMap;

use snowflake_broker::matching::{ClientReply, MatchingEvent, PollReply};

use crate::matching_model::reference::Output;

/// Answers of peers' proxies are numbered from here on, by client.
pub(crate) const PEERS: usize = 1_000_000;

/// The end of a poll or client, as counted by the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Replied,
    Left,
}

/// The invariants of one script.
#[derive(Debug, Default)]
pub(crate) struct Books {
    polls: Vec<Option<End>>,
    clients: Vec<Option<End>>,
    /// For each client, whether peers may be asked, and whether they were.
    has_peers: Vec<bool>,
    was_asked: Vec<bool>,
    /// The client whose offer each poll was handed.
    handed: BTreeMap<usize, usize>,
    totals: BTreeMap<&'static str, usize>,
}

impl Books {
    pub(crate) fn poll_came(&mut self) {
        self.polls.push(None);
    }

    pub(crate) fn client_came(&mut self, has_peers: bool) {
        self.clients.push(None);
        self.has_peers.push(has_peers);
        self.was_asked.push(false);
    }

    /// Notes the external end of a poll's request, after which it needs no reply.
    pub(crate) fn poll_left(&mut self, poll: usize) {
        self.polls[poll].get_or_insert(End::Left);
    }

    pub(crate) fn client_left(&mut self, client: usize) {
        self.clients[client].get_or_insert(End::Left);
    }

    /// `asks` gives the client of an offer, `answers` the poll of an answer.
    pub(crate) fn note(
        &mut self,
        said: &Output,
        asks: impl Fn(&str) -> usize,
        answers: impl Fn(&str) -> usize,
    ) {
        match said {
            Output::Poll(poll, reply) => {
                assert_eq!(self.polls[*poll], None, "poll {poll} replied to twice");
                self.polls[*poll] = Some(End::Replied);
                match reply {
                    PollReply::Offer(hand_off) => {
                        self.handed
                            .insert(*poll, asks(&hand_off.offer.offer.text()));
                        self.count("offered");
                    }
                    PollReply::NoMatch(_) => self.count("no match"),
                }
            }
            Output::Client(client, reply) => {
                assert_eq!(
                    self.clients[*client], None,
                    "client {client} replied to twice"
                );
                self.clients[*client] = Some(End::Replied);
                if let ClientReply::Answer(answered) = reply {
                    let number = answers(&answered.answer.text());
                    if number >= PEERS {
                        assert_eq!(number, PEERS + client, "answer of a peer");
                        assert!(
                            self.was_asked[*client],
                            "answer of a peer that was not asked"
                        );
                    } else {
                        let handed = self.handed.get(&number);
                        assert_eq!(handed, Some(client), "answer of poll {number}");
                    }
                }
                self.count("client replied");
            }
            Output::Event(MatchingEvent::PollAbandoned) => self.count("poll abandoned"),
            Output::Event(MatchingEvent::HandOffFailed) => self.count("hand-off failed"),
            Output::Event(MatchingEvent::ClientAbandoned) => self.count("client abandoned"),
            Output::AskPeer(client, ..) => {
                assert!(self.has_peers[*client], "client {client} is not for peers");
                assert_eq!(self.clients[*client], None, "client {client} has ended");
                self.was_asked[*client] = true;
            }
            Output::Event(MatchingEvent::OfferEnded { .. }) => self.count("offer ended"),
            Output::Event(MatchingEvent::ClientQueued | MatchingEvent::Answer { .. }) => {}
        }
    }

    /// Checks at the end that everyone has a reply or has left, and is in the totals
    /// once.
    pub(crate) fn close(&self) {
        let waits = |ends: &[Option<End>]| ends.iter().position(Option::is_none);
        assert_eq!(waits(&self.polls), None, "a poll without a reply");
        assert_eq!(waits(&self.clients), None, "a client without a reply");
        assert_eq!(self.total("offered"), self.total("offer ended"));
        let matched = self.total("offered") - self.total("hand-off failed");
        let abandoned = self.total("poll abandoned") + self.total("hand-off failed");
        assert_eq!(
            self.polls.len(),
            matched + self.total("no match") + abandoned
        );
        assert_eq!(
            self.clients.len(),
            self.total("client replied") + self.total("client abandoned")
        );
    }

    fn count(&mut self, what: &'static str) {
        *self.totals.entry(what).or_default() += 1;
    }

    fn total(&self, what: &str) -> usize {
        self.totals.get(what).copied().unwrap_or_default()
    }
}
