//! The README's calls, unchanged: in namespaces in which `/run` and all ports belong to
//! the test.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::FOREVER;
use crate::support::unpacked;

/// The language and the content of each block in the section, in order.
fn blocks() -> Vec<(String, String)> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, rest) = readme.split_once("\n## Call it by gRPC\n").unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let fenced = section.split("\n```").collect::<Vec<_>>();
    let opened = fenced.chunks_exact(2).map(|pair| pair[1]);
    let blocks = opened.map(|block| {
        let (language, content) = block.split_once('\n').unwrap();
        (language.to_owned(), format!("{content}\n"))
    });
    blocks.collect()
}

/// Runs all commands, and writes the output of each block to a file. A block of TOML is
/// the configuration for a restart of the broker.
fn script(blocks: &[(String, String)]) -> String {
    let start = |arguments: &str, ready: &str| {
        format!(
            "snowflake-broker --disable-tls --disable-geoip --addr 127.0.0.1:8080 {arguments} 2> log & broker=$!\n\
             until {ready}; do sleep 0.05; done\n"
        )
    };
    let mut script = String::from(
        "set -euo pipefail\n\
         mount -t tmpfs tmpfs /run && mkdir /run/snowflake-broker && ip link set lo up\n",
    );
    script += &start("", "[[ -S /run/snowflake-broker/admin.sock ]]");
    for (number, (language, content)) in blocks.iter().enumerate() {
        match language.as_str() {
            "sh" => writeln!(script, "{{\n{content}}} > output{number}").unwrap(),
            "toml" => {
                script += "kill $broker; wait $broker\n";
                writeln!(script, "cat > config.toml << 'END'\n{content}END").unwrap();
                script += &start(
                    "--config config.toml",
                    ": 2>/dev/null < /dev/tcp/127.0.0.1/9443",
                );
            }
            _ => {}
        }
    }
    script
}

#[tokio::test]
async fn the_calls_do_what_is_printed() {
    let blocks = blocks();
    let folder = tempfile::tempdir().unwrap();
    let ours = Path::new(env!("CARGO_BIN_EXE_snowflake-broker"));
    let folders =
        [ours, &unpacked::file("usr/bin/grpcurl")].map(|file| file.parent().unwrap().to_owned());
    let path = std::env::var_os("PATH").unwrap();
    let path = folders.into_iter().chain(std::env::split_paths(&path));
    let mut unshare = Command::new("unshare");
    unshare
        .args([
            "--map-root-user",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
        ])
        .args(["bash", "-c", &script(&blocks)])
        .current_dir(folder.path())
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("SNOWFLAKE_BROKER_MATCHING__DRAIN_GRACE", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(FOREVER, unshare.output())
        .await
        .expect("a command hangs")
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let mut compared = 0;
    for (number, (language, _)) in blocks.iter().enumerate() {
        if language != "sh" {
            continue;
        }
        let output = fs::read_to_string(folder.path().join(format!("output{number}"))).unwrap();
        let printed = blocks.get(number + 1);
        if let Some((_, printed)) = printed.filter(|(next, _)| ["json", "text"].contains(&&**next))
        {
            assert_eq!(output, *printed);
            compared += 1;
        }
    }
    assert!(compared >= 4, "{blocks:?}");
}
