//! The calls about bridges.

use std::path::Path;

use crate::bridges::BridgeList;
use crate::bridges::doubts::Doubt;
use crate::config::{self, Inputs};
use crate::grpc::bridge_messages::{self, messages};
use crate::proto::admin::v1;
use crate::wire::relay_pattern::RelayPattern;

use super::arguments::{BridgeArgs, BridgesCall, StateWord};
use super::connection::{AuthorizedClient, RemoteBroker, page_size, read};
use super::failure::Failure;
use super::output::{Printer, print};
use super::text::{self, DryRun};

/// Makes the call, and prints the response.
pub(super) async fn make(
    asked: &BridgesCall,
    broker: &mut RemoteBroker,
    output: &Printer,
    inputs: &Inputs,
) -> Result<(), Failure> {
    match asked {
        BridgesCall::List { as_file } => {
            let listed = list(broker).await?;
            if *as_file {
                return print(&file_of(&listed.bridges)?);
            }
            output.show(&listed, text::bridges)
        }
        BridgesCall::Set {
            file,
            write_back,
            dry_run,
            etag,
        } => {
            let list = bridge_list(file)?;
            let request = v1::ReplaceBridgesRequest {
                bridges: messages(&list),
                etag: etag.clone(),
                write_back: *write_back,
                validate_only: *dry_run,
            };
            let mut replaced = broker
                .call(AuthorizedClient::replace_bridges, request)
                .await?;
            // The broker has not seen overridden lines of the file.
            let doubts = list.doubts(&RelayPattern::from("")).into_iter();
            let of_text = doubts.filter(Doubt::is_of_the_text);
            let file = file.display().to_string();
            let of_file = of_text.map(|doubt| doubt.of_file(&file));
            replaced.warnings.extend(of_file);
            output.show(&replaced, |replaced| {
                text::replaced_bridges(replaced, DryRun(*dry_run))
            })
        }
        BridgesCall::Change(asked) => change(asked, broker, output).await,
        BridgesCall::Check { file } => check(file, output, inputs),
    }
}

/// Checks whether a file is a valid bridge list for a broker with the configuration of
/// these inputs.
pub(super) fn check(file: &Path, output: &Printer, inputs: &Inputs) -> Result<(), Failure> {
    let bridges = bridge_list(file)?;
    let (config, _) = config::glance(inputs);
    let allowed = RelayPattern::from(&*config.broker.allowed_relay_pattern);
    let doubts = bridges.doubts(&allowed);
    let file = file.display().to_string();
    // The response of a broker, as far as it can be known without one.
    let checked = v1::ListBridgesResponse {
        bridges: messages(&bridges),
        warnings: doubts.iter().map(|doubt| doubt.of_file(&file)).collect(),
        ..v1::ListBridgesResponse::default()
    };
    output.show(&checked, text::checked_bridges)
}

async fn list(broker: &mut RemoteBroker) -> Result<v1::ListBridgesResponse, Failure> {
    let mut all = v1::ListBridgesResponse::default();
    loop {
        let request = v1::ListBridgesRequest {
            page_size: page_size(usize::MAX),
            page_token: std::mem::take(&mut all.next_page_token),
        };
        let page = broker.call(AuthorizedClient::list_bridges, request).await?;
        all.bridges.extend(page.bridges);
        all.etag = page.etag;
        all.warnings = page.warnings;
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            return Ok(all);
        }
    }
}

fn file_of(bridges: &[v1::Bridge]) -> Result<String, Failure> {
    let list = bridge_messages::read(bridges);
    let list = list.map_err(|status| {
        let problem = status.message();
        Failure::Input(format!("the broker's list cannot be a file: {problem}"))
    })?;
    Ok(list.to_lines())
}

async fn change(
    asked: &BridgeArgs,
    broker: &mut RemoteBroker,
    output: &Printer,
) -> Result<(), Failure> {
    let state = asked.state.map_or(v1::BridgeState::Unspecified, state);
    let request = v1::SetBridgeRequest {
        bridge: Some(v1::Bridge {
            fingerprint: asked.fingerprint.clone(),
            relay_url: asked.url.clone(),
            weight: asked.weight,
            state: state.into(),
            ..v1::Bridge::default()
        }),
        update_mask: None,
        etag: String::new(),
        write_back: asked.write_back,
        validate_only: asked.dry_run,
    };
    let set = broker.call(AuthorizedClient::set_bridge, request).await?;
    output.show(&set, |set| text::changed_bridge(set, DryRun(asked.dry_run)))
}

fn state(word: StateWord) -> v1::BridgeState {
    match word {
        StateWord::Up => v1::BridgeState::Up,
        StateWord::Drain => v1::BridgeState::Drain,
        StateWord::Down => v1::BridgeState::Down,
    }
}

fn bridge_list(file: &Path) -> Result<BridgeList, Failure> {
    let text = read("FILE", file)?;
    let list = BridgeList::parse(&text);
    list.map_err(|error| Failure::Input(format!("{}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_as_a_file_read_back() {
        let bridge = |url: &str, weight| v1::Bridge {
            fingerprint: "2B280B23E1107BB62ABFC40DDCC8824814F80A72".to_owned(),
            relay_url: url.to_owned(),
            display_name: "\u{1b}[31mred".to_owned(),
            weight: Some(weight),
            state: v1::BridgeState::Up.into(),
            health: v1::BridgeHealth::Well.into(),
            ..v1::Bridge::default()
        };
        let both = [
            bridge("wss://a.example/", 1.0),
            bridge("wss://b.example/", 0.5),
        ];
        let read = |lines: &str| messages(&BridgeList::parse(lines).unwrap());
        let healthless = both.clone().map(|bridge| v1::Bridge {
            health: 0,
            ..bridge
        });
        assert_eq!(read(&file_of(&both).unwrap()), healthless);
        let plain = file_of(&both[..1]).unwrap();
        assert!(!plain.contains("weight"), "{plain}");
        let newer = v1::Bridge {
            state: 9,
            ..bridge("wss://c.example/", 1.0)
        };
        let refused = file_of(&[newer]).unwrap_err().to_string();
        assert!(refused.contains("bridges[0].state"), "{refused}");
    }
}
