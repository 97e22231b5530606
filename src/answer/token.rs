//! How does a client carry a place in a filtered list?
//!
//! MLflow's own page tokens are offsets in base64: in a filtered list they would tell how many rows were hidden. Here a
//! client gets a [`Position`] as a sealed text instead ([`crate::seal`]), bound to the caller and to the query.
//!
//! Grants may change between two pages. A token tells of which [`View`] its upstream position is; in another view the
//! list goes on after as many visible rows as were given before, which is what an offset means in a list that changed
//! between two pages, and what MLflow itself does then. So a token never breaks because a grant came or went. MLflow's own
//! tokens are refused while a list is filtered: with a chosen offset one could count what is hidden.

use aws_lc_rs::digest::{Context, SHA256};

use super::page::Position;
use crate::seal::{Seal, SealError};

const PURPOSE: &str = "page of a list";
const MARK: usize = 16;
/// Plain texts are filled up to a multiple of this, so that not even the length of an offset shows.
const BLOCK: usize = 192;

/// A short digest.
pub(crate) type Mark = [u8; MARK];

/// Of which list the upstream's tokens tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// The whole list, as the caller asked for it.
    Whole,
    /// The list narrowed by this clause or these ids.
    Narrowed(Mark),
}

/// Digests parts, each with its length, so that no two lists of parts look alike.
pub(crate) fn mark<'a>(parts: impl IntoIterator<Item = &'a str>) -> Mark {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let digest = context.finish();
    let mut mark = [0; MARK];
    for (to, from) in mark.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    mark
}

/// Seals a position in the list that `query` asked for.
///
/// # Errors
/// [`SealError`] when the crypto library refuses.
pub(crate) fn seal(seal: &Seal, query: &Mark, view: View, position: &Position) -> Result<String, SealError> {
    let mut plain = Vec::with_capacity(2 * BLOCK);
    plain.extend_from_slice(query);
    let (narrowed, view) = match view {
        View::Whole => (0, [0; MARK]),
        View::Narrowed(mark) => (1, mark),
    };
    plain.push(narrowed);
    plain.extend_from_slice(&view);
    plain.extend_from_slice(&position.skip.to_be_bytes());
    plain.extend_from_slice(&position.discard.to_be_bytes());
    plain.extend_from_slice(&position.given.to_be_bytes());
    let page = position.page.as_deref();
    plain.push(u8::from(page.is_some()));
    let page = page.unwrap_or_default();
    plain.extend_from_slice(&(page.len() as u64).to_be_bytes());
    plain.extend_from_slice(page.as_bytes());
    plain.resize(plain.len().next_multiple_of(BLOCK), 0);
    seal.seal(PURPOSE, &plain)
}

/// Opens a token that was sealed for the same query of the same caller; `None` for any other text.
pub(crate) fn open(seal: &Seal, query: &Mark, text: &str) -> Option<(View, Position)> {
    let plain = seal.open(PURPOSE, text)?;
    let rest = plain.strip_prefix(query)?;
    let (narrowed, rest) = rest.split_first()?;
    let (view, rest) = rest.split_first_chunk::<MARK>()?;
    let (skip, rest) = rest.split_first_chunk::<4>()?;
    let (discard, rest) = rest.split_first_chunk::<8>()?;
    let (given, rest) = rest.split_first_chunk::<8>()?;
    let (inside, rest) = rest.split_first()?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let page = rest.get(..usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
    let view = match narrowed {
        0 => View::Whole,
        1 => View::Narrowed(*view),
        _ => return None,
    };
    let page = match inside {
        0 => None,
        _ => Some(std::str::from_utf8(page).ok()?.to_owned()),
    };
    let position = Position {
        page,
        skip: u32::from_be_bytes(*skip),
        discard: u64::from_be_bytes(*discard),
        given: u64::from_be_bytes(*given),
    };
    Some((view, position))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position() -> Position {
        Position { page: Some("eyJvZmZzZXQiOiAyMH0=".into()), skip: 7, discard: 3, given: 12 }
    }

    #[test]
    fn a_position_comes_back_as_it_left() {
        let ring = Seal::ephemeral().unwrap();
        let query = mark(["SearchExperiments", "ann@example.com"]);
        for view in [View::Whole, View::Narrowed(mark(["1", "2"]))] {
            for position in [position(), Position::default()] {
                let text = seal(&ring, &query, view, &position).unwrap();
                assert_eq!(open(&ring, &query, &text), Some((view, position)));
            }
        }
    }

    #[test]
    fn a_token_of_another_caller_or_query_does_not_open() {
        let ring = Seal::ephemeral().unwrap();
        let text = seal(&ring, &mark(["SearchRuns", "ann"]), View::Whole, &position()).unwrap();
        assert_eq!(open(&ring, &mark(["SearchRuns", "bob"]), &text), None);
        assert_eq!(open(&ring, &mark(["SearchRunsann"]), &text), None);
    }

    #[test]
    fn mlflows_own_tokens_do_not_open() {
        let ring = Seal::ephemeral().unwrap();
        for text in ["eyJvZmZzZXQiOiAyMH0=", "", "0", "{}", "\u{0}"] {
            assert_eq!(open(&ring, &mark(["a"]), text), None, "{text:?}");
        }
    }

    #[test]
    fn a_token_tells_nothing_of_what_it_holds() {
        let ring = Seal::ephemeral().unwrap();
        let text = seal(&ring, &mark(["a"]), View::Whole, &position()).unwrap();
        assert!(!text.contains("eyJv"));
        // {"offset": 1234567}
        let page = Some("eyJvZmZzZXQiOiAxMjM0NTY3fQ==".to_owned());
        for far in [Position { skip: 4000, page, ..position() }, Position::default()] {
            assert_eq!(text.len(), seal(&ring, &mark(["a"]), View::Whole, &far).unwrap().len());
        }
    }
}
