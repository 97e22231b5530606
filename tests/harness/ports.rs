//! Which addresses may a program be told to listen on, that cannot listen on port 0 and say where it is?

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below what systems give to whoever connects (Linux: from 32768 on; RFC 6335: from 49152 on). A port from there that is free
/// now may belong to some client in the next moment.
const FROM: u32 = 10_000;
const COUNT: u32 = 22_000;

/// Addresses on the loopback where nobody listens. Tests of this process do not get the same ones.
pub fn free<const N: usize>() -> [SocketAddr; N] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mine = std::process::id().wrapping_mul(97);
    [(); N].map(|()| {
        (0..COUNT)
            .find_map(|_| {
                let port = FROM + mine.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
                TcpListener::bind(("127.0.0.1", port.try_into().ok()?)).ok()?.local_addr().ok()
            })
            .expect("a free port")
    })
}
