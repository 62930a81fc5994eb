//! Completions, run in the shells that they are for.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::cli::broker::{program, run};
use crate::cli::terminal::Terminal;
use crate::support::unpacked;

/// A typed line, a word that must be offered as its completion, and one that must not.
const LINES: [(&str, &str, &str); 7] = [
    ("admin ", "bridges", "check-config"),
    // A switch takes no further word, unlike a flag with a value.
    ("--disable-tls admin ", "bridges", "check-config"),
    ("--disable-tls=false admin ", "bridges", "check-config"),
    ("--disable-tls --unsafe-logging ", "check-config", "bridges"),
    (
        "--addr :1 --disable-geoip admin ",
        "bridges",
        "check-config",
    ),
    ("--disable-tls=", "false", "check-config"),
    ("check-config --disable-tls=", "false", "bridges"),
];

#[tokio::test]
async fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let said = run(&mut program(["completions", shell])).await;
        assert_eq!((said.code, &*said.stderr), (0, ""), "{shell}");
        for word in ["check-config", "bridge-list-path", "dry-run", "token-file"] {
            assert!(said.stdout.contains(word), "{shell} does not know {word}");
        }
    }
    let said = run(&mut program(["completions", "csh"])).await;
    assert_eq!(said.code, 2);
}

#[tokio::test]
async fn bash_completes_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("snowflake-broker.bash");
    let said = run(&mut program(["completions", "bash"])).await;
    fs::write(&script, said.stdout).unwrap();
    let checked = run(Command::new("bash").arg("-n").arg(&script)).await;
    assert_eq!((checked.code, &*checked.stderr), (0, ""));
    let complete = format!(
        "source {}; COMP_WORDS=(snowflake-broker admin bri); COMP_CWORD=2; \
         [[ $(complete -p snowflake-broker) =~ -F\\ ([^\\ ]+) ]]; \
         \"${{BASH_REMATCH[1]}}\" snowflake-broker bri admin; echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let completed = run(Command::new("bash").args(["-c", &complete])).await;
    assert_eq!((&*completed.stdout, &*completed.stderr), ("bridges\n", ""));
}

/// A folder with the completion script under the name where the shell looks for it.
async fn script(shell: &str, name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let said = run(&mut program(["completions", shell])).await;
    fs::write(folder.path().join(name), said.stdout).unwrap();
    folder
}

/// The unpacked shell with its libraries, and no other variables.
fn unpacked_shell(path: &str) -> Command {
    let folders = fs::read_dir(unpacked::file("usr/lib"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let libraries = std::env::join_paths(folders).unwrap();
    let mut shell = Command::new(unpacked::file(path));
    shell.env_clear().env("LD_LIBRARY_PATH", libraries);
    shell
}

#[tokio::test]
async fn fish_completes_with_them() {
    let folder = script("fish", "script.fish").await;
    let functions = unpacked::file("usr/share/fish/functions");
    for (line, offered, other) in LINES {
        let complete = format!(
            "set fish_function_path {}; source script.fish; complete -C 'snowflake-broker {line}'",
            functions.display()
        );
        let mut fish = unpacked_shell("usr/bin/fish");
        fish.args(["--no-config", "-c", &complete])
            .env("HOME", folder.path())
            .current_dir(folder.path());
        let said = run(&mut fish).await;
        assert_eq!((said.code, &*said.stderr), (0, ""), "{line}");
        let offers = |word: &str| {
            let words = said
                .stdout
                .lines()
                .filter_map(|line| line.split('\t').next());
            words.map(last_part).any(|it| it == word)
        };
        assert!(offers(offered) && !offers(other), "{line}: {}", said.stdout);
    }
}

/// The value in `--flag=value`.
fn last_part(word: &str) -> &str {
    word.rsplit('=').next().unwrap_or(word)
}

#[tokio::test]
async fn zsh_completes_with_them() {
    let folder = script("zsh", "_snowflake-broker").await;
    configure_zsh(folder.path());
    for (line, offered, other) in LINES {
        let mut zsh = unpacked_shell("bin/zsh");
        zsh.args(["-d", "-i"])
            .env("TERM", "dumb")
            .env("ZDOTDIR", folder.path())
            .current_dir(folder.path());
        let mut terminal = Terminal::start(&zsh, (100, 40));
        terminal
            .until(|screen| screen.contents().contains("ready>"))
            .await;
        terminal.press(format!("snowflake-broker {line}\t").as_bytes());
        terminal
            .until(|screen| lists(&screen.contents(), offered))
            .await;
        let contents = terminal.contents();
        assert!(!lists(&contents, other), "{line}: {contents}");
    }
}

/// Returns true if a line in the list below the typed one begins with a word.
fn lists(contents: &str, word: &str) -> bool {
    let list = contents.lines().skip_while(|line| !line.contains("ready>"));
    list.skip(1)
        .any(|line| line.split(' ').next() == Some(word))
}

/// Makes zsh find its modules and functions in the unpacked files.
fn configure_zsh(folder: &Path) {
    let libraries = fs::read_dir(unpacked::file("usr/lib")).unwrap();
    let modules = libraries.filter_map(|entry| only_folder_in(&entry.unwrap().path().join("zsh")));
    let modules = modules.last().expect("zsh has modules");
    let functions = unpacked::file("usr/share/zsh/functions");
    let paths = format!(
        "module_path=({})\nfpath=({} {functions}/**/*(/))\n",
        modules.display(),
        folder.display(),
        functions = functions.display(),
    );
    fs::write(folder.join(".zshenv"), paths).unwrap();
    let settings = "PS1='ready> '\nautoload -U compinit\ncompinit -u -D\nLISTMAX=0\n";
    fs::write(folder.join(".zshrc"), settings).unwrap();
}

fn only_folder_in(folder: &Path) -> Option<PathBuf> {
    Some(fs::read_dir(folder).ok()?.next()?.unwrap().path())
}
