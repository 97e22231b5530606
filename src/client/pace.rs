//! When may a program ask again whether somebody has typed its code?
//!
//! RFC 8628 section 3.5, as a machine of its own: it is told the time and what the server said, and says what comes next.

use std::time::Duration;

use super::fault::ClientFault;
use super::oauth::{Said, Tokens};

/// Where a server names no interval.
const USUAL: Duration = Duration::from_secs(5);
/// What `slow_down` adds.
const SLOWER: Duration = Duration::from_secs(5);
const SLOWEST: Duration = Duration::from_mins(1);
const FASTEST: Duration = Duration::from_millis(200);

/// How often to ask, and until when.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// Since the beginning.
    end: Duration,
}

/// What comes next.
pub(super) enum Next {
    /// Ask again after so long.
    After(Duration),
    /// Somebody agreed.
    Given(Tokens),
    /// Somebody said no.
    Declined(String),
    /// Nobody typed it in time.
    TooLate,
    /// It makes no sense to go on.
    Failed(ClientFault),
}

impl Pace {
    pub(super) fn new(interval: Option<u64>, expires_in: u64) -> Self {
        let interval = interval.map_or(USUAL, Duration::from_secs).clamp(FASTEST, SLOWEST);
        Self { interval, end: Duration::from_secs(expires_in.min(3600)) }
    }

    /// How long the first wait is: nobody types so fast.
    pub(super) fn first(&self) -> Duration {
        self.interval
    }

    /// What follows from what the server said, so long after the beginning.
    pub(super) fn next(&mut self, said: Result<Said, ClientFault>, since: Duration) -> Next {
        match said {
            Ok(Said::Given(tokens)) => return Next::Given(tokens),
            Ok(Said::Refused { error, words }) => match error.as_str() {
                "authorization_pending" => {}
                "slow_down" => self.slower(self.interval + SLOWER),
                "expired_token" => return Next::TooLate,
                // `access_denied`, and what else there may be.
                _ => return Next::Declined(words),
            },
            // "on encountering a connection timeout, clients MUST unilaterally reduce their polling frequency".
            Err(ClientFault::Unreachable { .. }) => self.slower(self.interval * 2),
            Err(fault) => return Next::Failed(fault),
        }
        if since + self.interval >= self.end { Next::TooLate } else { Next::After(self.interval) }
    }

    fn slower(&mut self, interval: Duration) {
        self.interval = interval.min(SLOWEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::server::Server;
    use crate::fetch::FetchFault;

    fn refused(error: &str) -> Said {
        Said::Refused { error: error.to_owned(), words: error.to_owned() }
    }

    fn away() -> Result<Said, ClientFault> {
        let server = Server::parse("https://mlflow.example.com").unwrap();
        Err(ClientFault::Unreachable { server, fault: FetchFault::TimedOut })
    }

    fn wait(next: &Next) -> Option<u64> {
        match next {
            Next::After(wait) => Some(wait.as_secs()),
            _ => None,
        }
    }

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn it_asks_as_often_as_the_server_allows_and_no_oftener() {
        let mut pace = Pace::new(None, 600);
        assert_eq!(pace.first(), Duration::from_secs(5), "RFC 8628 section 3.2: 5 where there is none");
        assert_eq!(wait(&pace.next(Ok(refused("authorization_pending")), NOW)), Some(5));
        assert_eq!(wait(&pace.next(Ok(refused("slow_down")), NOW)), Some(10));
        assert_eq!(wait(&pace.next(Ok(refused("authorization_pending")), NOW)), Some(10), "and stays so");
        assert_eq!(wait(&pace.next(away(), NOW)), Some(20), "a broken way slows it down too");
        for _ in 0..10 {
            assert!(wait(&pace.next(Ok(refused("slow_down")), NOW)).unwrap() <= 60);
        }
        assert!(Pace::new(Some(0), 600).first() > Duration::ZERO);
        assert_eq!(Pace::new(Some(u64::MAX), u64::MAX).first(), Duration::from_mins(1));
    }

    #[test]
    fn it_ends_with_the_code_or_when_somebody_says_no() {
        let late = Duration::from_secs(596);
        let mut pace = Pace::new(Some(5), 600);
        assert!(matches!(pace.next(Ok(refused("authorization_pending")), late), Next::TooLate));
        assert!(matches!(pace.next(away(), late), Next::TooLate));
        assert!(matches!(pace.next(Ok(refused("expired_token")), NOW), Next::TooLate));
        assert!(matches!(pace.next(Ok(refused("access_denied")), NOW), Next::Declined(_)));
        assert!(matches!(pace.next(Ok(refused("invalid_grant")), NOW), Next::Declined(_)));
        let strange = ClientFault::NoRandomness;
        assert!(matches!(pace.next(Err(strange), NOW), Next::Failed(_)));
    }
}
