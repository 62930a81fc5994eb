//! A page of documentation, as far as the tests look at it.
//!
//! Comments in a page speak to the tests, and no reader sees them:
//!
//! - `<!-- test: file PATH -->`: the block that follows is the content of this file,
//! - `<!-- test: serves -->`: the command that follows runs until it is stopped,
//! - `<!-- test: ignore -->`: the block that follows is no output of the one before,
//! - `<!-- test: new machine -->`: what comes before has left nothing behind,
//! - `<!-- test: on NAME -->`: what follows happens on the machine that `add_machine` has
//!   added by this name, or, if it is `here`, on the first one,
//! - `<!-- test: run`, then lines of shell, then `-->`: what a reader does besides.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A page.
pub(crate) struct Page {
    /// Its path from the root of the repository.
    pub(crate) path: String,
    /// Its blocks, and what the tests are told between them, in order.
    pub(crate) items: Vec<Item>,
    /// The names by which links reach its headings.
    pub(crate) anchors: BTreeSet<String>,
    /// The targets of its links and images, each with its line.
    pub(crate) links: Vec<(usize, String)>,
    /// What is marked as code within the text, each with its line.
    pub(crate) code: Vec<(usize, String)>,
}

/// A step of a page.
#[derive(Debug)]
pub(crate) enum Item {
    Heading,
    Block(Block),
    Hidden { line: usize, script: String },
    NewMachine,
    On(String),
}

/// A fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) content: String,
    pub(crate) role: Role,
}

/// What the tests are told of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    #[default]
    Plain,
    File(String),
    Serves,
    Ignored,
}

impl Page {
    pub(crate) fn read(path: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self::parse(path, &text)
    }

    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            items: Vec::new(),
            anchors: BTreeSet::new(),
            links: Vec::new(),
            code: Vec::new(),
        };
        let line_of = |offset: usize| text[..offset].matches('\n').count() + 1;
        let mut heading: Option<String> = None;
        let mut comment = String::new();
        let mut block: Option<Block> = None;
        let mut role = Role::default();
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = line_of(range.start);
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let title = heading.take().unwrap_or_default();
                    page.add_anchor(&title);
                    page.items.push(Item::Heading);
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(language) => language.to_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    block = Some(Block {
                        line,
                        language,
                        content: String::new(),
                        role: std::mem::take(&mut role),
                    });
                }
                Event::End(TagEnd::CodeBlock) => page.items.extend(block.take().map(Item::Block)),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push((line, dest_url.to_string()));
                }
                Event::Start(Tag::HtmlBlock) => comment.clear(),
                Event::Html(html) | Event::InlineHtml(html) => {
                    page.add_targets(line, &html);
                    comment.push_str(&html);
                }
                Event::End(TagEnd::HtmlBlock) => role = page.directive(line, &comment),
                Event::Text(text) => {
                    if let Some(block) = &mut block {
                        block.content.push_str(&text);
                    } else if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                Event::Code(code) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&code);
                    }
                    page.code.push((line, code.to_string()));
                }
                _ => {}
            }
        }
        page
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.items.iter().filter_map(|item| match item {
            Item::Block(block) => Some(block),
            _ => None,
        })
    }

    /// Does what a comment asks for, or has the next block do it.
    fn directive(&mut self, line: usize, comment: &str) -> Role {
        let Some((_, rest)) = comment.split_once("<!-- test: ") else {
            return Role::default();
        };
        let (directive, _) = rest.split_once("-->").expect("a comment ends");
        if let Some(script) = directive.strip_prefix("run\n") {
            self.items.push(Item::Hidden {
                line,
                script: script.to_owned(),
            });
            return Role::default();
        }
        match directive.trim() {
            "serves" => Role::Serves,
            "ignore" => Role::Ignored,
            "new machine" => {
                self.items.push(Item::NewMachine);
                Role::default()
            }
            other => match other.split_once(' ') {
                Some(("file", path)) => Role::File(path.to_owned()),
                Some(("on", machine)) => {
                    self.items.push(Item::On(machine.to_owned()));
                    Role::default()
                }
                _ => panic!("{}:{line}: {other:?}?", self.path),
            },
        }
    }

    /// As GitHub and GitLab name headings; a repeated one gets a number.
    fn add_anchor(&mut self, title: &str) {
        let kept = title
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
            .collect::<String>()
            .replace(' ', "-");
        let numbered = (1..).map(|number| format!("{kept}-{number}"));
        let mut names = std::iter::once(kept.clone()).chain(numbered);
        let free = names.find(|name| !self.anchors.contains(name));
        self.anchors.extend(free);
    }

    /// Links and images that are written in HTML.
    fn add_targets(&mut self, line: usize, html: &str) {
        for attribute in ["src=\"", "srcset=\"", "href=\""] {
            let targets = html.split(attribute).skip(1);
            let targets = targets.filter_map(|rest| rest.split('"').next());
            self.links
                .extend(targets.map(|target| (line, target.to_owned())));
        }
    }
}
