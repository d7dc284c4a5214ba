//! Listening where the user says, and telling how to reach that.

use std::io::ErrorKind;
use std::net::ToSocketAddrs;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::config::Listen;
use crate::transport::listen;

/// Listens where the user says, and gives the address to tell people.
pub(super) fn bind(listen: &[Listen]) -> anyhow::Result<(Vec<TcpListener>, String)> {
    let mut listeners = Vec::new();
    let mut address = None;
    for at in listen {
        let bound = match at {
            Listen::Localhost(port) => listen::localhost(*port),
            Listen::Everywhere(port) => listen::everywhere(*port),
            Listen::Host(host, port) => {
                resolve(host, *port).and_then(|addresses| listen::at(&addresses))
            }
        };
        let bound = bound.map_err(|error| {
            let advice = bind_advice(at, error.kind());
            anyhow::Error::new(error).context(advice)
        })?;
        if let Some(first) = bound.first().filter(|_| address.is_none()) {
            let port = first.local_addr().context("cannot tell the port")?.port();
            address = Some(format!("{}:{port}", name_and_port(at).0));
        }
        listeners.extend(bound);
    }
    Ok((listeners, address.unwrap_or_default()))
}

/// What cannot be done, and what to do about it.
fn bind_advice(listen: &Listen, error: ErrorKind) -> String {
    let (name, port) = name_and_port(listen);
    let advice = match error {
        ErrorKind::AddrInUse => format!("the port is taken; choose another port, as in `--listen {}`", port.saturating_add(1)),
        ErrorKind::PermissionDenied => "this user may not take the port; choose one above 1023".to_owned(),
        _ => "the address is not one of this machine's; leave it out to listen on all, as in `--listen :8080`".to_owned(),
    };
    format!("cannot listen on {name}:{port}: {advice}")
}

fn resolve(host: &str, port: u16) -> std::io::Result<Vec<std::net::SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// The name by which this machine reaches what listens there.
fn name_and_port(listen: &Listen) -> (String, u16) {
    match listen {
        Listen::Localhost(port) | Listen::Everywhere(port) => ("localhost".to_owned(), *port),
        Listen::Host(host, port) if host.contains(':') => (format!("[{host}]"), *port),
        Listen::Host(host, port) => (host.clone(), *port),
    }
}

pub(super) fn address_line(listen: &[Listen], address: &str, listeners: usize) -> String {
    let port = address.rsplit(':').next().unwrap_or_default();
    let reach = match listen.first() {
        Some(Listen::Localhost(_)) if listen.len() == 1 => {
            let family = if listeners == 1 {
                ", 127.0.0.1 alone because it has no IPv6"
            } else {
                ""
            };
            format!(" (this machine only{family}; for others: --listen :{port})")
        }
        Some(Listen::Everywhere(_)) => " (all addresses)".to_owned(),
        _ => String::new(),
    };
    format!("Listening on http://{address}{reach}")
}
