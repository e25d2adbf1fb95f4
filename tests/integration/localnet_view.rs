//! The live view of `localnet` on a real terminal: drawing, resizing, scrolling, and restoring the terminal.
#![cfg(target_os = "linux")]

use rustix::process::{Pid, Signal, kill_process};

use super::pty::Pty;

const SMALL: [&str; 7] = ["localnet", "--layers", "2", "--nodes", "1", "--rate", "20"];

fn start(arguments: &[&str], variables: &[(&str, &str)], size: (u16, u16)) -> Pty {
    Pty::start(env!("CARGO_BIN_EXE_nym-mixnode"), arguments, variables, size)
}

fn contains(screen: &[String], words: &str) -> bool {
    screen.iter().any(|line| line.contains(words))
}

/// Waits until nodes are on the screen and packets come back through them.
fn wait_for_nodes(terminal: &Pty) {
    terminal.wait_for("mixing", |screen| {
        contains(screen, "mix1-1") && contains(screen, "mix2-1") && contains(screen, "v4")
    });
    assert_eq!(terminal.modes(), (true, true), "a screen of its own, without a cursor");
    assert!(!terminal.is_cooked(), "keys would not arrive one by one");
}

/// Content of the terminal after the view has ended.
fn after_view(terminal: &Pty) -> Vec<String> {
    terminal.wait_for("given back", |_| terminal.modes() == (false, false));
    assert!(terminal.is_cooked(), "the terminal does not echo any more");
    terminal.screen()
}

/// Waits for a complete view of this size, without remains of another.
fn wait_for_picture(terminal: &Pty, (columns, rows): (usize, usize)) {
    terminal.wait_for("a picture of the new size, without lines of the old one", |screen| {
        let count = |words: &str| screen.iter().filter(|line| line.contains(words)).count();
        let fits = screen.len() == rows && screen.iter().all(|line| line.chars().count() <= columns);
        let last = screen.last().is_some_and(|line| line.starts_with("q stop"));
        // At the edge of its column, which depends on the size.
        let heading = screen.iter().find(|line| line.contains("layer 1"));
        let layer_2 = heading.and_then(|line| line.find("layer 2"));
        fits && last && count("layer 1") == 1 && count("q stop") == 1 && layer_2 == Some(columns / 2)
    });
}

#[test]
fn the_view_starts_follows_every_resize_and_ends_with_q() {
    let network = ["localnet", "--layers", "2", "--nodes", "3", "--rate", "20"];
    let mut terminal = start(&network, &[], (80, 24));
    wait_for_nodes(&terminal);
    wait_for_picture(&terminal, (80, 24));
    assert!(contains(&terminal.screen(), "20 packets/s"));
    assert!(contains(&terminal.screen(), "explorer  http://127.0.0.1:"));
    for (columns, rows) in [(100, 40), (60, 24), (80, 12), (60, 7)] {
        terminal.resize(columns, rows);
        wait_for_picture(&terminal, (columns.into(), rows.into()));
    }
    terminal.wait_for("in need of scrolling", |screen| contains(screen, "PgDn scroll  lines 1-"));
    terminal.press("\u{1b}[B");
    terminal.wait_for("scrolled down", |screen| contains(screen, "lines 2-"));
    terminal.press("\u{1b}[5~");
    terminal.wait_for("scrolled up", |screen| contains(screen, "lines 1-"));
    terminal.resize(60, 30);
    terminal.press("q");
    let status = terminal.wait_for_end();
    let after = after_view(&terminal);
    assert_eq!(status.code(), Some(0), "{after:#?}");
    for words in ["6 nodes mix", "stopping the nodes", "packets lost (IPv4", "accounts for every packet"] {
        assert!(contains(&after, words), "no {words:?} in {after:#?}");
    }
    let node = after.iter().filter(|line| line.starts_with(" mix")).collect::<Vec<_>>();
    assert!(node.len() == 6 && node.iter().all(|line| line.ends_with("yes")), "one line each: {after:#?}");
}

#[test]
fn every_signal_and_ctrl_c_give_the_terminal_back() {
    for signal in [None, Some(Signal::INT), Some(Signal::TERM), Some(Signal::HUP)] {
        let mut terminal = start(&SMALL, &[], (80, 24));
        wait_for_nodes(&terminal);
        match signal {
            Some(signal) => {
                let pid = Pid::from_raw(terminal.pid().try_into().unwrap()).unwrap();
                kill_process(pid, signal).unwrap();
            }
            None => terminal.press("\u{3}"),
        }
        let status = terminal.wait_for_end();
        let after = after_view(&terminal);
        assert_eq!(status.code(), Some(0), "{signal:?}: {after:#?}");
        assert!(contains(&after, "accounts for every packet"), "{signal:?}: {after:#?}");
    }
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_gives_the_terminal_back() {
    let mut terminal = start(&[&SMALL[..], &["--mean-delay", "1m"]].concat(), &[], (80, 24));
    wait_for_nodes(&terminal);
    terminal.press("\u{3}");
    terminal.wait_for("waiting", |screen| contains(screen, "waiting for"));
    terminal.press("\u{3}");
    let status = terminal.wait_for_end();
    let after = after_view(&terminal);
    assert_eq!(status.code(), Some(75), "{after:#?}");
    assert!(contains(&after, "stopped at once"), "{after:#?}");
}

#[test]
fn a_terminal_without_a_cursor_gets_plain_lines() {
    for variable in [("TERM", "dumb"), ("CI", "true")] {
        let mut terminal = start(&[&SMALL[..], &["--duration", "1s"]].concat(), &[variable], (60, 24));
        assert_eq!(terminal.wait_for_end().code(), Some(0), "{}", terminal.text());
        let text = terminal.text();
        assert!(!text.contains('\u{1b}'), "{variable:?}: {text:?}");
        assert!(text.contains(" sent, ") && text.contains("accounts for every packet"), "{text}");
    }
}

#[test]
fn no_colour_is_used_where_none_is_wanted() {
    let mut terminal = start(&[&SMALL[..], &["--duration", "2s"]].concat(), &[("NO_COLOR", "1")], (80, 24));
    assert_eq!(terminal.wait_for_end().code(), Some(0), "{}", terminal.text());
    let text = terminal.text();
    assert!(text.contains("\u{1b}[?1049h") && text.contains("layer 1"), "{text:?}");
    // Foreground colours: 30 to 37, 90 to 97, and 38 with what follows.
    for sequence in text.split("\u{1b}[").skip(1).filter_map(|rest| rest.split_once('m')).map(|(codes, _)| codes) {
        let is_style = sequence.bytes().all(|byte| byte.is_ascii_digit() || byte == b';');
        let coloured = |code: &str| matches!(code.parse(), Ok(30..=38 | 90..=97));
        assert!(!is_style || !sequence.split(';').any(coloured), "{sequence} in {text:?}");
    }
}
