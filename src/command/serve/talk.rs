//! What the server says about what it serves.

use crate::catalog::{Event, Severity, Snapshot};
use crate::command::text::{count, size};
use crate::observe::{Log, Observer};

/// So many of the names that clients did not get are said at the end.
const MISSES_TOLD: usize = 20;

/// Says at the end once more what clients wanted and did not get, the last first.
pub(super) fn tell_misses(observer: &Observer, log: &Log) {
    let misses = observer.misses().latest();
    for miss in misses.iter().take(MISSES_TOLD) {
        log.say(&format!("Was not here: {miss}"));
    }
    if misses.len() > MISSES_TOLD {
        log.say(&format!(
            "Was not here: {} more names",
            misses.len() - MISSES_TOLD
        ));
    }
}

fn summary(snapshot: &Snapshot) -> String {
    let repositories = snapshot.repositories().count();
    let tags = snapshot.repositories().map(|view| view.tags().len()).sum();
    let archives: Vec<_> = snapshot
        .archives()
        .iter()
        .filter(|archive| !archive.found.images.is_empty())
        .collect();
    let images = archives
        .iter()
        .map(|archive| archive.found.images.len())
        .sum();
    let sources = archives
        .iter()
        .flat_map(|archive| archive.found.sources.iter());
    let bytes = sources.map(|source| source.identity().size()).sum();
    let problems = snapshot
        .problems()
        .iter()
        .filter(|problem| problem.severity > Severity::Note)
        .count();
    let problems = if problems == 0 {
        String::new()
    } else {
        format!(", {}", count(problems, "problem", "problems"))
    };
    format!(
        "{}, {}, {} from {} ({}){problems}",
        count(repositories, "repository", "repositories"),
        count(tags, "tag", "tags"),
        count(images, "image", "images"),
        count(archives.len(), "archive", "archives"),
        size(bytes),
    )
}

/// Lines that pull the first image as they are.
fn what_to_paste(snapshot: &Snapshot, address: &str) -> String {
    let images = snapshot.repositories().filter_map(|view| {
        let name = view.shown()?;
        let tags = view.tags_by_version();
        // Clients refuse to ask for other tags.
        let tags = || tags.iter().filter(|tag| tag.is_strict());
        let tag = tags()
            .find(|tag| tag.as_str() == "latest")
            .or_else(|| tags().next())?;
        let runs = view
            .tagged(tag)
            .is_some_and(|image| !image.platforms.is_empty());
        Some((runs, format!("{address}/{name}:{tag}")))
    });
    // Something that runs is a better example than an artifact.
    let mut images: Vec<(bool, String)> = images.collect();
    images.sort_by_key(|(runs, _)| !runs);
    match images.first() {
        Some((_, image)) => format!(
            "\n  docker pull {image}\n  podman pull --tls-verify=false {image}\n  ctr images pull --plain-http {image}\n"
        ),
        // There is something, but nothing that a tag leads to.
        None if snapshot.repositories().next().is_some() => String::new(),
        None => {
            "\nNo images yet. Save one into the folder, as with `docker save -o app.tar app:1`\n"
                .to_owned()
        }
    }
}

/// Tells people what is served, through the log.
pub(super) struct Talk {
    pub(super) log: Log,
    /// Where clients reach the server.
    pub(super) address: String,
}

impl Talk {
    pub(super) fn published(&self, event: &Event<'_>, is_first: bool) {
        let Event::Published {
            snapshot,
            new_problems,
            is_same,
            returned,
        } = event;
        if is_first {
            self.log.say(&format!("Serving {}", summary(snapshot)));
            self.log.say(&what_to_paste(snapshot, &self.address));
        } else if !is_same {
            self.log.say(&format!("Changed: now {}", summary(snapshot)));
        }
        for root in returned {
            self.log.say(&format!("{}: it is back", root.display()));
        }
        for problem in new_problems
            .iter()
            .filter(|problem| problem.severity > Severity::Note)
        {
            self.log.say(&problem.to_string());
        }
    }
}
