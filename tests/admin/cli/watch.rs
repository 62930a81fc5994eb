//! `watch`: lines for programs, a screen for people.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::cli::broker::{Broker, FOREVER};
use crate::cli::terminal::Terminal;

const ENDED: &str = "the broker stopped, or the connection to it broke\n";

#[tokio::test]
async fn a_line_for_each_look() {
    let broker = Broker::start().await;
    let _parked = broker.park("a", "unrestricted").await;
    broker.until_parked(1).await;
    let text = broker.ask("watch --interval 100ms --count 3").await;
    assert_eq!(text.lines().count(), 3, "{text}");
    for line in text.lines() {
        assert!(
            line.contains("Z serving parked 1 queued 0 matched 0 "),
            "{line}"
        );
    }
    let objects = broker.ask_json("watch --interval 100ms --count 2").await;
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[1]["parked"][0]["count"], "1");
}

/// An operator who watches in a full-featured terminal.
fn watching(broker: &Broker) -> Command {
    let mut command = broker.operator(["watch", "--interval", "100ms"]);
    command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
    command
}

fn is_live(screen: &vt100::Screen) -> bool {
    screen.alternate_screen() && screen.hide_cursor() && screen.contents().contains("serving")
}

fn is_left(screen: &vt100::Screen) -> bool {
    !screen.alternate_screen() && !screen.hide_cursor()
}

#[tokio::test]
async fn a_live_screen_until_q_is_pressed() {
    let broker = Broker::start().await;
    let _parked = broker.park("a", "unrestricted").await;
    broker.until_parked(1).await;
    let mut terminal = Terminal::start(&watching(&broker), (80, 24));
    terminal
        .until(|screen| is_live(screen) && screen.contents().contains("q ends"))
        .await;
    let contents = terminal.contents();
    assert!(
        contents.contains("open              1  ██████████"),
        "{contents}"
    );
    assert!(
        contents.lines().last().unwrap().ends_with("q ends"),
        "{contents}"
    );
    assert!(!terminal.is_restored());

    let _second = broker.park("b", "restricted").await;
    terminal
        .until(|screen| screen.contents().contains("strict            1"))
        .await;

    terminal.resize(30, 6);
    let fits = |screen: &vt100::Screen| {
        let contents = screen.contents();
        contents.lines().count() == 6 && contents.contains("parked") && !contents.contains("q ends")
    };
    terminal.until(fits).await;
    terminal.resize(100, 40);
    terminal
        .until(|screen| screen.contents().contains("q ends"))
        .await;

    terminal.press(b"q");
    assert_eq!(terminal.end().await, 0);
    terminal.until(is_left).await;
    assert!(terminal.is_restored());
    assert_eq!(terminal.contents().trim(), "");
}

#[tokio::test]
async fn control_c_gives_the_terminal_back() {
    let broker = Broker::start().await;
    let mut terminal = Terminal::start(&watching(&broker), (80, 24));
    terminal.until(is_live).await;
    terminal.press(b"\x03");
    assert_eq!(terminal.end().await, 0);
    terminal.until(is_left).await;
    assert!(terminal.is_restored());
}

#[tokio::test]
async fn a_broker_that_ends_gives_the_terminal_back() {
    let mut broker = Broker::start().await;
    let mut terminal = Terminal::start(&watching(&broker), (80, 24));
    terminal.until(is_live).await;
    broker.child.kill().await.unwrap();
    assert_eq!(terminal.end().await, 1);
    terminal.until(is_left).await;
    assert!(terminal.is_restored());
    terminal
        .until(|screen| screen.contents().trim_end() == ENDED.trim_end())
        .await;
}

#[tokio::test]
async fn colours_are_for_those_who_want_them() {
    const GREEN: &[u8] = b"\x1b[38;5;10m";
    let broker = Broker::start().await;
    let has_green = |terminal: &Terminal| {
        let bytes = terminal.bytes();
        bytes.windows(GREEN.len()).any(|bytes| bytes == GREEN)
    };
    let coloured = Terminal::start(&watching(&broker), (80, 24));
    coloured.until(is_live).await;
    assert!(has_green(&coloured));
    let mut command = watching(&broker);
    command.env("NO_COLOR", "1");
    let plain = Terminal::start(&command, (80, 24));
    plain.until(is_live).await;
    assert!(!has_green(&plain));
}

#[tokio::test]
async fn a_terminal_that_cannot_move_gets_lines() {
    let broker = Broker::start().await;
    let mut command = watching(&broker);
    command.args(["--count", "2"]).env("TERM", "dumb");
    let mut terminal = Terminal::start(&command, (200, 24));
    assert_eq!(terminal.end().await, 0);
    terminal
        .until(|screen| screen.contents().lines().count() == 2)
        .await;
    assert!(!terminal.bytes().contains(&b'\x1b'));
}

#[tokio::test]
async fn a_broker_that_stops_ends_the_watch() {
    let broker = Broker::start().await;
    let mut watch = broker.operator(["watch", "--interval", "1h"]);
    watch.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let first = timeout(FOREVER, lines.next_line()).await;
    assert!(first.expect("it shows nothing").unwrap().is_some());

    let broker = i32::try_from(broker.child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(broker).unwrap(), Signal::TERM).unwrap();
    let output = timeout(FOREVER, watch.wait_with_output())
        .await
        .expect("it does not end")
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), ENDED);
}
