//! Listening sockets, one per worker, on the same address.
//!
//! Called at start and when a worker lost its socket. Always true: their connections hold little that a slow client
//! has not taken.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4_096;
/// Bytes that the system buffers for a client beyond what is on the way to it. The default is megabytes, for which
/// nothing accounts while a client is slow.
#[cfg(target_os = "linux")]
const UNSENT_MAX: u32 = 128 << 10;

/// Binds `count` listeners to `address`. With port 0 the first one finds the port for all.
///
/// # Errors
/// What the operating system says; the address in use is told apart by its kind.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    if count == 1 {
        return Ok(vec![open(address, Port::Alone)?]);
    }
    // Sharing a port hides that another process has it; a first bind without sharing finds out.
    drop(open(address, Port::Alone)?);
    let first = open(address, Port::Shared)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..count {
        all.push(open(address, Port::Shared)?);
    }
    Ok(all)
}

/// One of `count` listeners of `address` again, after it was closed.
///
/// # Errors
/// What the operating system says.
pub(crate) fn again(address: SocketAddr, count: usize) -> io::Result<TcpListener> {
    open(address, if count > 1 { Port::Shared } else { Port::Alone })
}

/// Who listens at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    /// This listener only.
    Alone,
    /// Other listeners of this process too.
    Shared,
}

fn open(address: SocketAddr, port: Port) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    match port {
        Port::Alone => {}
        Port::Shared => socket.set_reuse_port(true)?,
    }
    #[cfg(target_os = "linux")]
    // Accepted connections inherit it.
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// How much a connection takes from the gateway while its client reads nothing.
    fn taken(listener: &TcpListener) -> usize {
        let address = listener.local_addr().unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_recv_buffer_size(16 << 10).unwrap();
        client.connect(&address.into()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (mut connection, _) = listener.accept().unwrap();
        connection.set_nonblocking(true).unwrap();
        let mut taken = 0;
        while let Ok(count) = connection.write(&[0; 4 << 10]) {
            taken += count;
        }
        taken
    }

    #[test]
    fn a_client_that_reads_nothing_fills_no_large_buffer() {
        let bounded = taken(&bind("127.0.0.1:0".parse().unwrap(), 1).unwrap()[0]);
        let default = taken(&TcpListener::bind("127.0.0.1:0").unwrap());
        assert!(bounded <= 2 * UNSENT_MAX as usize, "{bounded}");
        assert!(bounded < default, "{bounded} of {default}");
    }
}
