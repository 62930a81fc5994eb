//! The history of each client and proxy, and violations of the invariants:
//!
//! - A client has one reply, in time.
//! - Its answer is to its own offer, from a proxy that got that offer and was told that
//!   its answer was delivered.
//! - A proxy has one client, of its broker or of one that its broker lends to: a borrowed
//!   offer is not passed on.
//! - At most one answer of a proxy is delivered, to one client.
//!
//! The invariants of a broker are in [`node`](crate::simulation::node).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use snowflake_broker::broker::NoAnswer;
use snowflake_broker::wire::answer::AnswerStatus;

use crate::simulation::plan::{LIAR, Plan};
use crate::simulation::tally::{Event, Tally};

/// The tolerance for the time of a reply: the precision of timers.
const SLACK: Duration = Duration::from_millis(20);

/// The invariants of one simulation. Times are relative to its start.
#[derive(Clone)]
pub(crate) struct Invariants {
    state: Arc<Mutex<State>>,
    plan: Arc<Plan>,
    client_timeout: Duration,
}

#[derive(Default)]
struct State {
    clients: BTreeMap<String, Client>,
    proxies: BTreeMap<String, Proxy>,
    wrong: Vec<String>,
    audited: usize,
    tally: Tally,
}

struct Client {
    broker: String,
    began: Duration,
    is_open: bool,
}

struct Proxy {
    broker: String,
    is_polling: bool,
    /// The client whose offer it got.
    client: Option<String>,
    /// True if it was told that its answer was delivered.
    is_delivered: bool,
    /// True if a client has its answer.
    has_served: bool,
}

impl Invariants {
    pub(crate) fn new(plan: Arc<Plan>, client_timeout: Duration) -> Self {
        Self {
            state: Arc::default(),
            plan,
            client_timeout,
        }
    }

    pub(crate) fn client_came(&self, name: &str, broker: &str) {
        let client = Client {
            broker: broker.to_owned(),
            began: now(),
            is_open: true,
        };
        self.state().clients.insert(name.to_owned(), client);
    }

    /// Notes that the lying peer sends an offer; its reply is not checked.
    pub(crate) fn liar_asks(&self, name: &str) {
        let client = Client {
            broker: LIAR.to_owned(),
            began: now(),
            is_open: false,
        };
        self.state().clients.insert(name.to_owned(), client);
    }

    pub(crate) fn client_left(&self, name: &str) {
        let mut state = self.state();
        state.close(name);
        state.tally.count(Event::ClientLeft);
    }

    pub(crate) fn client_replied(&self, name: &str, reply: Result<String, NoAnswer>) {
        let mut state = self.state();
        let took = now().saturating_sub(state.close(name));
        if took > self.client_timeout + SLACK {
            state.wrong(format!("{name} waited {took:?}"));
        }
        match reply {
            Ok(answer) => state.answered(name, &answer),
            Err(NoAnswer::NoProxies) => state.tally.count(Event::WithoutProxy),
            Err(NoAnswer::TimedOut) => state.tally.count(Event::TimedOut),
            Err(other) => state.wrong(format!("{name} was told: {other}")),
        }
    }

    pub(crate) fn proxy_came(&self, sid: &str, broker: &str) {
        let proxy = Proxy {
            broker: broker.to_owned(),
            is_polling: true,
            client: None,
            is_delivered: false,
            has_served: false,
        };
        self.state().proxies.insert(sid.to_owned(), proxy);
    }

    /// Notes that a proxy has its reply, or has left.
    pub(crate) fn poll_ended(&self, sid: &str) {
        self.state().proxies.get_mut(sid).unwrap().is_polling = false;
    }

    /// Notes that a proxy has an offer, and returns the offer's client.
    pub(crate) fn handed_off(&self, sid: &str, offer: &str) -> String {
        let name = sdp(offer).unwrap_or_default();
        let mut state = self.state();
        let state = &mut *state;
        let proxy = state.proxies.get_mut(sid).unwrap();
        if let Some(first) = proxy.client.replace(name.clone()) {
            let second = format!("{sid} got {name} after {first}");
            state.wrong.push(second);
        }
        match state.clients.get(&name) {
            Some(client) if client.broker == LIAR => state.tally.count(Event::LieHandedOff),
            Some(client) if self.plan.lends(&proxy.broker, &client.broker) => {}
            Some(client) => {
                let passed_on = format!("{sid} got {name}, who asked {}", client.broker);
                state.wrong.push(passed_on);
            }
            None => state.wrong.push(format!("{sid} got what nobody sent")),
        }
        name
    }

    pub(crate) fn proxy_answered(&self, sid: &str, status: AnswerStatus) {
        let mut state = self.state();
        let state = &mut *state;
        let proxy = state.proxies.get_mut(sid).unwrap();
        match status {
            AnswerStatus::Success if proxy.is_delivered => {
                state.wrong.push(format!("{sid} was twice told success"));
            }
            AnswerStatus::Success => proxy.is_delivered = true,
            AnswerStatus::ClientGone => state.tally.count(Event::VainAnswer),
        }
    }

    /// Forgets everyone who was with a crashed broker.
    pub(crate) fn crashed(&self, broker: &str) {
        let mut state = self.state();
        let state = &mut *state;
        let proxies = state.proxies.values_mut();
        for proxy in proxies.filter(|proxy| proxy.broker == broker) {
            proxy.is_polling = false;
        }
        let clients = state.clients.values_mut();
        for client in clients.filter(|client| client.is_open && client.broker == broker) {
            client.is_open = false;
            state.tally.count(Event::ClientLost);
        }
    }

    /// The numbers of clients and polls that wait at a broker.
    pub(crate) fn waiting(&self, broker: &str) -> (usize, usize) {
        let state = self.state();
        let clients = state
            .clients
            .values()
            .filter(|client| client.is_open && client.broker == broker);
        let proxies = state.proxies.values();
        let polls = proxies.filter(|proxy| proxy.is_polling && proxy.broker == broker);
        (clients.count(), polls.count())
    }

    pub(crate) fn fault(&self) {
        self.state().tally.count(Event::Fault);
    }

    /// Notes that a broker has been checked for leftovers.
    pub(crate) fn audited(&self) {
        self.state().audited += 1;
    }

    pub(crate) fn wrong(&self, what: String) {
        self.state().wrong(what);
    }

    /// The violations so far.
    pub(crate) fn check(&self, now: Duration) -> Result<(), String> {
        let mut state = self.state();
        let latest = self.client_timeout + SLACK;
        let clients = state.clients.iter();
        let overdue: Vec<_> = clients
            .filter(|(_, client)| client.is_open && now > client.began + latest)
            .map(|(name, _)| format!("{name} hangs"))
            .collect();
        state.wrong.extend(overdue);
        if state.wrong.is_empty() {
            return Ok(());
        }
        Err(format!("at {now:?}: {}", state.wrong.join("; ")))
    }

    /// The events, at the end of the simulation.
    pub(crate) fn close(&self, brokers: usize) -> Result<Tally, String> {
        let state = self.state();
        let audited = state.audited;
        if audited != brokers {
            return Err(format!("only {audited} brokers were there in the end"));
        }
        Ok(state.tally.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    /// Notes that a client no longer waits, and returns the time at which it began to.
    fn close(&mut self, name: &str) -> Duration {
        let client = self.clients.get_mut(name).unwrap();
        let (was_open, began) = (client.is_open, client.began);
        client.is_open = false;
        if !was_open {
            self.wrong(format!("{name} has a second reply"));
        }
        began
    }

    fn answered(&mut self, name: &str, answer: &str) {
        let sdp = sdp(answer).unwrap_or_default();
        let line = sdp.lines().next().unwrap_or_default();
        let Some((offer, sid)) = line.split_once('/') else {
            return self.wrong(format!("{name} got what nobody answered: {line:?}"));
        };
        if offer != name {
            return self.wrong(format!("{name} got the answer to {offer}"));
        }
        let Some(proxy) = self.proxies.get_mut(sid) else {
            return self.wrong(format!("{name} got an answer of nobody: {sid}"));
        };
        let broker = &self.clients[name].broker;
        let is_here = proxy.broker == *broker;
        let is_its = proxy.client.as_deref() == Some(name) && proxy.is_delivered;
        let has_served = std::mem::replace(&mut proxy.has_served, true);
        if !is_its || has_served {
            return self.wrong(format!("{name} got an answer of {sid}, who has another"));
        }
        if is_here {
            self.tally.count(Event::AnsweredHere);
        } else {
            self.tally.count(Event::AnsweredElsewhere);
        }
    }

    fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }
}

/// The answer of a proxy, which names the proxy and the client whose offer it got.
pub(crate) fn answer_name(client: &str, sid: &str) -> String {
    format!("{client}/{sid}")
}

/// The time since the start of the simulation.
pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap()
}

fn sdp(description: &str) -> Option<String> {
    let description: Value = serde_json::from_str(description).ok()?;
    Some(description.get("sdp")?.as_str()?.to_owned())
}
