//! All that clients and proxies have seen, and what has to hold of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::real::caller::Failure;

/// The time in which a client has its reply: 5 s at the broker, and a second for a busy
/// machine. Then CDNs give up.
const CLIENT_TIME: Duration = Duration::from_secs(6);
/// The maximum number of proxies that get a client's offer.
const ATTEMPTS_MAX: usize = 2;
/// One in this many clients may be denied.
const DENIED_ONE_IN: u64 = 20;

/// The outcome for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has the answer of the poll with this Sid.
    Answered(String),
    /// It has an answer that was made for another client.
    Crossed(String),
    TimedOut,
    Denied,
    Failed(Failure),
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) came: Instant,
    pub(crate) end: Option<ClientEnd>,
}

#[derive(Clone, Debug)]
pub(crate) struct ClientEnd {
    pub(crate) outcome: Outcome,
    pub(crate) at: Instant,
    /// The node that it polled, as far as the balancer tells.
    pub(crate) node: Option<String>,
}

/// A proxy's poll.
#[derive(Clone, Debug)]
pub(crate) struct Poll {
    /// The node that replied.
    pub(crate) node: Option<String>,
    /// The client whose offer it got; an error if there was no reply.
    pub(crate) client: Result<Option<String>, Failure>,
    pub(crate) answer: Option<SentAnswer>,
}

/// A proxy's answer.
#[derive(Clone, Debug)]
pub(crate) struct SentAnswer {
    /// The node that it came to.
    pub(crate) node: Option<String>,
    /// True if the client is said to get it.
    pub(crate) succeeded: Result<bool, Failure>,
}

/// The observations: clients by their names, and polls by their Sids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) clients: BTreeMap<String, Client>,
    pub(crate) polls: BTreeMap<String, Poll>,
}

impl Client {
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.end.as_ref().map(|end| &end.outcome)
    }

    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.outcome(), Some(Outcome::Answered(_)))
    }

    pub(crate) fn is_denied(&self) -> bool {
        self.outcome() == Some(&Outcome::Denied)
    }

    pub(crate) fn is_timed_out(&self) -> bool {
        self.outcome() == Some(&Outcome::TimedOut)
    }

    /// Returns true if it polled this node, or any where the balancer does not tell.
    pub(crate) fn is_of(&self, node: Option<&str>) -> bool {
        let of = self.end.as_ref().and_then(|end| end.node.as_deref());
        node.is_none() || of == node
    }

    /// Returns true if it was there at some time of a span.
    pub(crate) fn was_there(&self, from: Instant, to: Instant) -> bool {
        self.came <= to && self.end.as_ref().is_none_or(|end| end.at >= from)
    }

    fn took(&self) -> Duration {
        let end = self.end.as_ref();
        end.map_or(Duration::MAX, |end| end.at - self.came)
    }
}

impl Poll {
    pub(crate) fn got_offer(&self) -> bool {
        matches!(self.client, Ok(Some(_)))
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.client == Ok(None)
    }

    pub(crate) fn is_of(&self, node: Option<&str>) -> bool {
        node.is_none() || self.node.as_deref() == node
    }

    /// Returns true if its client is said to get its answer.
    pub(crate) fn succeeded(&self) -> bool {
        let answer = self.answer.as_ref();
        answer.is_some_and(|answer| answer.succeeded == Ok(true))
    }
}

impl Notes {
    /// Adds the notes of another load, whose clients and proxies have other names.
    pub(crate) fn add(&mut self, other: Self) {
        self.clients.extend(other.clients);
        self.polls.extend(other.polls);
    }

    /// Asserts what holds whatever fails: each client has its own answer or none, and has its
    /// reply in time unless it is excused; no proxy serves two clients.
    pub(crate) fn assert_sound(&self, is_excused: impl Fn(&Client) -> bool) {
        assert!(!self.clients.is_empty(), "nobody came");
        let mut serving = BTreeSet::new();
        for (name, client) in &self.clients {
            let end = client.end.as_ref();
            let end = end.unwrap_or_else(|| panic!("{name} has no reply"));
            let took = client.took();
            assert!(
                took < CLIENT_TIME || is_excused(client),
                "{name} waited {took:?}: {end:?}"
            );
            match &end.outcome {
                Outcome::Crossed(_) => panic!("{name}: {end:?}"),
                Outcome::Answered(sid) => {
                    let offered = &self.polls[sid].client;
                    assert_eq!(*offered, Ok(Some(name.clone())), "the proxy of {name}");
                    assert!(serving.insert(sid), "{sid} serves two clients");
                }
                _ => {}
            }
        }
    }

    /// Asserts that these clients have an answer. On a machine that is busy with other tests, a
    /// few may hear that there is no proxy: their node has none, and the others had none or were
    /// slow when it asked them.
    pub(crate) fn assert_answered(&self, what: &str, are_meant: impl Fn(&Client) -> bool) {
        let meant = self.clients(&are_meant);
        assert!(meant > 0, "nobody came {what}");
        let denied = self.clients(|client| are_meant(client) && client.is_denied());
        assert!(
            denied <= meant / DENIED_ONE_IN,
            "{denied} of {meant} clients were denied {what}"
        );
        for (name, client) in &self.clients {
            let is_lost = are_meant(client) && !client.is_answered() && !client.is_denied();
            let offered: Vec<_> = self.offered(name).collect();
            assert!(!is_lost, "{name} {what}: {client:?}, offered {offered:?}");
        }
    }

    /// The proxies that got an offer beyond the two of each client, and those that were told of
    /// a success beyond the one.
    pub(crate) fn doubles(&self) -> [u64; 2] {
        let (mut offers, mut successes) = (0, 0);
        for (name, client) in &self.clients {
            offers += self.offered(name).count().saturating_sub(ATTEMPTS_MAX);
            let told = self.offered(name).filter(|(_, poll)| poll.succeeded());
            successes += told.count().saturating_sub(client.is_answered().into());
        }
        [offers, successes].map(|count| count.try_into().unwrap())
    }

    /// The polls that got the offer of a client.
    fn offered<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a String, &'a Poll)> {
        let polls = self.polls.iter();
        polls.filter(move |(_, poll)| {
            poll.client
                .as_ref()
                .is_ok_and(|of| of.as_deref() == Some(name))
        })
    }

    pub(crate) fn clients(&self, are_meant: impl Fn(&Client) -> bool) -> u64 {
        let meant = self.clients.values().filter(|client| are_meant(client));
        meant.count().try_into().unwrap()
    }

    pub(crate) fn polls(&self, are_meant: impl Fn(&Poll) -> bool) -> u64 {
        let meant = self.polls.values().filter(|poll| are_meant(poll));
        meant.count().try_into().unwrap()
    }

    /// The answered clients of a node whose proxies polled another one.
    pub(crate) fn answered_elsewhere(&self, is_so: impl Fn(&str, &str) -> bool) -> u64 {
        self.clients(|client| {
            let Some(end) = &client.end else { return false };
            let Outcome::Answered(sid) = &end.outcome else {
                return false;
            };
            let (asked, polled) = (end.node.as_deref(), self.polls[sid].node.as_deref());
            asked
                .zip(polled)
                .is_some_and(|(asked, polled)| is_so(asked, polled))
        })
    }

    /// The figures, in a line.
    pub(crate) fn figures(&self) -> String {
        let longest = self.clients.values().map(Client::took).max();
        let failed = |client: &Client| matches!(client.outcome(), Some(Outcome::Failed(_)));
        let mut figures = format!(
            "{} clients: {} answered, {} timed out, {} denied, {} failed; the longest wait {} ms; \
             {} polls with an offer, {} idle, {} failed",
            self.clients.len(),
            self.clients(Client::is_answered),
            self.clients(Client::is_timed_out),
            self.clients(Client::is_denied),
            self.clients(failed),
            longest.unwrap_or_default().as_millis(),
            self.polls(Poll::got_offer),
            self.polls(Poll::is_idle),
            self.polls(|poll| poll.client.is_err()),
        );
        let is_gone = |poll: &Poll| poll.answer.is_some() && !poll.succeeded();
        write!(
            figures,
            "; {} answers too late or lost",
            self.polls(is_gone)
        )
        .unwrap();
        figures
    }
}
