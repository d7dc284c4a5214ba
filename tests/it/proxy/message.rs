//! The heads of messages in HTTP/1.1, as the bytes that they are.

use std::io::{self, BufRead, Read as _};

/// No head is longer.
const LIMIT: u64 = 256 * 1024;

/// The head of a request or of an answer, with the empty line at its end.
pub(super) struct Head(String);

impl Head {
    /// Reads one; `None` where the connection ends before it begins.
    pub(super) fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut head = String::new();
        let mut stream = stream.take(LIMIT);
        loop {
            let count = stream.read_line(&mut head)?;
            if count == 0 && head.is_empty() {
                return Ok(None);
            }
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if head.ends_with("\r\n\r\n") {
                return Ok(Some(Self(head)));
            }
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The first word of a request.
    pub(super) fn method(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    /// The second word of a request.
    pub(super) fn path(&self) -> &str {
        self.0.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of the first header of that name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }

    /// The same without the headers of that name.
    pub(super) fn without(&self, name: &str) -> Vec<u8> {
        let is_other = |line: &&str| {
            line.split_once(':')
                .is_none_or(|(key, _)| !key.eq_ignore_ascii_case(name))
        };
        let kept: String = self.0.split_inclusive("\r\n").filter(is_other).collect();
        kept.into_bytes()
    }

    /// The same with a header at its end.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let lines = self.0.strip_suffix("\r\n").unwrap_or(&self.0);
        Self(format!("{lines}{name}: {value}\r\n\r\n"))
    }

    /// How many bytes of body follow this head of an answer to `method`. The server always tells a length.
    pub(super) fn length_of_body(&self, method: &str) -> u64 {
        let status = self.path();
        if method == "HEAD" || status == "204" || status == "304" {
            return 0;
        }
        let length = self.header("content-length");
        length.and_then(|length| length.parse().ok()).unwrap_or(0)
    }

    /// Whether the sender wants the connection to end after this exchange.
    pub(super) fn is_last(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// An answer that ends the connection; `status` is a number and its phrase.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut lines = vec![format!("HTTP/1.1 {status}")];
    lines.extend(
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    );
    lines.push(format!("Content-Length: {}", body.len()));
    lines.push("Connection: close".to_owned());
    format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
}
