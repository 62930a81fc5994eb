//! Who may reach the administration, and how they say who they are.

use std::collections::BTreeSet;
use std::path::Path;

use super::Rules;
use super::forms::is_address;
use crate::grpc::settings::is_loopback;

const LISTEN: &str = "admin.listen";
const CERT: &str = "admin.tls.cert";
const KEY: &str = "admin.tls.key";
const CLIENT_CA: &str = "admin.tls.client_ca";
const OPERATORS: &str = "admin.tls.operators";
const VIEWERS: &str = "admin.tls.viewers";
const TOKENS: &str = "admin.tokens";

pub(super) fn check(rules: &mut Rules<'_>) {
    listen(rules);
    certificates(rules);
    tokens(rules);
}

fn listen(rules: &mut Rules<'_>) {
    let admin = &rules.config.admin;
    if admin.is_off_and_on() {
        rules.refuse(&[LISTEN], "off is among others: leave it out, or them");
        return;
    }
    let mut places = BTreeSet::new();
    for place in &admin.listen {
        if !places.insert(place) {
            rules.refuse(&[LISTEN], format!("{place:?} is there twice"));
            return;
        }
    }
    let places = admin.listen();
    let mut paths = places.iter().filter_map(|place| place.path());
    if paths.any(Path::is_relative) {
        rules.refuse(&[LISTEN], "the path of a socket has to be absolute");
        return;
    }
    let addresses: Vec<&str> = places.iter().filter_map(|place| place.address()).collect();
    if let Some(wrong) = addresses.iter().find(|addr| !is_address(addr)) {
        rules.refuse(
            &[LISTEN],
            format!(
                "{wrong:?}: expected a path, :PORT, HOST:PORT, [IPV6]:PORT, a list of them, or off"
            ),
        );
    } else if addresses.iter().all(|addr| is_loopback(addr)) {
        // Nobody but this machine.
    } else if !admin.authenticates() {
        rules.refuse(
            &[LISTEN, CLIENT_CA, TOKENS],
            "others reach it: set admin.tls.client_ca (with cert and key) or admin.tokens",
        );
    } else if admin.tls.cert.is_none() {
        rules.warn(
            &[LISTEN, CERT],
            "others reach it in the clear, and may read tokens: set admin.tls.cert and key",
        );
    }
}

fn certificates(rules: &mut Rules<'_>) {
    let tls = &rules.config.admin.tls;
    match (&tls.cert, &tls.key) {
        (Some(_), None) => rules.refuse(&[CERT, KEY], "needs admin.tls.key beside it"),
        (None, Some(_)) => rules.refuse(&[KEY, CERT], "needs admin.tls.cert beside it"),
        _ => {}
    }
    let names = [(OPERATORS, &tls.operators), (VIEWERS, &tls.viewers)];
    if tls.client_ca.is_none() {
        // Without it nobody is asked for a certificate, and on the loopback nobody
        // for anything.
        for (key, _) in names.iter().filter(|(_, names)| !names.is_empty()) {
            rules.refuse(
                &[key, CLIENT_CA],
                "needs admin.tls.client_ca beside it: without it nobody is asked for a certificate",
            );
        }
        return;
    }
    if tls.cert.is_none() {
        rules.refuse(&[CLIENT_CA, CERT], "needs admin.tls.cert and key beside it");
    }
    if names.iter().all(|(_, names)| names.is_empty()) {
        rules.refuse(
            &[CLIENT_CA, OPERATORS, VIEWERS],
            "needs names of certificates in admin.tls.operators or viewers beside it",
        );
    }
}

fn tokens(rules: &mut Rules<'_>) {
    let mut names = BTreeSet::new();
    let tokens = &rules.config.admin.tokens;
    if tokens.iter().any(|token| token.name.is_empty()) {
        rules.refuse(&[TOKENS], "a name is empty");
    }
    if let Some(twice) = tokens.iter().find(|token| !names.insert(&token.name)) {
        let problem = format!("two of them have the name {:?}", twice.name);
        rules.refuse(&[TOKENS], problem);
    }
}
