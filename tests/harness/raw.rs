//! A client that sends any bytes: no well-behaved library can send bad framing.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::soon;

pub struct Raw {
    pub tcp: TcpStream,
    read: Vec<u8>,
}

/// An answer as it stood on the wire.
#[derive(Debug, Clone)]
pub struct Said {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Said {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(soon("connect", TcpStream::connect(address)).await.unwrap())
    }

    /// Over a connection that there is.
    pub fn over(tcp: TcpStream) -> Self {
        Self { tcp, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("send", self.tcp.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends what the other side may not want any more.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        soon("send", self.tcp.write_all(bytes.as_ref())).await
    }

    /// One answer; its body by its length, its chunks, or its end.
    pub async fn answer(&mut self) -> Said {
        let end = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.more("an answer's head").await > 0, "closed before an answer: {:?}", self.shown());
        };
        let head = String::from_utf8(self.read[..end].to_vec()).unwrap();
        self.read.drain(..end);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut said = Said { status, head, body: Vec::new() };
        if status < 200 || status == 204 || status == 304 {
            return said;
        }
        if let Some(length) = said.header("content-length") {
            let length: usize = length.parse().unwrap();
            while self.read.len() < length {
                assert!(self.more("an answer's body").await > 0, "closed within a body");
            }
            said.body = self.read.drain(..length).collect();
        } else if said.header("transfer-encoding").is_some() {
            loop {
                while find(&self.read, b"\r\n").is_none() {
                    assert!(self.more("a chunk").await > 0, "closed within the chunks");
                }
                let end = find(&self.read, b"\r\n").unwrap();
                let size = usize::from_str_radix(std::str::from_utf8(&self.read[..end]).unwrap(), 16).unwrap();
                while self.read.len() < end + 2 + size + 2 {
                    assert!(self.more("a chunk").await > 0, "closed within a chunk");
                }
                said.body.extend_from_slice(&self.read[end + 2..end + 2 + size]);
                self.read.drain(..end + 2 + size + 2);
                if size == 0 {
                    break;
                }
            }
        } else {
            said.body = self.rest().await;
        }
        said
    }

    async fn more(&mut self, what: &str) -> usize {
        let mut chunk = vec![0; 65536];
        let came = soon(what, self.tcp.read(&mut chunk)).await.unwrap_or(0);
        self.read.extend_from_slice(&chunk[..came]);
        came
    }

    /// Everything until the connection ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more("the end of the connection").await > 0 {}
        std::mem::take(&mut self.read)
    }

    /// Asserts that the other side closes without another byte.
    pub async fn is_closed(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "more came: {:?}", String::from_utf8_lossy(&rest));
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
