//! Listening sockets, one per worker, on the same address.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4_096;

/// Binds `count` listeners to `address`. With port 0 the first one finds the port for all.
///
/// # Errors
/// What the operating system says; the address in use is told apart by its kind.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    if count == 1 {
        return Ok(vec![open(address, false)?]);
    }
    // Sharing a port hides that another process has it; a first bind without sharing finds out.
    drop(open(address, false)?);
    let first = open(address, true)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..count {
        all.push(open(address, true)?);
    }
    Ok(all)
}

/// One of `count` listeners of `address` again, after it was closed.
///
/// # Errors
/// What the operating system says.
pub(crate) fn again(address: SocketAddr, count: usize) -> io::Result<TcpListener> {
    open(address, count > 1)
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
