//! What has to hold whatever happens, checked on the engine's outputs alone:
//! one reply each, answers to the right client, books that balance.

use std::collections::BTreeMap;

use snowflake_broker::matching::{ClientReply, Event, PollReply};

use crate::reference::Said;

/// How a poll or a client has ended, as the metrics will tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Replied,
    Left,
}

/// The books of one script.
#[derive(Debug, Default)]
pub(crate) struct Books {
    polls: Vec<Option<End>>,
    clients: Vec<Option<End>>,
    /// Whose offer each poll was handed.
    handed: BTreeMap<usize, usize>,
    totals: BTreeMap<&'static str, usize>,
}

impl Books {
    pub(crate) fn poll_came(&mut self) {
        self.polls.push(None);
    }

    pub(crate) fn client_came(&mut self) {
        self.clients.push(None);
    }

    /// A poll's request ends from outside: it wants no reply any more.
    pub(crate) fn poll_left(&mut self, poll: usize) {
        self.polls[poll].get_or_insert(End::Left);
    }

    pub(crate) fn client_left(&mut self, client: usize) {
        self.clients[client].get_or_insert(End::Left);
    }

    /// A client has its answer from elsewhere: that is its reply.
    pub(crate) fn client_borrowed(&mut self, client: usize) {
        if self.clients[client].is_none() {
            self.clients[client] = Some(End::Replied);
            self.count("client replied");
        }
    }

    /// `asks` numbers the client in an offer, `answers` the poll of an answer.
    pub(crate) fn note(
        &mut self,
        said: &Said,
        asks: impl Fn(&str) -> usize,
        answers: impl Fn(&str) -> usize,
    ) {
        match said {
            Said::Poll(poll, reply) => {
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
            Said::Client(client, reply) => {
                assert_eq!(
                    self.clients[*client], None,
                    "client {client} replied to twice"
                );
                self.clients[*client] = Some(End::Replied);
                if let ClientReply::Answer(answered) = reply {
                    let poll = answers(&answered.answer.text());
                    assert_eq!(
                        self.handed.get(&poll),
                        Some(client),
                        "answer of poll {poll}"
                    );
                }
                self.count("client replied");
            }
            Said::Event(Event::PollAbandoned) => self.count("poll abandoned"),
            Said::Event(Event::HandOffFailed) => self.count("hand-off failed"),
            Said::Event(Event::ClientAbandoned) => self.count("client abandoned"),
            Said::Overdue(_) | Said::Event(Event::ClientQueued | Event::Answer { .. }) => {}
        }
    }

    /// Once all has ended: everybody has a reply or has left, and all are in
    /// the totals, once.
    pub(crate) fn close(&self) {
        let waits = |ends: &[Option<End>]| ends.iter().position(Option::is_none);
        assert_eq!(waits(&self.polls), None, "a poll without a reply");
        assert_eq!(waits(&self.clients), None, "a client without a reply");
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
