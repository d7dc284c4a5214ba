//! Operations: whether the process lives, and whether it can answer.

use std::path::Path;

use http::{Method, StatusCode, request};

use super::{Reply, text};
use crate::catalog::{Printable, Snapshot};

/// A question of whoever runs the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Probe {
    /// `/healthz`
    Health,
    /// `/readyz`
    Ready,
}

impl Probe {
    pub(super) fn of(head: &request::Parts) -> Option<Self> {
        if head.method != Method::GET && head.method != Method::HEAD {
            return None;
        }
        match head.uri.path() {
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Ready),
            _ => None,
        }
    }

    pub(super) fn answer(self, snapshot: Option<&Snapshot>) -> Reply {
        match (self, snapshot) {
            (Self::Health, _) => text(StatusCode::OK, "ok"),
            (Self::Ready, None) => super::unavailable(super::READING),
            (Self::Ready, Some(snapshot)) => match snapshot.lost().first() {
                Some(root) => super::unavailable(&lost(root)),
                None => text(StatusCode::OK, &ready(snapshot.pending())),
            },
        }
    }
}

/// Images whose layers have to be hashed first do not keep the others waiting.
fn ready(pending: usize) -> String {
    match pending {
        0 => "ready".to_owned(),
        1 => "ready, but for 1 layer that has to be hashed first".to_owned(),
        _ => format!("ready, but for {pending} layers that have to be hashed first"),
    }
}

/// What was in it is listed, and cannot be sent.
fn lost(root: &Path) -> String {
    format!(
        "{} has gone, or does not answer; mount or restore it",
        Printable(&root.to_string_lossy())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pending_is_told() {
        assert_eq!(ready(0), "ready");
        assert!(ready(1).contains("1 layer that"));
        assert!(ready(2).contains("2 layers that"));
    }
}
