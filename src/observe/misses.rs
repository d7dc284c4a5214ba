//! The last names that were asked for in vain: in an incident the missing name is the one fact wanted.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::escape;

/// So many names are remembered; of more, those that were asked for last.
const NAMES: usize = 100;

/// Names of images and blobs that were answered with 404.
#[derive(Debug, Default)]
pub struct Misses(Mutex<Vec<Miss>>);

/// One such name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The name, safe to be shown.
    pub name: String,
    /// How many requests for it were answered so.
    pub count: u64,
    /// When the last one was.
    pub last: Timestamp,
    /// Who asked last.
    pub client: IpAddr,
    /// What they asked with, safe to be shown; empty if they did not say.
    pub user_agent: String,
}

impl Misses {
    /// The names, the last one first.
    pub fn latest(&self) -> Vec<Miss> {
        let mut misses = self.lock().clone();
        misses.sort_by_key(|miss| std::cmp::Reverse(miss.last));
        misses
    }

    /// Counts a request, and gives what is remembered of it if the name is new.
    pub(super) fn note(
        &self,
        name: &str,
        client: IpAddr,
        user_agent: &str,
        now: Timestamp,
    ) -> Option<Miss> {
        let name = shown(name);
        let mut misses = self.lock();
        let known = misses.iter().position(|miss| miss.name == name);
        let miss = Miss {
            count: known.map_or(1, |place| misses[place].count + 1),
            name,
            last: now,
            client: client.to_canonical(),
            user_agent: shown(user_agent),
        };
        if let Some(place) = known {
            misses[place] = miss;
            return None;
        }
        if misses.len() == NAMES {
            let oldest = misses.iter().enumerate().min_by_key(|(_, miss)| miss.last);
            let oldest = oldest.map(|(place, _)| place);
            oldest.map(|place| misses.swap_remove(place));
        }
        misses.push(miss.clone());
        Some(miss)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Miss>> {
        // Nothing that could panic leaves the list half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Foreign text as it may stand in a line.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    escape(&mut shown, text);
    shown
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            count,
            last,
            client,
            user_agent,
        } = self;
        write!(f, "{name}, asked for by {client}")?;
        if !user_agent.is_empty() {
            write!(f, " ({user_agent})")?;
        }
        if *count > 1 {
            write!(f, ", {count} times, last at {last:.0}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn note(misses: &Misses, name: &str, second: i64) -> Option<Miss> {
        let now = Timestamp::from_second(second).expect("a time");
        misses.note(name, CLIENT, "test/1", now)
    }

    #[test]
    fn a_name_is_new_once() {
        let misses = Misses::default();
        let first = note(&misses, "acme/app:1", 0).expect("a new name");
        assert_eq!(
            first.to_string(),
            "acme/app:1, asked for by 127.0.0.1 (test/1)"
        );
        assert_eq!(note(&misses, "acme/app:1", 60), None);
        assert!(note(&misses, "acme/app:2", 30).is_some());
        let names: Vec<String> = misses.latest().iter().map(Miss::to_string).collect();
        assert_eq!(
            names,
            [
                "acme/app:1, asked for by 127.0.0.1 (test/1), 2 times, last at 1970-01-01T00:01:00Z",
                "acme/app:2, asked for by 127.0.0.1 (test/1)",
            ]
        );
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let misses = Misses::default();
        for second in 0..100 {
            note(&misses, &second.to_string(), second);
        }
        note(&misses, "0", 100);
        note(&misses, "new", 101);
        let names = misses.latest();
        assert_eq!(names.len(), NAMES);
        assert_eq!((&*names[0].name, &*names[1].name), ("new", "0"));
        assert!(names.iter().all(|miss| miss.name != "1"));
        assert!(note(&misses, "1", 102).is_some(), "it is new again");
    }

    #[test]
    fn foreign_text_takes_no_room_and_drives_no_terminal() {
        let misses = Misses::default();
        let long = format!("\x1b[31m{}", "x".repeat(1 << 20));
        let miss = note(&misses, &long, 0).expect("a new name");
        assert!(
            miss.name.starts_with("\\u{1b}[31mxxx"),
            "{}",
            &miss.name[..20]
        );
        assert!(miss.name.len() < 2000);
    }
}
