//! Gates that closed for good: their channels leave the network while the others are trained.

use super::{Session, gate};
use crate::cost::Cost;
use crate::coupling::Groups;

/// A gate whose α is below this, and which the plan closes too, does not open again.
const GOOD: f64 = -3.0;

/// The network gets smaller where at most this share of what it costs is left: each time it is compiled anew.
const WORTH: f64 = 0.9;

/// Makes the network that keeps some classes, of the whole one.
pub type Rebuild<'w, 'a> = &'w dyn Fn(&[bool]) -> Option<Session<'a>>;

/// What is left of a network that is trained further, and by class: is it in there?
pub struct Resumed<'a> {
    pub session: Session<'a>,
    pub open: Vec<bool>,
}

/// The network that is trained.
pub(super) struct ShrinkingNetwork<'s, 'a> {
    whole: &'s Session<'a>,
    /// Whether the whole network is asked while a smaller one is trained.
    asked: bool,
    smaller: Option<Session<'a>>,
    /// By class: is it still in the network?
    open: Vec<bool>,
    /// Whether a smaller network could not be made: none is tried again.
    stuck: bool,
}

impl<'s, 'a> ShrinkingNetwork<'s, 'a> {
    /// The whole network, in which nothing is closed, or what was left of it before.
    pub fn new(whole: &'s Session<'a>, asked: bool, left: Option<Resumed<'a>>, classes: usize) -> Self {
        let (smaller, open) = match left {
            Some(Resumed { session, open }) => (Some(session), open),
            None => (None, vec![true; classes]),
        };
        let network = Self { whole, asked, smaller, open, stuck: false };
        if network.smaller.is_some() {
            network.leave();
        }
        network
    }

    /// Lets go what the whole network holds, as far as it is not asked.
    fn leave(&self) {
        if self.asked {
            self.whole.rest();
        } else {
            self.whole.let_go();
        }
    }

    /// The whole network, or what is left of it.
    pub fn session(&self) -> &Session<'a> {
        self.smaller.as_ref().unwrap_or(self.whole)
    }

    /// True if the gate of a class is trained.
    pub fn trains(&self, class: usize) -> bool {
        self.open[class] && self.whole.trainable[class]
    }

    /// λ of a class at α.
    pub fn lambda(&self, class: usize, alpha: f64) -> f64 {
        match self.open[class] {
            true if self.whole.trainable[class] => gate::sigmoid(alpha),
            true => 1.0,
            false => 0.0,
        }
    }

    /// What is left of a plan.
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

    /// Takes out what has closed at α and is not in the plan `kept`, if that makes the network clearly smaller.
    pub fn maybe_shrink(
        &mut self,
        kept: &[bool],
        alpha: &[f64],
        (groups, cost): (&Groups, &Cost),
        smaller: Rebuild<'_, 'a>,
    ) {
        let stays = |c: usize| self.open[c] && (kept[c] || !self.whole.trainable[c] || alpha[c] > GOOD);
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
        // What is no longer needed goes before the next is made.
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
