//! One plan for all sizes: how the classes at the analysed sizes and at others correspond.
//!
//! An axis of one size everywhere is an axis of channels (or of fixed pictures); an axis of another size elsewhere follows an open
//! one. Classes correspond by the coordinates that they share on axes of the first kind.

use super::groups::{ClassId, Groups};
use crate::graph::Graph;
use std::collections::BTreeSet;

impl Groups {
    /// Freezes groups whose channels cannot be deleted alike at the other sizes.
    pub(super) fn agree(&mut self, graph: &Graph) {
        let mut apart: BTreeSet<usize> = BTreeSet::new();
        for other in &self.elsewhere {
            let mut partner: Vec<Option<ClassId>> = vec![None; other.classes.len()];
            for (here, there) in shared(self, other) {
                match (here, there) {
                    (None, _) => {}
                    (Some(here), None) => {
                        apart.insert(self.classes[here].group);
                    }
                    (Some(here), Some(there)) => {
                        if let Some(before) = partner[there].replace(here).filter(|&before| before != here) {
                            apart.extend([before, here].map(|c| self.classes[c].group));
                        }
                    }
                }
            }
        }
        for site in self.sites(graph) {
            let size = |groups: &Self| groups.at(graph, site).len();
            if self.elsewhere.iter().any(|other| size(other) != size(self)) {
                let classes = self.at(graph, site).iter().filter_map(|c| c.get());
                apart.extend(classes.map(|c| self.classes[c].group));
            }
        }
        if apart.is_empty() {
            return;
        }
        let first: Vec<usize> = apart.iter().map(|&g| self.groups[g].classes[0]).collect();
        let is_apart = |classes: &[usize]| classes.first().is_some_and(|c| first.contains(c));
        let why = "bound to other channels at other sizes of the axes that the file leaves open";
        self.restrict(|g| if is_apart(&g.classes) { Err(why.into()) } else { Ok(()) });
    }

    /// Which classes stay at the other sizes with number `k`, where `kept` stay here. None where they cannot stay alike.
    pub fn kept_elsewhere(&self, k: usize, kept: &[bool]) -> Option<Vec<bool>> {
        let other = &self.elsewhere[k];
        let mut stays: Vec<Option<bool>> = vec![None; other.classes.len()];
        for (here, there) in shared(self, other) {
            let Some(there) = there else { continue };
            let stay = here.is_none_or(|here| kept[here]);
            if stays[there].replace(stay).is_some_and(|before| before != stay) {
                return None;
            }
        }
        Some(stays.into_iter().map(|stay| stay.unwrap_or(true)).collect())
    }
}

/// Pairs of classes of one coordinate in both, on axes of one size; picking readers' own classes too.
fn shared<'a>(a: &'a Groups, b: &'a Groups) -> impl Iterator<Item = (Option<ClassId>, Option<ClassId>)> + 'a {
    let axes = a.label.iter().zip(&b.label).flat_map(|(a, b)| a.iter().zip(b));
    let own = a.selects.iter().filter_map(|s| {
        let other = b.select(s.site)?;
        Some((&s.own, &other.own))
    });
    let same = axes.chain(own).filter(|(a, b)| a.len() == b.len());
    same.flat_map(|(a, b)| a.iter().map(|c| c.get()).zip(b.iter().map(|c| c.get())))
}
