//! Types and shapes as the file declares them, and what the user adds to them.
//!
//! Takes: `ValueInfoProto`s, and shapes that the user states. Gives: facts at batch 1, and the restated sizes after a rewrite.
//! Never: replaces a symbol or a number in the file other than a size that has really changed.

use crate::error::{Error, Result};
use crate::graph::Fact;
use crate::setting::Setting;
use crate::tensor::{DType, Shape, checked_volume, too_large};
use onnx_protobuf::tensor_shape_proto::Dimension;
use onnx_protobuf::tensor_shape_proto::dimension::Value as Dim;
use onnx_protobuf::type_proto::{self, Value as Type};
use onnx_protobuf::{TensorShapeProto, TypeProto, ValueInfoProto};
use protobuf::MessageField;
use std::collections::HashMap;
use std::str::FromStr;

/// Shape of one input as the user states it: `name:1,3,224,224`, or without the name where there is one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputShape {
    /// Which input.
    pub name: Option<String>,
    /// Its sizes.
    pub shape: Vec<usize>,
}

impl FromStr for InputShape {
    type Err = Error;

    /// The name ends at the last colon: names may hold colons themselves.
    fn from_str(text: &str) -> Result<Self> {
        let (name, sizes) = text.rsplit_once(':').map_or((None, text), |(n, s)| (Some(n.to_owned()), s));
        let sizes = sizes.split([',', 'x']).map(|s| s.trim().parse().ok().filter(|&n: &usize| n > 0));
        let shape = sizes.collect::<Option<Vec<usize>>>().ok_or_else(|| {
            let hint = format!("write the sizes as numbers: {} NAME:1,3,224,224", Setting::InputShape);
            Error::argument(Setting::InputShape, format!("'{text}' is not a shape"), hint)
        })?;
        Ok(Self { name, shape })
    }
}

/// Size of an axis as the file states it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Size {
    Known(usize),
    Symbol(String),
    Unknown,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Known(n) => write!(f, "{n}"),
            Self::Symbol(s) => f.write_str(s),
            Self::Unknown => f.write_str("?"),
        }
    }
}

/// Element type and axes (`None` without a shape); `None` for anything but a tensor of a type that we hold.
fn declared(info: &ValueInfoProto) -> Option<(DType, Option<Vec<Size>>)> {
    let Some(Type::TensorType(tensor)) = info.type_.as_ref().and_then(|t| t.value.as_ref()) else {
        return None;
    };
    let size = |v: &Option<Dim>| match v {
        // Zero and below is how some exporters write "unknown".
        Some(Dim::DimValue(n)) => {
            usize::try_from(*n).ok().filter(|&n| n > 0).map_or(Size::Unknown, Size::Known)
        }
        // "?" and the like are how some exporters write "any size", not one size that all such axes share.
        Some(Dim::DimParam(s)) if !["", "?", "None", "-1"].contains(&s.as_str()) => Size::Symbol(s.clone()),
        _ => Size::Unknown,
    };
    let sizes = tensor.shape.as_ref().map(|s| s.dim.iter().map(|d| size(&d.value)).collect());
    Some((DType::from_onnx(tensor.elem_type)?, sizes))
}

/// Size of an open first axis where a network is proved a second time.
const OTHER_BATCH: usize = 3;

/// Differences of other open axes there from the analysed sizes, first choice first: networks take multiples of their strides.
const STEPS: &[usize] = &[32, 64, 16, 8, 4, 2, 1, 128];

/// Largest size of an axis that grows there; larger ones shrink, which costs less.
const LARGE_SIDE: usize = 128;

/// The network's inputs at batch 1.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// By input; `None` for one that is not a tensor of a type that we hold.
    pub facts: Vec<Option<Fact>>,
    /// By input and axis: the name of an axis that the file leaves open (its symbol, or one made up); none for a fixed one.
    pub open: Vec<Vec<Option<String>>>,
    /// Sizes that the symbols now stand for.
    bound: HashMap<String, usize>,
}

/// Finds the inputs' facts. An open first axis is 1 unless `given` says otherwise, and a symbol is one size
/// wherever it stands; other open axes must be given.
pub fn inputs(infos: &[&ValueInfoProto], given: &[InputShape]) -> Result<Inputs> {
    let names: Vec<&str> = infos.iter().map(|i| i.name.as_str()).collect();
    check_names(&names, given)?;
    let given_for = |name: &str| given.iter().find(|g| g.name.as_deref().is_none_or(|n| n == name));
    let mut found = Inputs::default();
    for info in infos {
        let sizes = declared(info).and_then(|(_, sizes)| sizes).unwrap_or_default();
        found.bind(&sizes, given_for(&info.name).map_or(&[1], |g| &g.shape));
        let named = |(axis, size): (usize, &Size)| match size {
            Size::Known(_) => None,
            Size::Symbol(s) => Some(s.clone()),
            Size::Unknown => Some(format!("{} axis {axis}", info.name)),
        };
        found.open.push(sizes.iter().enumerate().map(named).collect());
    }
    let mut open = Vec::new();
    for info in infos {
        let Some((dtype, sizes)) = declared(info) else {
            found.facts.push(None);
            continue;
        };
        let given = given_for(&info.name);
        let known = |s: Size| if given.is_some() { s } else { found.known(s) };
        let sizes = sizes.map(|s| s.into_iter().map(known).collect::<Vec<_>>());
        match resolve(&info.name, sizes.as_deref(), given)? {
            Some(shape) if checked_volume(&shape).is_none() => {
                let reason = format!("input '{}': {}", info.name, too_large(&shape));
                return Err(Error::graph(reason, stated(&info.name, &[])));
            }
            Some(shape) => found.facts.push(Some(Fact::new(dtype, shape))),
            None => open.push(OpenInput { name: &info.name, sizes }),
        }
    }
    if open.is_empty() { Ok(found) } else { Err(ask(&open)) }
}

/// Errors where a stated shape belongs to no input, or to several.
fn check_names(names: &[&str], given: &[InputShape]) -> Result<()> {
    let fail = |reason: String| {
        let hint = format!("the network's inputs are: {}", names.join(", "));
        Err(Error::argument(Setting::InputShape, reason, hint))
    };
    for (k, g) in given.iter().enumerate() {
        match &g.name {
            _ if given[..k].iter().any(|other| other.name == g.name) => {
                return fail("the same input is given twice".into());
            }
            Some(name) if !names.contains(&name.as_str()) => {
                return fail(format!("there is no input '{name}'"));
            }
            None if names.len() != 1 => return fail("which input is meant? write NAME:1,3,224,224".into()),
            _ => {}
        }
    }
    Ok(())
}

/// The input's shape; `None` where an axis is open.
fn resolve(name: &str, sizes: Option<&[Size]>, given: Option<&InputShape>) -> Result<Option<Shape>> {
    let Some(given) = given.map(|g| &g.shape) else {
        let Some(sizes) = sizes else { return Ok(None) };
        let size = |(axis, s): (usize, &Size)| match s {
            Size::Known(n) => Some(*n),
            _ => (axis == 0).then_some(1),
        };
        return Ok(sizes.iter().enumerate().map(size).collect());
    };
    let Some(sizes) = sizes else { return Ok(Some(given.clone())) };
    let fits = |(s, g): (&Size, &usize)| !matches!(s, Size::Known(n) if n != g);
    if sizes.len() == given.len() && sizes.iter().zip(given).all(fits) {
        return Ok(Some(given.clone()));
    }
    let reason =
        format!("{given:?} does not fit input '{name}', which the file declares as [{}]", join(sizes, ", "));
    Err(Error::argument(Setting::InputShape, reason, stated(name, sizes)))
}

fn join(sizes: &[Size], with: &str) -> String {
    sizes.iter().map(Size::to_string).collect::<Vec<_>>().join(with)
}

/// The setting that states an input's sizes, with what is known filled in.
fn stated(name: &str, sizes: &[Size]) -> String {
    let example = |(axis, s): (usize, &Size)| match s {
        Size::Known(n) => *n,
        _ if axis == 0 => 1,
        _ => 224,
    };
    let sizes: Vec<usize> = sizes.iter().enumerate().map(example).collect();
    let sizes = if sizes.is_empty() { vec![1, 3, 224, 224] } else { sizes };
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    format!("{} {name}:{}", Setting::InputShape, sizes.join(","))
}

/// An input of which the file does not state all sizes.
struct OpenInput<'p> {
    name: &'p str,
    /// Its axes; `None` where the file states no shape.
    sizes: Option<Vec<Size>>,
}

/// The error that asks for the sizes of all open inputs at once.
fn ask(open: &[OpenInput]) -> Error {
    let say = |OpenInput { name, sizes }: &OpenInput| match sizes {
        Some(sizes) => format!("the file leaves sizes of input '{name}' open: [{}]", join(sizes, ", ")),
        None => format!("the file does not state the shape of input '{name}'"),
    };
    let all = open.iter().map(|input| stated(input.name, input.sizes.as_deref().unwrap_or_default()));
    let hint = format!("state them, for example: {}", all.collect::<Vec<_>>().join(" "));
    Error::argument(Setting::InputShape, open.iter().map(say).collect::<Vec<_>>().join("; "), hint)
}

impl Inputs {
    /// Whether input `k` has an open first axis.
    pub fn is_batch_open(&self, k: usize) -> bool {
        self.open.get(k).and_then(|axes| axes.first()).is_some_and(Option::is_some)
    }

    /// Facts of the inputs at other sizes of the open axes, the first choice in front: of all open axes at once, then of first axes
    /// (batches) alone, then of the others alone.
    pub fn other_sizes(&self, facts: &[Fact]) -> [Vec<Vec<Fact>>; 3] {
        let every = |all: bool, first: bool| -> Vec<Vec<Fact>> {
            let tried =
                STEPS.iter().map(|&step| self.at_step(facts, step, |axis| all || (axis == 0) == first));
            let mut out: Vec<Vec<Fact>> = Vec::new();
            for other in tried.filter(|other| other != facts) {
                if !out.contains(&other) {
                    out.push(other);
                }
            }
            out
        };
        [every(true, false), every(false, true), every(false, false)]
    }

    /// The inputs with the open axes that `changes` picks at other sizes: first axes at 3, the others larger by `step` or, where
    /// they are large, smaller; no two symbols by as much.
    fn at_step(&self, facts: &[Fact], step: usize, changes: impl Fn(usize) -> bool) -> Vec<Fact> {
        let mut symbols: Vec<&str> = Vec::new();
        let mut out = facts.to_vec();
        for (fact, axes) in out.iter_mut().zip(&self.open) {
            for (axis, name) in axes.iter().enumerate().filter(|(axis, _)| changes(*axis)) {
                let (Some(name), Some(size)) = (name, fact.shape.get_mut(axis)) else { continue };
                if axis == 0 {
                    *size = if *size == OTHER_BATCH { OTHER_BATCH - 1 } else { OTHER_BATCH };
                    continue;
                }
                let at = symbols.iter().position(|s| s == name).unwrap_or(symbols.len());
                if at == symbols.len() {
                    symbols.push(name);
                }
                let by = step * (at + 1);
                *size = if *size > LARGE_SIDE && *size > 2 * by { *size - by } else { *size + by };
            }
        }
        out
    }

    /// Notes the sizes that an input's symbols stand for. A symbol on several axes of one input is not trusted to be one size.
    fn bind(&mut self, sizes: &[Size], shape: &[usize]) {
        for (size, &n) in sizes.iter().zip(shape) {
            if let Size::Symbol(s) = size
                && sizes.iter().filter(|other| *other == size).count() == 1
            {
                self.bound.entry(s.clone()).or_insert(n);
            }
        }
    }

    /// A size with its symbol resolved, where that is known.
    fn known(&self, size: Size) -> Size {
        match &size {
            Size::Symbol(s) => self.bound.get(s).map_or(size, |&n| Size::Known(n)),
            _ => size,
        }
    }

    /// The declared fact of a value that is no input, where all axes are numbers or symbols with a known size. An open
    /// first axis of a tensor with more axes is taken as the batch, 1.
    pub fn fact(&self, info: &ValueInfoProto) -> Option<Fact> {
        let (dtype, sizes) = declared(info)?;
        let sizes = sizes?;
        let rank = sizes.len();
        let size = |(axis, s): (usize, Size)| match self.known(s) {
            Size::Known(n) => Some(n),
            _ => (axis == 0 && rank > 1).then_some(1),
        };
        let shape = sizes.into_iter().enumerate().map(size).collect::<Option<Shape>>()?;
        checked_volume(&shape).map(|_| Fact::new(dtype, shape))
    }
}

/// Makes an entry state the shape that holds: numbers other than the value's sizes are replaced by these, and taken out where the
/// size follows an open axis (`elsewhere` has the value at other sizes of the open axes). Symbols stay. True if anything changed.
pub fn correct(info: &mut ValueInfoProto, fact: &Fact, elsewhere: &[&Fact]) -> bool {
    let Some(Type::TensorType(tensor)) = info.type_.as_mut().and_then(|t| t.value.as_mut()) else {
        return false;
    };
    let mut changed = tensor.elem_type != fact.dtype.onnx();
    tensor.elem_type = fact.dtype.onnx();
    let is_open = |axis: usize| elsewhere.iter().any(|f| f.shape.get(axis) != fact.shape.get(axis));
    let stated = |axis: usize| (!is_open(axis)).then_some(Dim::DimValue(fact.shape[axis] as i64));
    let Some(shape) = tensor.shape.as_mut() else { return changed };
    if shape.dim.len() != fact.shape.len() {
        let dim = |axis| Dimension { value: stated(axis), ..Dimension::default() };
        shape.dim = (0..fact.shape.len()).map(dim).collect();
        return true;
    }
    for (axis, dim) in shape.dim.iter_mut().enumerate() {
        let wrong = match dim.value {
            // Zero and below is how some exporters write "unknown".
            Some(Dim::DimValue(n)) => n > 0 && (is_open(axis) || n != fact.shape[axis] as i64),
            _ => false,
        };
        if wrong {
            (dim.value, changed) = (stated(axis), true);
        }
    }
    changed
}

/// Replaces symbols and unknown sizes by the value's sizes.
pub fn fix(info: &mut ValueInfoProto, fact: &Fact) {
    let Some(Type::TensorType(tensor)) = info.type_.as_mut().and_then(|t| t.value.as_mut()) else { return };
    let Some(shape) = tensor.shape.as_mut().filter(|s| s.dim.len() == fact.shape.len()) else { return };
    for (dim, &size) in shape.dim.iter_mut().zip(&fact.shape) {
        dim.value = Some(Dim::DimValue(size as i64));
    }
}

/// A new entry.
pub fn fresh(name: &str, fact: &Fact) -> ValueInfoProto {
    let mut shape = TensorShapeProto::default();
    for &size in &fact.shape {
        shape.dim.push(Default::default());
        if let Some(dim) = shape.dim.last_mut() {
            dim.value = Some(Dim::DimValue(size as i64));
        }
    }
    let tensor = type_proto::Tensor {
        elem_type: fact.dtype.onnx(),
        shape: MessageField::some(shape),
        ..type_proto::Tensor::default()
    };
    let kind = TypeProto { value: Some(Type::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.to_owned(), type_: MessageField::some(kind), ..ValueInfoProto::default() }
}
