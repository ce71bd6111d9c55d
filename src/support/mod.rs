//! What is not about networks: command lines, files that are replaced as a whole, hashes, optional indices, memory, text for terminals,
//! random numbers.
//!
//! Never: knows another room, but for [`crate::error`].

pub mod command;
pub mod files;
pub(crate) mod hash;
pub mod index;
pub mod memory;
pub mod printable;
pub mod random;
