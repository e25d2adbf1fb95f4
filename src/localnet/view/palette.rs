//! Colours of the live view.

use std::env;

use ratatui::style::{Color, Modifier, Style};

use crate::localnet::history::Lag;

/// Longest good lag, in milliseconds.
const LAG_FINE_MS: u64 = 10;
const LAG_HIGH_MS: u64 = 50;

/// Styles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    has_colours: bool,
}

impl Palette {
    /// With colours, unless `NO_COLOR` is set.
    pub(super) fn of_environment() -> Self {
        Self { has_colours: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    #[cfg(test)]
    pub(super) const fn new(has_colours: bool) -> Self {
        Self { has_colours }
    }

    pub(super) fn title() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn good(self) -> Style {
        self.colour(Color::Green)
    }

    pub(super) fn warning(self) -> Style {
        self.colour(Color::Yellow)
    }

    pub(super) fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn rate(self) -> Style {
        self.colour(Color::Cyan)
    }

    /// Style of secondary text.
    pub(super) fn quiet(self) -> Style {
        self.colour(Color::DarkGray)
    }

    pub(super) fn lag(self, lag: Lag) -> Style {
        match lag.at_most_ms() {
            Some(..=LAG_FINE_MS) => self.good(),
            Some(..=LAG_HIGH_MS) => self.warning(),
            _ => self.bad(),
        }
    }

    fn colour(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }
}
