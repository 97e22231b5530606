//! The hall: the whole way of a request, in order.

mod body;
pub mod clean;
pub mod refusal;
