//! Gates that closed for good: their channels leave the network while the others are trained.

use super::{Session, gate};
use crate::cost::Cost;
use crate::coupling::Groups;

/// Least α of a gate that may open again, although the plan closes it.
const GOOD: f64 = -3.0;

/// Largest share of the network's cost in a smaller network that is worth compiling.
const WORTH: f64 = 0.9;

/// Makes the network that keeps some classes of the original; none where it cannot be made.
pub type Rebuild<'w, 'a> = &'w dyn Fn(&[bool]) -> Option<Session<'a>>;

/// A smaller network whose training goes on.
pub struct Resumed<'a> {
    /// The network.
    pub session: Session<'a>,
    /// By class: it is in the network.
    pub open: Vec<bool>,
}

/// The network that is trained, without the classes that closed for good.
pub(super) struct ShrinkingNetwork<'s, 'a> {
    original: &'s Session<'a>,
    /// True if the original is run while a smaller network is trained.
    asked: bool,
    /// The network without the closed classes; none where it is the original.
    smaller: Option<Session<'a>>,
    /// By class: it is still in the network.
    open: Vec<bool>,
    /// True if a smaller network could not be made: none is tried again.
    stuck: bool,
}

impl<'s, 'a> ShrinkingNetwork<'s, 'a> {
    /// The original, in which nothing is closed, or the network `left` by an earlier training.
    pub fn new(original: &'s Session<'a>, asked: bool, left: Option<Resumed<'a>>, classes: usize) -> Self {
        let (smaller, open) = match left {
            Some(Resumed { session, open }) => (Some(session), open),
            None => (None, vec![true; classes]),
        };
        let network = Self { original, asked, smaller, open, stuck: false };
        if network.smaller.is_some() {
            network.leave();
        }
        network
    }

    /// Frees the original's memory, as far as it is not run.
    fn leave(&self) {
        if self.asked {
            self.original.rest();
        } else {
            self.original.let_go();
        }
    }

    /// The network at present.
    pub fn session(&self) -> &Session<'a> {
        self.smaller.as_ref().unwrap_or(self.original)
    }

    /// True if the gate of a class is trained.
    pub fn trains(&self, class: usize) -> bool {
        self.open[class] && self.original.trainable[class]
    }

    /// λ of a class at α.
    pub fn lambda(&self, class: usize, alpha: f64) -> f64 {
        match self.open[class] {
            true if self.original.trainable[class] => gate::sigmoid(alpha),
            true => 1.0,
            false => 0.0,
        }
    }

    /// The classes of a plan that are still in the network.
    pub fn left(&self, kept: &[bool]) -> Vec<bool> {
        kept.iter().zip(&self.open).map(|(kept, open)| *kept && *open).collect()
    }

    /// α with the closed classes below all others, in their order.
    pub fn ranked(&self, alpha: &[f64]) -> Vec<f64> {
        let of = |open: bool| alpha.iter().zip(&self.open).filter(move |(_, o)| **o == open).map(|(a, _)| *a);
        let (highest, lowest) =
            (of(false).fold(f64::NEG_INFINITY, f64::max), of(true).fold(f64::INFINITY, f64::min));
        let above = if highest >= lowest { highest - lowest + 1.0 } else { 0.0 };
        alpha.iter().zip(&self.open).map(|(a, open)| if *open { *a } else { a - above }).collect()
    }

    /// Takes out the classes that have closed at α and are not in the plan `kept`, if that makes the network clearly smaller.
    pub fn maybe_shrink(
        &mut self,
        kept: &[bool],
        alpha: &[f64],
        groups: &Groups,
        cost: &Cost,
        smaller: Rebuild<'_, 'a>,
    ) {
        let stays = |c: usize| self.open[c] && (kept[c] || !self.original.trainable[c] || alpha[c] > GOOD);
        let mut open: Vec<bool> = (0..kept.len()).map(stays).collect();
        // A trunk's channel waits for those of its branches.
        let mut waits = true;
        while std::mem::take(&mut waits) {
            for &(trunk, branch) in &groups.implied {
                waits |= !open[trunk] && open[branch];
                open[trunk] |= open[branch];
            }
        }
        if self.stuck || cost.hard(&open) as f64 > WORTH * cost.hard(&self.open) as f64 {
            return;
        }
        // The old network's memory goes first.
        let was_smaller = self.smaller.take().is_some();
        self.leave();
        self.smaller = smaller(&open);
        if self.smaller.is_some() {
            self.open = open;
        } else {
            self.stuck = true;
            self.smaller = if was_smaller { smaller(&self.open) } else { None };
        }
    }
}
