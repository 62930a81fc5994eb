//! The counts of a run.

/// The counts of strict clients: those that only proxies that everybody can reach can
/// serve.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Polls of honest proxies that everybody can reach.
    pub(crate) polls: u32,
    /// Offers that honest proxies and attackers were handed.
    pub(crate) honest_offers: u32,
    pub(crate) attackers_offers: u32,
    /// Requests, by their outcome: an honest proxy answered, an attacker did, nobody did,
    /// nobody was asked.
    pub(crate) served: u32,
    pub(crate) fooled: u32,
    pub(crate) timed_out: u32,
    pub(crate) denied: u32,
    /// Of all requests but those served, those that an attacker had a hand in.
    pub(crate) spoiled: u32,
    /// Clients, however often they came, and those whom an attacker got hold of.
    pub(crate) clients: u32,
    pub(crate) touched: u32,
    /// Offers that the crowd's proxies were handed.
    pub(crate) crowd_offers: u32,
    /// Requests of clients that every proxy can serve, and those served.
    pub(crate) others: u32,
    pub(crate) others_served: u32,
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole.max(1))
}

impl Tally {
    pub(crate) fn requests(&self) -> u32 {
        self.served + self.fooled + self.timed_out + self.denied
    }

    /// The attackers' share of all offers.
    pub(crate) fn attackers_share(&self) -> f64 {
        let offers = self.honest_offers + self.attackers_offers;
        share(self.attackers_offers, offers)
    }

    /// The share of clients whom an attacker got hold of.
    pub(crate) fn touched_share(&self) -> f64 {
        share(self.touched, self.clients)
    }

    /// The share of requests that an honest proxy answered.
    pub(crate) fn served_share(&self) -> f64 {
        share(self.served, self.requests())
    }

    pub(crate) fn timed_out_share(&self) -> f64 {
        share(self.timed_out, self.requests())
    }

    /// The share of requests that were denied, without those that attackers spoiled: so
    /// that what they take does not look like supply.
    pub(crate) fn denied_share(&self) -> f64 {
        share(self.denied, self.requests() - self.spoiled)
    }
}
