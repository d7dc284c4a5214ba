//! Operations: whether the process lives, and whether it can answer.

use http::{Method, StatusCode, request};

use super::{Reply, text};

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

    pub(super) fn answer(self, is_ready: bool) -> Reply {
        match self {
            Self::Health => text(StatusCode::OK, "ok"),
            Self::Ready if is_ready => text(StatusCode::OK, "ready"),
            Self::Ready => super::unavailable("the archives are being read"),
        }
    }
}
