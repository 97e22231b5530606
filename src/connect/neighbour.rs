//! Whose program is at the other end of a loopback connection?
//!
//! Linux lists every TCP socket of this network namespace with the user that it belongs to (`proc(5)`, `/proc/net/tcp`). The
//! client's own end stands there with our end as its peer. It must be of our own user, or of root, who could read our memory
//! anyway. A socket that its program has closed already (it has no inode) is nobody's: who sent and closed at once is refused.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;

/// More than any machine that a person works on has.
const MOST: u64 = 64 * 1024 * 1024;

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// Our own user, or root.
    Ours,
    /// Somebody else.
    Stranger(u32),
    /// Not in the list, or there is no list.
    Unknown,
}

/// The user that we run as, as this namespace calls it.
pub(super) fn own_user() -> io::Result<u32> {
    std::fs::metadata("/proc/self").map(|metadata| metadata.uid())
}

/// Whether this system tells at all: tried with a connection of our own. Sandboxes have lists without a line.
pub(super) fn is_told(near: IpAddr, user: u32) -> bool {
    let tried = || -> io::Result<Neighbour> {
        let listener = TcpListener::bind((near, 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        Ok(of(client.local_addr()?, client.peer_addr()?, user))
    };
    tried().is_ok_and(|found| found == Neighbour::Ours)
}

/// Looks up the program whose end is `client`, connected to our end `own`.
pub(super) fn of(client: SocketAddr, own: SocketAddr, user: u32) -> Neighbour {
    // A socket for both families is in the list of IPv6, whatever it is connected to.
    for list in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(text) = read(list) else { continue };
        if let Some(found) = owner(&text, client, own) {
            return if found == user || found == 0 { Neighbour::Ours } else { Neighbour::Stranger(found) };
        }
    }
    Neighbour::Unknown
}

fn read(list: &str) -> io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(list)?.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...`
fn owner(list: &str, client: SocketAddr, own: SocketAddr) -> Option<u32> {
    list.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, remote) = (fields.next()?, fields.next()?);
        if endpoint(local)? != bare(client) || endpoint(remote)? != bare(own) {
            return None;
        }
        let user = fields.nth(4)?.parse().ok()?;
        let inode: u64 = fields.nth(1)?.parse().ok()?;
        (inode != 0).then_some(user)
    })
}

/// An address in hexadecimal, each 32 bits in the machine's own order, and the port.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (part, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                part.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some((address, port))
}

fn bare(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Lines as Linux 6.1 writes them on x86-64.
    const LIST: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 54321 1 0000000000000000 100 0 0 10 0\n\
   1: 0100007F:C350 0100007F:1388 01 00000000:00000000 00:00000000 00000000  1001        0 54400 1 0000000000000000 20 4 30 10 -1\n\
   2: 0100007F:1388 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 54401 1 0000000000000000 20 4 30 10 -1\n\
   3: 0100007F:C351 0100007F:1388 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0000000000000000 20 4 30 10 -1\n\
   4: 0100007F:C352 0100007F:1388 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0000000000000000\n";
    const LIST6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
   0: 00000000000000000000000001000000:C353 00000000000000000000000001000000:1388 01 00000000:00000000 00:00000000 00000000  1002        0 54402 1 0000000000000000 20 4 30 10 -1\n\
   1: 0000000000000000FFFF00000100007F:C354 0000000000000000FFFF00000100007F:1388 01 00000000:00000000 00:00000000 00000000  1003        0 54403 1 0000000000000000 20 4 30 10 -1\n";

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_clients_own_end_tells_whose_it_is() {
        let own = address("127.0.0.1:5000");
        let found = |port: u16| owner(LIST, address(&format!("127.0.0.1:{port}")), own);
        assert_eq!(found(0xC350), Some(1001), "not our own end of the same connection");
        assert_eq!(found(0xC351), None, "closed by its program: the list says root");
        assert_eq!(found(0xC352), None, "in TIME_WAIT: the list says root");
        assert_eq!(found(0xC355), None);
        assert_eq!(owner(LIST6, address("[::1]:50003"), address("[::1]:5000")), Some(1002));
        assert_eq!(owner(LIST6, address("127.0.0.1:50004"), own), Some(1003), "a socket for both families");
        for broken in ["", "x\n", "x\n0: zz", "x\n0: 0100007F:C350 0100007F:1388 01", "x\n0: é:1 é:2 3 4 5 6 7 8 9"] {
            assert_eq!(owner(broken, address("127.0.0.1:50000"), own), None);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn our_own_connections_are_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(own).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        let user = own_user().unwrap();
        assert!(is_told("127.0.0.1".parse().unwrap(), user) && is_told("::1".parse().unwrap(), user));
        assert_eq!(of(peer, accepted.local_addr().unwrap(), user), Neighbour::Ours);
        if user != 0 {
            assert_eq!(of(peer, accepted.local_addr().unwrap(), user + 1), Neighbour::Stranger(user));
        }
        drop(client);
        assert_eq!(of(peer, accepted.local_addr().unwrap(), user), Neighbour::Unknown, "sent and closed");
    }
}
