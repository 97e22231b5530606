//! Which listening sockets does the service manager hand over?
//!
//! Socket activation as in `sd_listen_fds(3)`: the manager holds the sockets, so that connections wait in the kernel
//! while the gate restarts, and the gate needs no right to bind low ports. A socket is told by its name
//! (`FileDescriptorName=`): `https`, `plain`, `redirect`, `monitor`; one with another name by its address. What is
//! handed over must be what the configuration says: a port that nobody answers would leave clients waiting for ever.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use listenfd::ListenFd;
use socket2::SockRef;

/// The names that doors have, as in the configuration's `listen`.
const NAMES: [&str; 4] = ["https", "plain", "redirect", "monitor"];
/// More sockets than any gate has a use for.
const MOST: usize = 16;

/// Why the sockets that were handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PassedFault {
    /// A variable of the protocol cannot be read.
    #[error("the environment variable {variable} is not what a service manager sets: {why}")]
    BadVariable {
        /// Which.
        variable: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// No socket, or none that listens.
    #[error("the service manager hands over `{name}`, which is no listening TCP socket: {why}")]
    NoListener {
        /// Its name.
        name: String,
        /// Why not.
        why: io::Error,
    },
    /// The configuration says another address.
    #[error(
        "the service manager hands over `{name}` at {passed}, but `listen.{name}` is {wanted}: let them agree \
         (`systemctl edit` the socket unit, or change the configuration)"
    )]
    Disagrees {
        /// Its name.
        name: &'static str,
        /// Where it is.
        passed: SocketAddr,
        /// Where it should be.
        wanted: SocketAddr,
    },
    /// Nobody would answer there.
    #[error(
        "the service manager hands over the socket `{name}` at {address}, but the configuration has no such `listen` \
         address: add it, or disable the socket unit"
    )]
    Unwanted {
        /// Its name.
        name: String,
        /// Where it is.
        address: SocketAddr,
    },
    /// Two of one name.
    #[error("the service manager hands over two sockets named `{0}`")]
    Twice(String),
}

/// Sockets that were handed over and not yet taken. A clone is the same.
#[derive(Clone, Default)]
pub struct Passed(Arc<Mutex<Vec<Given>>>);

#[derive(Debug)]
struct Given {
    name: String,
    address: SocketAddr,
    listener: TcpListener,
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter().map(|given| (given.name.clone(), given.address))).finish()
    }
}

impl Passed {
    /// What this process was handed; nothing where no service manager hands over anything, or to another process. To be
    /// called once, before there are threads: it takes the variables out of the environment.
    ///
    /// # Errors
    /// See [`PassedFault`].
    pub fn from_environment() -> Result<Self, PassedFault> {
        let names = names(std::process::id(), |variable| env::var_os(variable))?;
        if names.is_empty() {
            return Ok(Self::default());
        }
        let mut descriptors = ListenFd::from_env();
        let mut given = Vec::new();
        for (number, name) in names.into_iter().enumerate() {
            let listener = match descriptors.take_tcp_listener(number) {
                Ok(Some(listener)) => listener,
                Ok(None) => return Err(PassedFault::NoListener { name, why: io::ErrorKind::NotFound.into() }),
                Err(why) => return Err(PassedFault::NoListener { name, why }),
            };
            given.push(Given::new(name, listener)?);
        }
        Ok(Self(Arc::new(Mutex::new(given))))
    }

    /// Hands over one socket, for programs that hold it themselves.
    ///
    /// # Errors
    /// [`PassedFault::NoListener`].
    pub fn add(&self, name: &str, listener: TcpListener) -> Result<(), PassedFault> {
        let given = Given::new(name.to_owned(), listener)?;
        self.lock().push(given);
        Ok(())
    }

    /// Takes the socket of a door that is to listen at `wanted`, if it was handed over.
    ///
    /// # Errors
    /// [`PassedFault::Disagrees`], [`PassedFault::Twice`].
    pub fn take(&self, name: &'static str, wanted: SocketAddr) -> Result<Option<TcpListener>, PassedFault> {
        let mut given = self.lock();
        let named: Vec<usize> =
            given.iter().enumerate().filter(|(_, given)| given.name == name).map(|(at, _)| at).collect();
        let at = match named[..] {
            [] => given.iter().position(|given| !given.is_named() && agree(given.address, wanted)),
            [at] => Some(at),
            _ => return Err(PassedFault::Twice(name.to_owned())),
        };
        let Some(at) = at else { return Ok(None) };
        let taken = given.remove(at);
        if !agree(taken.address, wanted) {
            return Err(PassedFault::Disagrees { name, passed: taken.address, wanted });
        }
        if taken.address != wanted {
            tracing::warn!(passed = %taken.address, configured = %wanted, "listen.{name} is every address; the socket's counts");
        }
        Ok(Some(taken.listener))
    }

    /// Whether nothing is left that nobody took.
    ///
    /// # Errors
    /// [`PassedFault::Unwanted`].
    pub fn is_used_up(&self) -> Result<(), PassedFault> {
        match self.lock().first() {
            None => Ok(()),
            Some(given) => Err(PassedFault::Unwanted { name: given.name.clone(), address: given.address }),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Given>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Given {
    fn new(name: String, listener: TcpListener) -> Result<Self, PassedFault> {
        let looked = || {
            if !SockRef::from(&listener).is_listener()? {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
            }
            listener.set_nonblocking(true)?;
            listener.local_addr()
        };
        match looked() {
            Ok(address) => Ok(Self { name, address, listener }),
            Err(why) => Err(PassedFault::NoListener { name, why }),
        }
    }

    fn is_named(&self) -> bool {
        NAMES.contains(&self.name.as_str())
    }
}

/// The same listening socket for each worker: the kernel's queue is one, whoever comes first takes from it.
pub(super) fn shared(listener: TcpListener, workers: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let bound = listener.local_addr()?;
    let mut listeners = Vec::with_capacity(workers);
    for _ in 1..workers {
        listeners.push(listener.try_clone()?);
    }
    listeners.push(listener);
    Ok((bound, listeners))
}

/// Whether one is where the other should be; `0.0.0.0` and `[::]` both are every address.
fn agree(passed: SocketAddr, wanted: SocketAddr) -> bool {
    let (one, other) = (passed.ip().to_canonical(), wanted.ip().to_canonical());
    passed.port() == wanted.port() && (one == other || (one.is_unspecified() && other.is_unspecified()))
}

/// The names of the sockets that are for the process `own`, by the protocol's variables.
fn names(own: u32, variable: impl Fn(&str) -> Option<OsString>) -> Result<Vec<String>, PassedFault> {
    fn number<T: std::str::FromStr>(variable: &'static str, value: &OsString) -> Result<T, PassedFault> {
        let number = value.to_str().and_then(|value| value.parse().ok());
        number.ok_or_else(|| PassedFault::BadVariable { variable, why: format!("{} is no number", value.display()) })
    }
    let Some(process) = variable("LISTEN_PID") else { return Ok(Vec::new()) };
    let process: u32 = number("LISTEN_PID", &process)?;
    if process != own {
        // Left over from whoever started the process that started us: not meant for us.
        return Ok(Vec::new());
    }
    let Some(count) = variable("LISTEN_FDS") else { return Ok(Vec::new()) };
    let count: usize = number("LISTEN_FDS", &count)?;
    if count > MOST {
        let why = format!("{count} sockets are more than there are doors");
        return Err(PassedFault::BadVariable { variable: "LISTEN_FDS", why });
    }
    if variable("LISTEN_FDS_FIRST_FD").is_some() {
        let why = "it is no part of the protocol".to_owned();
        return Err(PassedFault::BadVariable { variable: "LISTEN_FDS_FIRST_FD", why });
    }
    let names: Vec<String> = match variable("LISTEN_FDNAMES") {
        None => vec!["unknown".to_owned(); count],
        // `:` stands between names and in none of them.
        Some(names) => names.to_string_lossy().split(':').map(str::to_owned).collect(),
    };
    if count > 0 && names.len() != count {
        let why = format!("it names {} sockets, LISTEN_FDS says {count}", names.len());
        return Err(PassedFault::BadVariable { variable: "LISTEN_FDNAMES", why });
    }
    Ok(if count == 0 { Vec::new() } else { names })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Vec<String>, PassedFault> {
        names(7, |wanted| variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.into()))
    }

    fn here() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[test]
    fn sockets_for_another_process_are_not_ours() {
        assert!(read(&[("LISTEN_FDS", "1")]).unwrap().is_empty());
        assert!(read(&[("LISTEN_PID", "8"), ("LISTEN_FDS", "1")]).unwrap().is_empty());
        assert!(read(&[("LISTEN_PID", "8"), ("LISTEN_FDS", "rubbish")]).unwrap().is_empty());
        assert!(read(&[("LISTEN_PID", "7")]).unwrap().is_empty());
        assert!(read(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "0"), ("LISTEN_FDNAMES", "")]).unwrap().is_empty());
    }

    #[test]
    fn garbage_in_the_variables_is_a_fault_and_never_a_guess() {
        for variables in [
            &[("LISTEN_PID", "seven"), ("LISTEN_FDS", "1")][..],
            &[("LISTEN_PID", ""), ("LISTEN_FDS", "1")],
            &[("LISTEN_PID", "7"), ("LISTEN_FDS", "")],
            &[("LISTEN_PID", "7"), ("LISTEN_FDS", "-1")],
            &[("LISTEN_PID", "7"), ("LISTEN_FDS", "one")],
            &[("LISTEN_PID", "7"), ("LISTEN_FDS", "1 ")],
            &[("LISTEN_PID", "7"), ("LISTEN_FDS", "4294967295")],
            &[("LISTEN_PID", "7"), ("LISTEN_FDS", "99999999999999999999999")],
            &[("LISTEN_PID", "7"), ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "https")],
            &[("LISTEN_PID", "7"), ("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "https:redirect")],
            &[("LISTEN_PID", "7"), ("LISTEN_FDS", "1"), ("LISTEN_FDS_FIRST_FD", "5")],
        ] {
            assert!(matches!(read(variables), Err(PassedFault::BadVariable { .. })), "{variables:?}");
        }
        let both = [("LISTEN_PID", "7"), ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "https:redirect")];
        assert_eq!(read(&both).unwrap(), ["https", "redirect"]);
        assert_eq!(read(&both[..2]).unwrap(), ["unknown", "unknown"]);
    }

    #[test]
    fn a_socket_is_taken_by_its_name_and_one_without_a_name_by_its_address() {
        let passed = Passed::default();
        let (named, at_named) = here();
        let (nameless, at_nameless) = here();
        passed.add("https", named).unwrap();
        passed.add("trackgate.socket", nameless).unwrap();
        assert!(passed.take("plain", "127.0.0.1:1".parse().unwrap()).unwrap().is_none());
        assert_eq!(passed.take("https", at_named).unwrap().unwrap().local_addr().unwrap(), at_named);
        assert!(passed.is_used_up().is_err());
        assert_eq!(passed.take("redirect", at_nameless).unwrap().unwrap().local_addr().unwrap(), at_nameless);
        passed.is_used_up().unwrap();
    }

    #[test]
    fn a_socket_elsewhere_than_configured_is_refused() {
        let passed = Passed::default();
        let (listener, address) = here();
        passed.add("https", listener).unwrap();
        let fault = passed.take("https", "127.0.0.1:443".parse().unwrap()).unwrap_err().to_string();
        assert!(fault.contains(&format!("`https` at {address}, but `listen.https` is 127.0.0.1:443")), "{fault}");
    }

    #[test]
    fn a_socket_that_nobody_takes_is_told_of() {
        let passed = Passed::default();
        passed.add("redirect", here().0).unwrap();
        let fault = passed.is_used_up().unwrap_err().to_string();
        assert!(fault.contains("`redirect`") && fault.contains("disable the socket unit"), "{fault}");
    }

    #[test]
    fn two_sockets_of_one_name_are_refused() {
        let passed = Passed::default();
        let (one, address) = here();
        passed.add("https", one).unwrap();
        passed.add("https", here().0).unwrap();
        assert!(matches!(passed.take("https", address), Err(PassedFault::Twice(_))));
    }

    #[test]
    fn what_does_not_listen_is_no_listener() {
        let (listener, address) = here();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (_accepted, _) = listener.accept().unwrap();
        let stream = TcpListener::from(std::os::fd::OwnedFd::from(client));
        assert!(matches!(Passed::default().add("https", stream), Err(PassedFault::NoListener { .. })));
    }

    #[test]
    fn every_address_is_every_address_and_else_each_byte_counts() {
        let agrees = |one: &str, other: &str| agree(one.parse().unwrap(), other.parse().unwrap());
        assert!(agrees("[::]:443", "0.0.0.0:443"));
        assert!(agrees("0.0.0.0:443", "[::]:443"));
        assert!(agrees("[::ffff:192.0.2.1]:443", "192.0.2.1:443"));
        assert!(!agrees("[::]:443", "[::]:8443"));
        assert!(!agrees("[::]:443", "127.0.0.1:443"), "wider than wished");
        assert!(!agrees("127.0.0.1:443", "[::]:443"));
    }
}
