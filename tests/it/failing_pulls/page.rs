//! The page, as a test reads it.

use std::fs;
use std::path::Path;

/// `docs/how-to/when-a-pull-fails.md`
pub(super) struct Page(String);

impl Page {
    pub(super) fn read() -> Self {
        let file = "docs/how-to/when-a-pull-fails.md";
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        Self(fs::read_to_string(file).expect("the page"))
    }

    /// The words that clients say, each with one client that says them. They are what is quoted:
    /// ``> `words` — client, client``.
    pub(super) fn words(&self) -> impl Iterator<Item = (&str, &str)> {
        let quotes = self.0.lines().filter_map(|line| line.strip_prefix("> `"));
        quotes.flat_map(|line| {
            let (words, clients) = line.split_once("` — ").expect("words and clients");
            clients.split(", ").map(move |client| (words, client))
        })
    }

    /// Whether a block has this line.
    pub(super) fn has_line(&self, line: &str) -> bool {
        self.0.lines().any(|there| there == line)
    }

    /// Writes the files that the page shows into `folder`, each under the last part of its path, which is the last
    /// code before its block.
    pub(super) fn write_files(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder");
        let mut before = "";
        let mut lines = self.0.lines();
        while let Some(line) = lines.next() {
            if let Some(kind) = line.strip_prefix("```") {
                let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                if matches!(kind, "json" | "toml") {
                    let path = Path::new(last_code(before));
                    let name = path.file_name().expect("a file");
                    fs::write(folder.join(name), block.join("\n") + "\n").expect("a file");
                }
            } else if !line.is_empty() {
                before = line;
            }
        }
    }
}

fn last_code(text: &str) -> &str {
    let mut paths = text.split('`').filter(|part| part.starts_with('/'));
    paths.next_back().expect("the path of a file")
}
