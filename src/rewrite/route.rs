//! New nodes: branches scattered back to their trunk, gathers of readers that pick from it.

use super::Rewriter;
use super::node::new_node;
use crate::coupling::{Select, Site};
use crate::error::{Error, Result};
use crate::graph::*;
use crate::setting::Setting;
use crate::tensor::*;

impl Rewriter<'_> {
    /// Scatters what is left of an expanded branch to the channels that its Add keeps: a zero plane is appended, then every
    /// channel of the trunk picks its branch channel or the zero.
    pub(super) fn expand(&mut self, site: Site) -> Result<()> {
        let node = &self.old.nodes[site.node];
        let (Some(branch), Some(result)) = (node.inputs[site.slot], node.outputs[0]) else { return Ok(()) };
        let Some(shape) = self.facts.shape(branch) else { return Ok(()) };
        let all: Vec<usize> = (0..shape[site.axis]).collect();
        let left = self.cuts.kept(branch, site.axis).unwrap_or(&all);
        let wanted = self.cuts.kept(result, site.axis).unwrap_or(&all);
        if left == wanted {
            return Ok(());
        }
        let index: Vec<i64> =
            wanted.iter().map(|c| left.binary_search(c).unwrap_or(left.len()) as i64).collect();
        let base = self.old.values[branch].name.clone();
        let rank = shape.len();
        let mut pads = vec![0i64; 2 * rank];
        pads[rank + site.axis] = 1;
        let padded = self.pad(site.node, branch, &base, pads)?;
        self.gather(site, padded, &index, &format!("{base}_scattered"))
    }

    /// Lets a reader of a trunk gather the channels that it picks.
    pub(super) fn select(&mut self, select: &Select) -> Result<()> {
        let Select { site, value, own } = select;
        let all: Vec<usize> = (0..own.len()).collect();
        let left = self.cuts.kept(*value, site.axis).unwrap_or(&all);
        let wanted = self.picked.get(site).map_or(&all[..], Vec::as_slice);
        if left == wanted {
            return Ok(());
        }
        let place = |c: &usize| left.binary_search(c).ok().map(|at| at as i64);
        let Some(index) = wanted.iter().map(place).collect::<Option<Vec<i64>>>() else {
            let node = &self.old.nodes[site.node];
            let reason = format!("'{}' keeps a channel that its trunk has lost", node.name);
            let hint = format!(
                "nothing was written; please report this model, and try {} expand",
                Setting::Residual
            );
            return Err(Error::Verification { reason, hint });
        };
        let reader = self.old.nodes[site.node].outputs.first().copied().flatten().unwrap_or(*value);
        let name = format!("{}_selected", self.old.values[reader].name);
        self.gather(*site, *value, &index, &name)
    }

    /// Multiplies a node's first result by a number.
    pub(super) fn multiply(&mut self, n: NodeId, factor: f64) -> Result<()> {
        let Some(result) = self.old.nodes[n].outputs[0] else { return Ok(()) };
        let dtype = self.facts.fact[result].as_ref().map_or(DType::F32, |f| f.dtype);
        let base = self.old.values[result].name.clone();
        // A factor that is rounded to a half is off by more than the results' own rounding.
        let half = matches!(dtype, DType::F16 | DType::BF16);
        let wide = if half { DType::F32 } else { dtype };
        let factor = Tensor::from_real(wide, &[], &[factor]);
        let factor = self.constant(&format!("{base}_share"), factor);
        let mut before = self.value(&format!("{base}_unscaled"), Origin::Node(usize::MAX, 0));
        self.new.nodes[n].outputs[0] = Some(before);
        self.unscaled.insert(n, before);
        let name = self.names.fresh(&format!("{base}_scaled"));
        if !half {
            return self.add(n + 1, ("Mul", name), Attributes::new(), vec![before, factor], result);
        }
        let to = |dtype: DType| Writer::default().put("to", i64::from(dtype.onnx())).done();
        before = self.add_node(n + 1, "Cast", &format!("{base}_wide"), to(wide), vec![before])?;
        let product = self.add_node(n + 1, "Mul", &name, Attributes::new(), vec![before, factor])?;
        let name = self.names.fresh(&format!("{base}_narrow"));
        self.add(n + 1, ("Cast", name), to(dtype), vec![product], result)
    }

    /// Gives a node's input the coordinates `index` of `from`.
    fn gather(&mut self, site: Site, from: ValueId, index: &[i64], name: &str) -> Result<()> {
        let index = self.constant(&format!("{name}_index"), Tensor::ints(index));
        let axis = Writer::default().put("axis", site.axis as i64).done();
        let gathered = self.add_node(site.node, "Gather", name, axis, vec![from, index])?;
        self.new.nodes[site.node].inputs[site.slot] = Some(gathered);
        Ok(())
    }

    fn pad(&mut self, before: NodeId, x: ValueId, base: &str, pads: Vec<i64>) -> Result<ValueId> {
        let wish = format!("{base}_padded");
        if self.opset < 11 {
            let attributes = Writer::default().put("pads", pads).done();
            return self.add_node(before, "Pad", &wish, attributes, vec![x]);
        }
        let pads = self.constant(&format!("{base}_scatter_pads"), Tensor::ints(&pads));
        self.add_node(before, "Pad", &wish, Attributes::new(), vec![x, pads])
    }

    pub(super) fn add_node(
        &mut self,
        before: NodeId,
        op_type: &str,
        wish: &str,
        attributes: Attributes,
        inputs: Vec<ValueId>,
    ) -> Result<ValueId> {
        // The origin's node number is set when the nodes are inserted.
        let out = self.value(wish, Origin::Node(usize::MAX, 0));
        let name = self.new.values[out].name.clone();
        self.add(before, (op_type, name), attributes, inputs, out)?;
        Ok(out)
    }

    /// A new node in front of node `before`, that computes `out`.
    fn add(
        &mut self,
        before: NodeId,
        (op_type, name): (&str, String),
        attributes: Attributes,
        inputs: Vec<ValueId>,
        out: ValueId,
    ) -> Result<()> {
        let inputs = inputs.into_iter().map(Some).collect();
        let node = new_node(name, (op_type, self.opset), &attributes, inputs, out)?;
        self.before.entry(before).or_default().push(node);
        Ok(())
    }

    pub(super) fn insert(&mut self) {
        self.new.insert_nodes(std::mem::take(&mut self.before));
    }
}
