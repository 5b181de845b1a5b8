// SPDX-License-Identifier: Apache-2.0
//! A bounded ring of events that bridges pull; nothing is ever pushed, printed or logged from here.

use std::{borrow::Cow, collections::VecDeque, fmt, time::Duration};

/// A text of at most so many bytes, and a remark about what was left out: nothing that a peer says is repeated without a bound.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    format!("{}… ({} bytes in all)", &text[..text.floor_char_boundary(most)], text.len()).into()
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Of interest when looking for something.
    Debug,
    /// Of interest to everybody, and rare.
    Info,
    /// Something is not as it was meant.
    Warn,
}

impl Level {
    /// The name used in JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Running number, from 1, without gaps as long as nothing was overwritten.
    pub number: u64,
    /// Time since the client was opened.
    pub at: Duration,
    /// How much it matters.
    pub level: Level,
    /// For people; never holds a secret.
    pub text: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s {}: {}", self.at.as_secs_f64(), self.level.name(), self.text)
    }
}

/// The newest events; older ones are overwritten.
#[derive(Debug, Default)]
pub struct Events {
    ring: VecDeque<Event>,
    next: u64,
}

impl Events {
    const CAPACITY: usize = 256;
    const LONGEST: usize = 4096;

    /// Adds an event.
    pub fn push(&mut self, at: Duration, level: Level, text: String) {
        if self.ring.len() == Self::CAPACITY {
            self.ring.pop_front();
        }
        self.next += 1;
        let text = if text.len() > Self::LONGEST { cut(&text, Self::LONGEST).into_owned() } else { text };
        self.ring.push_back(Event { number: self.next, at, level, text });
    }

    /// Events with a number above `since`, oldest first.
    pub fn since(&self, since: u64) -> impl Iterator<Item = &Event> {
        self.ring.iter().filter(move |event| event.number > since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_events_and_their_numbers() {
        let mut events = Events::default();
        for n in 1..=300 {
            events.push(Duration::ZERO, Level::Info, n.to_string());
        }
        let kept: Vec<u64> = events.since(0).map(|event| event.number).collect();
        assert_eq!((kept.len(), kept[0], kept[255]), (256, 45, 300));
        assert_eq!(events.since(299).count(), 1);
    }

    #[test]
    fn a_text_without_end_is_cut_between_two_characters() {
        assert_eq!(cut("four", 4), "four");
        assert_eq!(cut("fünf", 2), "f… (5 bytes in all)");
        let mut events = Events::default();
        events.push(Duration::ZERO, Level::Warn, "x".repeat(5_000_000));
        assert!(events.since(0).all(|event| event.text.len() < 5000));
    }
}
