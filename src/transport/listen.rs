//! Sockets to listen on.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
/// How often a port that is free on both families is looked for.
const ATTEMPTS: usize = 16;

/// Listens on `port` of this machine alone: IPv4, and IPv6 where there is any.
/// Port 0 takes one that is free on both.
pub fn localhost(port: u16) -> io::Result<Vec<TcpListener>> {
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..if port == 0 { ATTEMPTS } else { 1 } {
        result = both_families(port);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn both_families(port: u16) -> io::Result<Vec<TcpListener>> {
    let v4 = bind((Ipv4Addr::LOCALHOST, port).into())?;
    let port = v4.local_addr()?.port();
    match bind((Ipv6Addr::LOCALHOST, port).into()) {
        Ok(v6) => Ok(vec![v4, v6]),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        // A machine without IPv6.
        Err(_) => Ok(vec![v4]),
    }
}

/// Listens on `port` of all addresses: on both families by one socket, where there is IPv6.
pub fn everywhere(port: u16) -> io::Result<Vec<TcpListener>> {
    let listener = match bind((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            bind((Ipv4Addr::UNSPECIFIED, port).into())
        }
        listener => listener,
    };
    Ok(vec![listener?])
}

/// Listens on each of `addresses`.
pub fn at(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    addresses.iter().map(|address| bind(*address)).collect()
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(v6) => {
            let socket = TcpSocket::new_v6()?;
            // Whatever the system's default is: all addresses mean both families, others only themselves.
            rustix::net::sockopt::set_ipv6_v6only(&socket, !v6.ip().is_unspecified())?;
            socket
        }
    };
    // A server that is started again must not wait for its old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
