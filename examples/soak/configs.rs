//! The configurations of the brokers and the files that these name.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::network::PORT;
use crate::tls::write_certificate;

/// The port of A for clients and proxies is that of `tests/hostile/network.rs`, over TLS.
/// Those of the others, without TLS:
pub(crate) const PORT_OF_B: u16 = 8081;
pub(crate) const PORT_OF_P: u16 = 8082;
const PEER_PORT_OF_A: u16 = 7443;
const PEER_PORT_OF_P: u16 = 7444;
pub(crate) const NATS: &str = "127.0.0.1:4222";
/// The key of the cluster.
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
/// The token of the private pool, which nobody may see.
pub(crate) const TOKEN: &str = "soaktoken0123456789";
/// The beginning of its paths.
pub(crate) const POOL: &str = "/p/soaktoken0123456789";
/// The network of AMP caches.
const CACHES: &str = "5.210.0.0/16";
/// The clients' default bridge.
const BRIDGE: &str = "2B280B23E1107BB62ABFC40DDCC8824814F80A72";
/// A bridge that comes and goes.
const OTHER_BRIDGE: &str = "8838024498816A039FCBBAB14E6F40A0843051FA";
const COUNTRIES: [&str; 8] = ["DE", "IR", "RU", "US", "CN", "BR", "TR", "FR"];

/// Writes what is the same during the whole run.
pub(crate) fn write(folder: &Path) -> Result<()> {
    fs::write(folder.join("cluster.key"), KEY)?;
    fs::write(folder.join("family.token"), TOKEN)?;
    write_countries(folder, 0)?;
    change(folder, 0)?;
    fs::write(folder.join("b.toml"), of_b(folder))?;
    fs::write(folder.join("p.toml"), of_p(folder))?;
    Ok(())
}

/// Changes A's files before its reload of this number.
pub(crate) fn change(folder: &Path, turn: u64) -> Result<()> {
    replace(folder, "a.toml", &of_a(folder, turn))?;
    replace(folder, "bridges.json", &bridges(turn))?;
    if turn.is_multiple_of(10) {
        write_countries(folder, turn / 10)?;
    }
    if turn.is_multiple_of(4) {
        let new = folder.join("new");
        fs::create_dir_all(&new)?;
        let files = write_certificate(&new)?;
        fs::rename(files.key, folder.join("key.pem"))?;
        fs::rename(files.cert, folder.join("cert.pem"))?;
    }
    Ok(())
}

/// Replaces a file at once, as a reload may be reading it.
fn replace(folder: &Path, name: &str, text: &str) -> Result<()> {
    let new = folder.join(format!("{name}.new"));
    fs::write(&new, text)?;
    Ok(fs::rename(new, folder.join(name))?)
}

fn bridges(turn: u64) -> String {
    let line = |name: &str, fingerprint: &str| {
        let address = "wss://snowflake.torproject.net/";
        json!({"displayName": name, "webSocketAddress": address, "fingerprint": fingerprint})
    };
    let mut bridges = format!("{}\n", line("default", BRIDGE));
    if turn.is_multiple_of(2) {
        bridges.extend([line("other", OTHER_BRIDGE).to_string(), "\n".to_owned()]);
    }
    bridges
}

/// Country databases of the addresses of `network::somebody`.
fn write_countries(folder: &Path, turn: u64) -> Result<()> {
    let (mut ipv4, mut ipv6) = (String::new(), String::new());
    let shift = usize::try_from(turn % 8)?;
    for (number, country) in (0_u32..156).zip(COUNTRIES.iter().cycle().skip(shift)) {
        let first = 5 << 24 | (100 + number) << 16;
        writeln!(ipv4, "{first},{},{country}", first + 0xffff)?;
        let nets = number << 8;
        writeln!(
            ipv6,
            "2a01:1000:{nets:x}::,2a01:1000:{:x}:ffff:ffff:ffff:ffff:ffff,{country}",
            nets + 0xff
        )?;
    }
    replace(folder, "geoip", &ipv4)?;
    replace(folder, "geoip6", &ipv6)
}

fn of_a(folder: &Path, turn: u64) -> String {
    let folder = folder.display();
    let odd = turn % 2;
    let parts = [
        format!(
            "[listener]\naddr = \":{PORT}\"\ntls_handshake_timeout = \"5s\"\n\
             header_read_timeout = \"5s\"\nidle_timeout = \"{}s\"\n\
             [http]\nbody_read_timeout = \"5s\"\nforwarded_by = \"none\"\n\
             [tls]\ncert = \"{folder}/cert.pem\"\nkey = \"{folder}/key.pem\"\n\
             watch_interval = \"1s\"\n",
            15 + odd
        ),
        format!(
            "[geoip]\ngeoipdb = \"{folder}/geoip\"\ngeoip6db = \"{folder}/geoip6\"\n\
             [broker]\nbridge_list_path = \"{folder}/bridges.json\"\n\
             [limits]\nintermediaries = [\"{CACHES}\"]\nclient_poll_burst = {}\n",
            300 + odd
        ),
        // So a proxy is told why it gets nobody.
        format!(
            "[poll_interval]\nopen = \"{}s\"\n\
             [poll_interval.refusals_as]\npolled_too_soon = \"status\"\nover_share = \"status\"\n",
            20 + turn % 3
        ),
        matching(1 + odd),
        format!(
            "[supply]\nexplore_every = {}\n\
             [policy]\nreserve = {}\n\
             [[policy.rules]]\nname = \"near\"\naction = \"prefer\"\nshare = 0.{}\n\
             client = {{ countries = [\"IR\", \"RU\"] }}\nproxy = {{ countries = [\"DE\", \"US\"] }}\n\
             [[policy.rules]]\nname = \"same\"\naction = \"deny\"\n\
             client = {{ countries = [\"CN\"] }}\nproxy = {{ countries = [\"CN\"] }}\n",
            20 + odd,
            8 + odd,
            3 + turn % 5
        ),
        format!(
            "[metrics]\nmetrics_log = \"{folder}/a.metrics\"\nimpact_log = \"{folder}/a.impact\"\n\
             state_directory = \"{folder}/a.state\"\nmetrics_interval = \"20s\"\n\
             save_interval = \"5s\"\n\
             [operator]\nlisten = \"127.0.0.1:9580\"\n\
             [status]\nlisten = \"127.0.0.1:9590\"\npublic = true\n"
        ),
        admin(&format!("{folder}/a")),
        cluster(&folder.to_string(), "a", 1_000 + odd),
        federation(
            &folder.to_string(),
            "a",
            PEER_PORT_OF_A,
            ("p", PEER_PORT_OF_P),
        ),
    ];
    parts.concat()
}

/// Node B of the cluster.
fn of_b(folder: &Path) -> String {
    let folder = folder.display().to_string();
    let parts = [
        plain(PORT_OF_B, 9_581),
        matching(1),
        format!(
            "[metrics]\nmetrics_log = \"{folder}/b.metrics\"\n\
             state_directory = \"{folder}/b.state\"\nmetrics_interval = \"20s\"\n"
        ),
        admin(&format!("{folder}/b")),
        cluster(&folder, "b", 1_000),
    ];
    parts.concat()
}

/// The peer P.
fn of_p(folder: &Path) -> String {
    let folder = folder.display().to_string();
    let parts = [
        plain(PORT_OF_P, 9_582),
        matching(1),
        admin(&format!("{folder}/p")),
        federation(&folder, "p", PEER_PORT_OF_P, ("a", PEER_PORT_OF_A)),
    ];
    parts.concat()
}

fn plain(port: u16, operator: u16) -> String {
    format!(
        "[listener]\naddr = \":{port}\"\n[tls]\ndisable = true\n[geoip]\ndisable = true\n\
         [operator]\nlisten = \"127.0.0.1:{operator}\"\n"
    )
}

/// Times that are shorter than usual, so that more is timed out and the end does not take
/// long.
fn matching(rematch_after: u64) -> String {
    format!(
        "[matching]\nclient_timeout = \"3s\"\nproxy_timeout = \"5s\"\n\
         rematch_after = \"{rematch_after}s\"\nsecond_chance_reserve = 0\ndrain_grace = \"1s\"\n"
    )
}

fn admin(files: &str) -> String {
    format!("[admin]\nlisten = \"{files}.sock\"\npools_file = \"{files}.pools\"\n")
}

/// A node of the cluster, with the private pool of all nodes.
fn cluster(folder: &str, node: &str, pool_polls: u64) -> String {
    format!(
        "[cluster]\nservers = [\"nats://{NATS}\"]\nnode = \"{node}\"\nreserve = 0\n\
         replicas = 1\nkey_file = \"{folder}/cluster.key\"\n\
         [[pools]]\nname = \"family\"\ntoken_file = \"{folder}/family.token\"\n\
         max_parked_polls = {pool_polls}\n"
    )
}

fn federation(folder: &str, name: &str, port: u16, (peer, peer_port): (&str, u16)) -> String {
    format!(
        "[federation]\nlisten = \"127.0.0.1:{port}\"\nreserve = 0\n\
         [federation.tls]\ncert = \"{folder}/{name}.pem\"\nkey = \"{folder}/{name}.key\"\n\
         ca = \"{folder}/brokers.pem\"\n\
         [[federation.peers]]\nname = \"{peer}.example\"\nurl = \"https://127.0.0.1:{peer_port}\"\n"
    )
}
