//! The live view. A separate thread draws it and reads the keys, so that a slow terminal never delays packets.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, thread};

use nym_mixnode_telemetry::log;
use ratatui::layout::Size;
use tokio::sync::mpsc;

use super::board::Board;
use super::keyboard::{Key, Keyboard};
use super::palette::Palette;
use super::picture::{self, Heading, Note, Scroll};
use super::screen::{self, Screen};

/// Poll interval of the thread for a new board, a new size or the end.
const POLL: Duration = Duration::from_millis(100);
const LOG_HELD_MAX: Duration = Duration::from_hours(24 * 365);
/// Capacity for stop keys: two are enough.
const STOP_KEYS_MAX: usize = 16;
/// How long the end waits for the thread, which may block on a stopped terminal.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Key that requests a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::localnet) enum StopKey {
    /// `q`: stop in order.
    Quit,
    /// Ctrl-C: like SIGINT; the second one stops at once.
    Interrupt,
}

/// Live view, with the thread that draws it.
#[derive(Debug)]
pub(super) struct Live {
    state: Arc<Mutex<State>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
    /// Pauses the log, whose lines would corrupt the view.
    _log: log::Hold,
}

/// State shared with the thread.
#[derive(Debug, Default)]
struct State {
    board: Board,
    heading: Heading,
    notes: Vec<Note>,
    /// Not drawn yet.
    is_new: bool,
    is_over: bool,
}

impl Live {
    /// Takes over the terminal. The receiver gets the stop keys.
    pub(super) fn start() -> io::Result<(Self, mpsc::Receiver<StopKey>)> {
        let state = Arc::new(Mutex::new(State { heading: Heading::starting(), is_new: true, ..State::default() }));
        let (keys, stop_keys) = mpsc::channel(STOP_KEYS_MAX);
        let keyboard = Keyboard::open()?;
        let held_log = log::hold_for(LOG_HELD_MAX);
        let screen = screen::enter()?;
        let (alive, ended) = channel::<()>();
        let painter = Painter {
            screen,
            keyboard,
            state: Arc::clone(&state),
            stop_keys: keys,
            palette: Palette::of_environment(),
            size: Size::default(),
        };
        let thread = thread::Builder::new().name("view".to_owned()).spawn(move || {
            painter.run();
            drop(alive);
        });
        // If the thread cannot start, restore the terminal.
        thread.inspect_err(|_| screen::leave())?;
        Ok((Self { state, ended, _log: held_log }, stop_keys))
    }

    pub(super) fn show(&self, board: Board) {
        self.change(|state| state.board = board);
    }

    pub(super) fn set_phase(&self, words: &str) {
        self.change(|state| words.clone_into(&mut state.heading.phase));
    }

    pub(super) fn set_explorer(&self, url: &str) {
        self.change(|state| url.clone_into(&mut state.heading.explorer));
    }

    pub(super) fn note(&self, words: &str, is_alert: bool) {
        self.change(|state| {
            if !is_alert {
                words.clone_into(&mut state.heading.phase);
            }
            state.notes.push(Note { words: words.to_owned(), is_alert });
        });
    }

    /// Restores the terminal; returns the notes, to be printed on the normal screen.
    pub(super) fn finish(self) -> Vec<String> {
        self.change(|state| state.is_over = true);
        // The thread never sends: this waits for its end.
        self.ended.recv_timeout(END_LIMIT).ok();
        screen::leave();
        let notes = std::mem::take(&mut lock(&self.state).notes);
        notes.into_iter().map(|note| note.words).collect()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.state);
        change(&mut state);
        state.is_new = true;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Changes are complete before anything can panic, so the data of a poisoned lock is valid.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// State of the thread.
struct Painter {
    screen: Screen,
    keyboard: Keyboard,
    state: Arc<Mutex<State>>,
    stop_keys: mpsc::Sender<StopKey>,
    palette: Palette,
    /// Time of the last frame.
    size: Size,
}

impl Painter {
    /// Draws until the view ends or the terminal is closed.
    fn run(mut self) {
        let mut scroll = Scroll::default();
        while !lock(&self.state).is_over {
            if self.step(&mut scroll).is_err() {
                break;
            }
        }
        screen::leave();
    }

    /// Draws changes, and waits briefly for a key.
    fn step(&mut self, scroll: &mut Scroll) -> io::Result<()> {
        if lock(&self.state).is_new || self.screen.size()? != self.size {
            self.draw(scroll)?;
        }
        if let Some(key) = self.keyboard.next(POLL)? {
            self.press(key, scroll);
        }
        Ok(())
    }

    fn draw(&mut self, scroll: &mut Scroll) -> io::Result<()> {
        let (board, heading, notes) = {
            let mut state = lock(&self.state);
            state.is_new = false;
            (state.board.clone(), state.heading.clone(), state.notes.clone())
        };
        let palette = self.palette;
        let drawn = self.screen.draw(|frame| picture::draw(frame, &board, &heading, &notes, scroll, palette))?;
        self.size = drawn.area.as_size();
        Ok(())
    }

    fn press(&self, key: Key, scroll: &mut Scroll) {
        match key {
            Key::Up => scroll.by(-1),
            Key::Down => scroll.by(1),
            Key::PageUp => scroll.by_pages(-1),
            Key::PageDown => scroll.by_pages(1),
            Key::Start => scroll.go_to_start(),
            Key::End => scroll.go_to_end(),
            Key::Quit => return self.stop(StopKey::Quit),
            Key::Interrupt => return self.stop(StopKey::Interrupt),
        }
        lock(&self.state).is_new = true;
    }

    fn stop(&self, key: StopKey) {
        // If the receiver is gone or full, the stop has already begun.
        self.stop_keys.try_send(key).ok();
    }
}
