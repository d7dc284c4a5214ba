//! Recordings: what a client sends, and what it relies on in the answers.

/// What a client does for one purpose.
pub(super) struct Scenario<'t> {
    pub(super) title: &'t str,
    pub(super) exchanges: Vec<Exchange<'t>>,
}

/// A message, and what is to come back.
#[derive(Default)]
pub(super) struct Exchange<'t> {
    /// A record of TLS instead of a request.
    pub(super) hello: Vec<u8>,
    pub(super) lines: Vec<Line<'t>>,
    /// The word for the bytes that follow the head.
    pub(super) body: Option<&'t str>,
    pub(super) answer: Answer<'t>,
}

/// One line of a request's head.
pub(super) struct Line<'t> {
    pub(super) text: &'t str,
    /// Whether the answer depends on it.
    pub(super) counts: bool,
}

/// What the client relies on.
#[derive(Default)]
pub(super) struct Answer<'t> {
    pub(super) status: &'t str,
    pub(super) headers: Vec<(&'t str, &'t str)>,
    pub(super) content: Option<&'t str>,
    pub(super) error: Option<&'t str>,
}

/// Reads a recording; the marks are explained in the module above.
///
/// # Panics
///
/// If a line has no mark.
pub(super) fn scenarios(text: &str) -> Vec<Scenario<'_>> {
    let text = text.trim_start_matches(|c| c != '\n');
    let parts = text.split("\n## ").skip(1);
    parts.map(scenario).collect()
}

fn scenario(text: &str) -> Scenario<'_> {
    let (title, rest) = text.split_once('\n').expect("a title");
    let exchanges = rest.split("\n\n").map(str::trim);
    Scenario {
        title,
        exchanges: exchanges
            .filter(|lines| !lines.is_empty())
            .map(exchange)
            .collect(),
    }
}

fn exchange(lines: &str) -> Exchange<'_> {
    let mut exchange = Exchange::default();
    for line in lines.lines() {
        let (mark, text) = line.split_once(' ').expect("a mark");
        match mark {
            "~" => exchange.hello.extend(bytes(text)),
            ">" | "." => exchange.lines.push(Line {
                text,
                counts: mark == ">",
            }),
            "+" => exchange.body = Some(text),
            "<" => match text.split_once(": ") {
                Some(header) => exchange.answer.headers.push(header),
                None => exchange.answer.status = text,
            },
            "=" => exchange.answer.content = Some(text),
            "!" => exchange.answer.error = Some(text),
            _ => panic!("`{line}` has no mark"),
        }
    }
    exchange
}

fn bytes(hex: &str) -> impl Iterator<Item = u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| {
        let digits = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(digits, 16).expect("digits")
    })
}
