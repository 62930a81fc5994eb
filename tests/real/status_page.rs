//! The status page as a browser shows it: Debian's Chromium, driven by Playwright, in which
//! axe-core looks for whatever keeps people from reading it. `UPDATE=1` renews the pictures in
//! the documentation, which are then to be reduced to 256 colours.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Result, ensure};
use serde_json::json;
use snowflake_broker::broker::clock;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::certificates::Authority;
use crate::support::process::Process;
use crate::support::ready::listens;
use crate::support::wait::LONG_ENOUGH;
use crate::support::{libraries, port, unpacked};

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/real/status_page/browser.js"
);
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status");
/// The samples of an hour and of 30 days.
const HOUR: u64 = 12;
const MONTH: u64 = 30 * 24 * HOUR;
/// The samples that are missing: of two days, of some hours and of the last minutes.
const GAPS: [(u64, u64); 3] = [
    (20 * 24 * HOUR, 2 * 24 * HOUR),
    (9 * HOUR, 3 * HOUR),
    (7, 2),
];

/// The addresses of a broker.
struct Site {
    public: SocketAddr,
    own: SocketAddr,
    _broker: Process,
}

#[tokio::test]
async fn people_can_read_the_status_page_in_a_browser() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let site = Site::start(scratch.path()).await?;
    let pictures = match std::env::var_os("UPDATE") {
        Some(_) => PathBuf::from(PICTURES),
        None => scratch.path().join("pictures"),
    };
    fs::create_dir_all(&pictures)?;
    let mut node = browser(scratch.path())?;
    node.arg(format!("http://{}", site.own))
        .arg(format!("https://{}", site.public))
        .arg(&pictures)
        .kill_on_drop(true);
    let output = timeout(LONG_ENOUGH, node.output()).await??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    Ok(())
}

/// Node.js with the script, which takes the addresses and a folder for pictures.
fn browser(scratch: &Path) -> Result<Command> {
    let fonts = scratch.join("fonts.conf");
    // The machine may have no fonts, or any.
    let folder = unpacked::file("usr/share/fonts");
    let (folder, cache) = (folder.display(), scratch.display());
    fs::write(
        &fonts,
        format!("<fontconfig><dir>{folder}</dir><cachedir>{cache}</cachedir></fontconfig>"),
    )?;
    let mut node = Command::new("node");
    node.arg(SCRIPT)
        .arg(unpacked::file("node/node_modules"))
        .arg(unpacked::file("usr/lib/chromium/chromium-headless-shell"))
        .env(
            "LD_LIBRARY_PATH",
            std::env::join_paths(libraries::folders())?,
        )
        .env("FONTCONFIG_FILE", fonts)
        .env("HOME", scratch)
        // The certificate is the test's own.
        .env("NODE_TLS_REJECT_UNAUTHORIZED", "0")
        .env("NODE_NO_WARNINGS", "1");
    Ok(node)
}

impl Site {
    /// Starts a broker with all that the page shows.
    async fn start(scratch: &Path) -> Result<Self> {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let [public, own, peer] = [port::free()?, port::free()?, port::free()?].map(address);
        let state = scratch.join("state");
        fs::create_dir(&state)?;
        fs::write(state.join("history.json"), history())?;
        let authority = Authority::new(scratch, "ca");
        authority.certify(scratch, "broker", "broker.example.org", 2050);
        fs::write(scratch.join("token"), "0123456789abcdef\n")?;
        let config = scratch.join("config.toml");
        let settings = include_str!("status_page/config.toml")
            .replace("PUBLIC", &public.to_string())
            .replace("OWN", &own.to_string())
            .replace("PEER", &peer.to_string());
        fs::write(&config, settings)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
        command.arg("--config").arg(config).current_dir(scratch);
        let mut broker = Process::start(&mut command, scratch.join("broker.log"))?;
        for address in [public, own] {
            listens(&mut broker, &address.to_string()).await?;
        }
        Ok(Self {
            public,
            own,
            _broker: broker,
        })
    }
}

/// The history of a broker that is busy in the evening, and more from day to day.
fn history() -> String {
    let now = clock::wall_clock().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_secs() / 300;
    let is_gap = |ago: u64| {
        let mut gaps = GAPS.iter();
        gaps.any(|(begun, length)| (begun - length..*begun).contains(&ago))
    };
    let slots = (1..=MONTH).filter(|ago| !is_gap(*ago));
    let slots = slots.map(|ago| {
        let slot = now - ago;
        let hour = slot / HOUR % 24;
        let evening = 24 - hour.abs_diff(19).min(24 - hour.abs_diff(19));
        let noise = slot.wrapping_mul(7919) % 11;
        let growth = (MONTH - ago) * 40 / MONTH;
        let answered = 4 * evening + 3 * noise + growth / 2;
        let parked = 50 + 2 * evening + growth - noise;
        let waiting = evening / 4 + noise % 4 + growth / 20;
        json!([
            slot,
            parked,
            waiting,
            answered,
            noise + evening / 5,
            noise / 2
        ])
    });
    let slots: Vec<_> = slots.collect();
    json!({"version": 2, "slots": slots}).to_string()
}
