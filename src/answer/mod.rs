//! What may be seen of an answer, and what follows from it?

mod filter;
mod json;
mod narrow;
mod page;
mod query;
#[cfg(test)]
mod testing;
mod token;
