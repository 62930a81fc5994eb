//! The program in a terminal: its output is rendered to a screen as by a terminal
//! emulator.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::cli::broker::FOREVER;

/// A terminal. Dropping it ends the program.
pub(crate) struct Terminal {
    master: File,
    child: Child,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    screen: vt100::Parser,
    bytes: Vec<u8>,
}

impl Terminal {
    /// Starts a program in a terminal of this size.
    pub(crate) fn start(program: &Command, (columns, lines): (u16, u16)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = File::options().read(true).write(true).open(slave).unwrap();
        tcsetwinsize(&master, size(columns, lines)).unwrap();
        let child = in_terminal(program.as_std())
            .stdin(Stdio::from(slave.try_clone().unwrap()))
            .stdout(Stdio::from(slave.try_clone().unwrap()))
            .stderr(Stdio::from(slave))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let seen = Arc::new(Mutex::new(Seen {
            screen: vt100::Parser::new(some(lines), some(columns), 0),
            bytes: Vec::new(),
        }));
        let master = File::from(master);
        let (from, into) = (master.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || watch(from, &into));
        Self {
            master,
            child,
            seen,
        }
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.master.write_all(keys).unwrap();
    }

    /// Resizes the terminal.
    pub(crate) fn resize(&mut self, columns: u16, lines: u16) {
        let mut seen = self.seen.lock().unwrap();
        seen.screen
            .screen_mut()
            .set_size(some(lines), some(columns));
        drop(seen);
        tcsetwinsize(&self.master, size(columns, lines)).unwrap();
    }

    /// Waits until the screen satisfies a condition.
    pub(crate) async fn until(&self, what: impl Fn(&vt100::Screen) -> bool) {
        let is_so = timeout(FOREVER, async {
            while !what(self.seen.lock().unwrap().screen.screen()) {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .is_ok();
        assert!(is_so, "it shows\n{}", self.contents());
    }

    /// The text on the screen.
    pub(crate) fn contents(&self) -> String {
        self.seen.lock().unwrap().screen.screen().contents()
    }

    /// All bytes written so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.seen.lock().unwrap().bytes.clone()
    }

    /// Waits until the program ends, and returns its exit code.
    pub(crate) async fn end(&mut self) -> i32 {
        let status = timeout(FOREVER, self.child.wait()).await;
        status.expect("it does not end").unwrap().code().unwrap()
    }

    /// Returns true if the terminal is in a shell's usual mode: with echo and line input.
    pub(crate) fn is_restored(&self) -> bool {
        let modes = tcgetattr(&self.master).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }
}

/// The same program with the terminal as its controlling terminal, so that it is notified
/// of resizes.
fn in_terminal(program: &std::process::Command) -> Command {
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]);
    command.arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn some(number: u16) -> NonZero<u16> {
    NonZero::new(number).unwrap()
}

fn size(columns: u16, lines: u16) -> Winsize {
    Winsize {
        ws_row: lines,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn watch(mut from: File, into: &Mutex<Seen>) {
    let mut buffer = [0; 4096];
    // An error means that no program has the terminal open.
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let mut seen = into.lock().unwrap();
        seen.screen.process(&buffer[..length]);
        seen.bytes.extend(&buffer[..length]);
    }
}
