//! What git calls.

pub mod capability;
pub mod erase;
pub mod get;
pub mod store;
