//! The real program, with only the environment that a test provides.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// The files, variables and arguments of one test.
pub(crate) struct Broker {
    directory: TempDir,
    command: Command,
}

impl Broker {
    /// A broker without a certificate.
    pub(crate) fn new(arguments: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
        command.env_clear().current_dir(directory.path());
        // Instead of the file that the machine may have in /etc.
        command.args(["--config", "lowest.toml"]);
        command.args(arguments.split_whitespace());
        let broker = Self { directory, command };
        // The check binds the address, and ordinary users cannot bind low ports.
        let is_check = arguments.contains("check-config");
        let lowest = "[listener]\naddr = \":0\"\n";
        broker.write("lowest.toml", if is_check { lowest } else { "" });
        broker
    }

    /// A broker that reads this text as the file `config.toml`.
    pub(crate) fn with_file(arguments: &str, text: &str) -> Self {
        // Files named after the command would replace those before it.
        let files = ["--config", "lowest.toml", "--config", "config.toml"];
        let broker = files.into_iter().fold(Self::new(arguments), Self::arg);
        broker.write("config.toml", text);
        broker
    }

    /// A broker with a certificate and its key in `c.pem` and `k.pem`.
    pub(crate) fn with_pair(arguments: &str) -> Self {
        let broker = Self::new(arguments);
        let pair =
            rcgen::generate_simple_self_signed(["broker.example".to_owned()]).expect("a pair");
        broker.write("c.pem", &pair.cert.pem());
        broker.write("k.pem", &pair.signing_key.serialize_pem());
        broker
    }

    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a writable directory");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn run(mut self) -> Ran {
        self.command.output().expect("the program").into()
    }

    /// The printed configuration.
    #[track_caller]
    pub(crate) fn printed(self) -> toml::Table {
        let ran = self.arg("print-config").run();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout.parse().expect("TOML")
    }
}

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn ok(&self) {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (0, "ok\n"),
            "{}",
            self.stderr
        );
    }

    /// Succeeds with exactly this warning.
    #[track_caller]
    pub(crate) fn warned(&self, beginning: &str) {
        self.ok();
        let beginning = format!("warning: {beginning}");
        let is_it = |line: &str| line.starts_with(&beginning);
        assert!(
            self.stderr.lines().any(is_it),
            "{beginning}:\n{}",
            self.stderr
        );
    }

    /// Fails for exactly these keys; each line is described by its beginning and a part.
    /// Warnings do not count.
    #[track_caller]
    pub(crate) fn refused(&self, lines: &[(&str, &str)]) {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (2, ""),
            "{}",
            self.stderr
        );
        let said = self.stderr.lines();
        let refused = said.filter(|line| !line.starts_with("warning: "));
        assert_eq!(refused.count(), lines.len(), "{}", self.stderr);
        for (beginning, part) in lines {
            let is_it = |line: &str| line.starts_with(beginning) && line.contains(part);
            assert!(
                self.stderr.lines().any(is_it),
                "{beginning} .. {part}:\n{}",
                self.stderr
            );
        }
    }
}
