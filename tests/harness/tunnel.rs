//! A company's proxy: it opens tunnels to whatever name it is asked for, all of which lead to this machine.

use std::io::{BufRead as _, BufReader, Write as _, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

pub struct Proxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Proxy {
    /// Whoever does not show `credential` in `Proxy-Authorization` is refused, where there is one.
    pub fn new(credential: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        thread::spawn(move || {
            for client in listener.incoming() {
                let told = Arc::clone(&told);
                thread::spawn(move || serve(client.unwrap(), credential, &told));
            }
        });
        Self { address, asked }
    }

    /// The heads of all requests, line by line.
    pub fn asked(&self) -> Vec<Vec<String>> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, credential: Option<&str>, asked: &Mutex<Vec<Vec<String>>>) {
    // One byte at a time: what follows the head is not the proxy's.
    let head = BufReader::with_capacity(1, client.try_clone().unwrap());
    let head: Vec<String> = head.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    asked.lock().unwrap().push(head.clone());
    let shown = |wanted: &str| head.iter().any(|line| *line == format!("Proxy-Authorization: {wanted}"));
    if credential.is_some_and(|wanted| !shown(wanted)) {
        let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
        return;
    }
    let port = head[0].strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()?.rsplit_once(':'));
    let mut server = TcpStream::connect(("127.0.0.1", port.unwrap().1.parse::<u16>().unwrap())).unwrap();
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let back = thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Write);
    let _ = back.join();
}
