//! The tables of the page, whose rows are made one by one: a client that is not on a machine keeps its row.

use super::cell::Cell;
use super::check::COLUMNS;
use super::client::CLIENTS;

/// What one client did.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) cells: Vec<Cell>,
}

impl Row {
    fn line(&self) -> String {
        let cells: Vec<_> = self.cells.iter().map(ToString::to_string).collect();
        format!("{}{} |", self.beginning(), cells.join(" | "))
    }

    /// The cells that tell it from all other rows.
    fn beginning(&self) -> String {
        format!("| {} | {} | ", self.name, self.version)
    }
}

/// A table of the page.
pub(super) struct Table(Vec<String>);

impl Table {
    /// Reads one as the page has it.
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| line.starts_with("| "));
        Self(lines.skip(1).map(str::to_owned).collect())
    }

    /// The version in the row of a client.
    pub(super) fn version(&self, name: &str) -> Option<&str> {
        let beginning = format!("| {name} | ");
        let rest = self.0.iter().find_map(|line| line.strip_prefix(&beginning));
        rest.and_then(|rest| rest.split(" |").next())
    }

    /// Without the rows of a client.
    pub(super) fn without(mut self, name: &str) -> Self {
        let beginning = format!("| {name} | ");
        self.0.retain(|line| !line.starts_with(&beginning));
        self
    }

    /// With a row in the place of the one of the same client and version.
    pub(super) fn with(mut self, row: &Row) -> Self {
        let beginning = row.beginning();
        self.0.retain(|line| !line.starts_with(&beginning));
        self.0.push(row.line());
        self
    }

    /// Whether every row has a cell in every column.
    pub(super) fn is_whole(&self) -> bool {
        let cells = |line: &String| line.matches(" | ").count() + 1;
        self.0.iter().all(|line| cells(line) == COLUMNS.len() + 2)
    }

    /// The table as it stands on the page.
    pub(super) fn text(mut self) -> String {
        self.0.sort_by(|one, other| place(one).cmp(&place(other)));
        let titles = COLUMNS.map(|(title, _)| title).join(" | ");
        let rule = "|---".repeat(COLUMNS.len() + 2);
        let head = format!("| client | version | {titles} |\n{rule}|");
        [vec![head], self.0].concat().join("\n")
    }
}

/// Where a row stands: clients have an order, older versions come first, and variants of a client stand beside it.
fn place(line: &str) -> (Option<usize>, Vec<u32>, &str) {
    let mut cells = line.split('|').skip(1).map(str::trim);
    let (name, version) = (cells.next(), cells.next());
    let (name, version) = (name.unwrap_or_default(), version.unwrap_or_default());
    let client = CLIENTS
        .iter()
        .position(|client| name.starts_with(client.name));
    let numbers = version.split('.').filter_map(|number| number.parse().ok());
    (client, numbers.collect(), name)
}

#[test]
fn a_row_takes_the_place_of_its_own_client_and_version() {
    let row = |name, version: &str, cell| Row {
        name,
        version: version.to_owned(),
        cells: vec![cell],
    };
    let table = Table::read("")
        .with(&row("podman", "5.4.2", Cell::Yes))
        .with(&row("docker, containerd store", "28.5.2", Cell::Yes))
        .with(&row("docker", "28.5.2", Cell::Yes))
        .with(&row("docker", "9.1", Cell::Yes))
        .with(&row("docker", "28.5.2", Cell::Nothing));
    assert_eq!(table.version("podman"), Some("5.4.2"));
    let text = table.text();
    let rows: Vec<_> = text.lines().skip(2).collect();
    assert_eq!(
        rows,
        [
            "| docker | 9.1 | yes |",
            "| docker | 28.5.2 | – |",
            "| docker, containerd store | 28.5.2 | yes |",
            "| podman | 5.4.2 | yes |"
        ]
    );
    let rest = Table::read(&text).without("docker").text();
    assert_eq!(rest.lines().skip(2).collect::<Vec<_>>(), rows[2..]);
}
