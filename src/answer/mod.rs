//! What may be seen of an answer, and what follows from it?

mod json;
mod page;
