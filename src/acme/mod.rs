//! Where do certificates come from that nobody hands us?
//!
//! From a certificate authority that speaks ACME (RFC 8555). This room keeps an account there, has the names proven by one of
//! two challenges, keeps what it is given on the disk, and asks again long before the end. The door (`serve`) shows what lies
//! on the [`Desk`]: the certificate in use, and the answers to challenges that are under way. What is not on the desk is
//! answered to nobody.
//!
//! The rules it keeps:
//! - An authority is asked seldom: what is kept is used, what was begun is finished, every failure makes the next attempt
//!   later, over restarts too, and `Retry-After` is obeyed.
//! - A certificate in use is given up only for a better one. Until there is a first one, TLS handshakes are refused: a
//!   stop-gap that nobody vouches for would teach people to click warnings away.
//! - Nothing is ordered that could not be kept.

mod desk;
mod fault;
mod keeper;
mod look;
mod order;
mod plan;
mod settings;
mod shelf;
mod speak;

pub use desk::{ACME_TLS, Desk, Proofs};
pub use fault::Fault;
pub use keeper::{Keeper, OpenFault};
pub use look::{Kept, Seen, Unseen, kept, look};
pub use settings::{Binding, Challenge, LETS_ENCRYPT, Pace, Settings};
