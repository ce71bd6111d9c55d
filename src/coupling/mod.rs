//! Which channels belong together: union-find over coordinates (value, axis, index).
//!
//! Takes: a graph and its facts. Gives: [`Groups`]: the classes that can be deleted, where their gates stand, and for
//! everything frozen the reason. Never: guesses; a coordinate that no operator speaks for is frozen.

mod alone;
mod analysis;
mod collect;
mod dead;
mod elsewhere;
mod groups;
mod labels;
mod residual;
mod site;
mod sources;
mod statements;

pub use analysis::group;
pub use groups::{Group, Groups, Select};
pub use residual::Residual;
pub use site::Site;

#[cfg(test)]
pub use analysis::every_class;

#[cfg(test)]
mod tests;
