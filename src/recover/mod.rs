//! What makes up for lost accuracy after pruning: [`reconstruct`], in closed form, and [`finetune`], by training.
//!
//! Takes: the original network, the pruned one, images. Gives: the pruned graph with other weights and biases in the same
//! shapes, and the errors of the layers. Never: changes the graph's shape, or needs a label.

mod finetune;
mod reconstruct;
#[cfg(test)]
mod tests;

pub use finetune::{
    CYCLE, Candidates, Epoch, Hint, Method, Settings, State, Tuned, Update, Watcher, finetune, parameters,
};
pub use reconstruct::{Fitted, reconstruct};
