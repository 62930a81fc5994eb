//! The terminal: an alternate screen that is always restored.

use std::io::{self, Stdout, Write as _};

use crossterm::event::{self, EventStream, KeyCode, KeyModifiers};
use crossterm::style::{ResetColor, Stylize as _};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use crossterm::{cursor, execute, queue};
use futures_util::StreamExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin_client::text::Line;

/// An alternate screen. Dropping it restores the previous one.
#[derive(Debug)]
pub(super) struct Terminal {
    screen: Stdout,
    /// `None` without a keyboard.
    keys: Option<EventStream>,
    signals: [Signal; 4],
}

/// An event at the terminal.
#[derive(Debug)]
pub(super) enum TerminalEvent {
    /// The terminal was resized.
    Resized,
    /// The user ended the display.
    Ended,
}

impl Terminal {
    /// Clears the screen. Without a keyboard, only signals end the display.
    pub(super) fn open() -> io::Result<Self> {
        let signals = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::window_change())?,
        ];
        let keys = enable_raw_mode().is_ok().then(EventStream::new);
        let mut terminal = Self {
            screen: io::stdout(),
            keys,
            signals,
        };
        execute!(
            terminal.screen,
            EnterAlternateScreen,
            cursor::Hide,
            DisableLineWrap
        )?;
        Ok(terminal)
    }

    /// Waits for the next event.
    pub(super) async fn event(&mut self) -> TerminalEvent {
        let [interrupt, terminate, hang_up, resize] = &mut self.signals;
        loop {
            tokio::select! {
                _ = interrupt.recv() => return TerminalEvent::Ended,
                _ = terminate.recv() => return TerminalEvent::Ended,
                _ = hang_up.recv() => return TerminalEvent::Ended,
                _ = resize.recv() => return TerminalEvent::Resized,
                key = next_key(&mut self.keys) => match key {
                    Some(Ok(event)) if ends(&event) => return TerminalEvent::Ended,
                    Some(Ok(_)) => {}
                    // The keyboard is gone.
                    Some(Err(_)) | None => self.keys = None,
                },
            }
        }
    }

    /// Draws the lines for the current width and height.
    pub(super) fn show(&mut self, lines: impl FnOnce(usize, usize) -> Vec<Line>) -> io::Result<()> {
        let (width, height) = size()?;
        let mut drawing = Vec::new();
        queue!(drawing, BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
        for (number, line) in lines(width.into(), height.into()).into_iter().enumerate() {
            if number > 0 {
                drawing.extend(b"\r\n");
            }
            for (colour, text) in line.0 {
                match colour {
                    Some(colour) => write!(drawing, "{}", text.with(colour))?,
                    None => drawing.extend(text.as_bytes()),
                }
            }
            queue!(drawing, Clear(ClearType::UntilNewLine))?;
        }
        queue!(
            drawing,
            Clear(ClearType::FromCursorDown),
            EndSynchronizedUpdate
        )?;
        self.screen.write_all(&drawing)?;
        self.screen.flush()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to restore.
        let _ = execute!(
            self.screen,
            ResetColor,
            EnableLineWrap,
            cursor::Show,
            LeaveAlternateScreen
        );
        let _ = disable_raw_mode();
    }
}

async fn next_key(keys: &mut Option<EventStream>) -> Option<io::Result<event::Event>> {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
}

fn ends(event: &event::Event) -> bool {
    let Some(key) = event.as_key_press_event() else {
        return false;
    };
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c' | 'd') => key.modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}
