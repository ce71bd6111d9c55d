//! Attributes of a node, and the reader that makes sure none is overlooked.
//!
//! Takes: name → value pairs as the file gives them. Gives: typed access with the standard's defaults.
//! Never: lets an operator ignore an attribute silently (see [`Reader::finish`]).

use super::fact::Fact;
use crate::tensor::Tensor;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// One attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Attr {
    /// INT
    Int(i64),
    /// FLOAT
    Float(f32),
    /// STRING (bytes; UTF-8 by convention)
    Str(String),
    /// INTS
    Ints(Vec<i64>),
    /// FLOATS
    Floats(Vec<f32>),
    /// STRINGS
    Strs(Vec<String>),
    /// TENSOR
    Tensor(Tensor),
    /// A kind that only the file understands (subgraph, sparse tensor, type): carried verbatim.
    Carried,
}

/// A node's attributes by name.
pub type Attributes = BTreeMap<String, Attr>;

/// Why an operator could not be built or its shape not be inferred.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// A form we do not implement: the node is left alone.
    Unsupported(String),
    /// The model contradicts the operator's definition: the model is refused.
    Invalid(String),
    /// The node is left alone and never run, though the facts of its results are known.
    Carried {
        /// A phrase that follows the node's name.
        why: String,
        /// Types and shapes of its results.
        results: Vec<Fact>,
    },
}

impl Refusal {
    /// The reason without its kind.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unsupported(r) | Self::Invalid(r) | Self::Carried { why: r, .. } => r,
        }
    }

    /// Facts of the results, by slot, where they are known in spite of the refusal.
    pub fn results(&self) -> &[Fact] {
        match self {
            Self::Carried { results, .. } => results,
            Self::Unsupported(_) | Self::Invalid(_) => &[],
        }
    }
}

/// A form we do not implement.
pub fn unsupported<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Unsupported(reason.into()))
}

/// A contradiction in the model.
pub fn invalid<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Invalid(reason.into()))
}

/// A reader of one node's attributes that remembers which were asked for.
#[derive(Debug)]
pub struct Reader<'a> {
    /// Opset version of the node's domain.
    pub opset: i64,
    /// Number of input slots, absent ones included.
    pub inputs: usize,
    /// Number of output slots.
    pub outputs: usize,
    attributes: &'a Attributes,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    /// A reader over `attributes`.
    pub fn new(attributes: &'a Attributes, opset: i64, inputs: usize, outputs: usize) -> Self {
        Self { opset, inputs, outputs, attributes, asked: RefCell::default() }
    }

    fn get(&self, name: &str) -> Option<&'a Attr> {
        self.asked.borrow_mut().insert(name.to_owned());
        self.attributes.get(name)
    }

    /// An optional INT.
    pub fn int(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Attr::Int(v)) => Ok(Some(*v)),
            Some(other) => wrong(name, "an integer", other),
        }
    }

    /// An INT with the standard's default.
    pub fn int_or(&self, name: &str, default: i64) -> Result<i64, Refusal> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// An optional FLOAT.
    pub fn float(&self, name: &str) -> Result<Option<f32>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Attr::Float(v)) => Ok(Some(*v)),
            Some(other) => wrong(name, "a float", other),
        }
    }

    /// An optional INTS.
    pub fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Attr::Ints(v)) => Ok(Some(v.clone())),
            Some(other) => wrong(name, "a list of integers", other),
        }
    }

    /// An optional FLOATS.
    pub fn floats(&self, name: &str) -> Result<Option<Vec<f32>>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Attr::Floats(v)) => Ok(Some(v.clone())),
            Some(other) => wrong(name, "a list of floats", other),
        }
    }

    /// An optional STRING.
    pub fn string(&self, name: &str) -> Result<Option<String>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Attr::Str(v)) => Ok(Some(v.clone())),
            Some(other) => wrong(name, "a string", other),
        }
    }

    /// A STRING with the standard's default.
    pub fn string_or(&self, name: &str, default: &str) -> Result<String, Refusal> {
        Ok(self.string(name)?.unwrap_or_else(|| default.to_owned()))
    }

    /// An optional STRINGS.
    pub fn strings(&self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Attr::Strs(v)) => Ok(Some(v.clone())),
            Some(other) => wrong(name, "a list of strings", other),
        }
    }

    /// An optional TENSOR.
    pub fn tensor(&self, name: &str) -> Result<Option<Tensor>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Attr::Tensor(v)) => Ok(Some(v.clone())),
            Some(other) => wrong(name, "a tensor", other),
        }
    }

    /// Attributes that carry no meaning for us but are known and harmless.
    pub fn ignore(&self, names: &[&str]) {
        self.asked.borrow_mut().extend(names.iter().map(|n| n.to_string()));
    }

    /// Refuses the node if it has an attribute that nobody asked for: then we do not know what it means.
    pub fn finish(&self) -> Result<(), Refusal> {
        let asked = self.asked.borrow();
        match self.attributes.keys().find(|name| !asked.contains(*name)) {
            Some(name) => unsupported(format!("attribute '{name}' is not known for this operator")),
            None => Ok(()),
        }
    }
}

/// The refusal of an attribute of another kind than the operator has.
fn wrong<T>(name: &str, expected: &str, found: &Attr) -> Result<T, Refusal> {
    if *found == Attr::Carried {
        return unsupported(format!("attribute '{name}' is of a kind or element type that is not supported"));
    }
    let kind = format!("{found:?}");
    let kind = kind.split('(').next().unwrap_or_default();
    invalid(format!("attribute '{name}' should be {expected}, found {kind}"))
}

/// Builds the map that [`super::Op::attributes`] returns, leaving out what is absent.
#[derive(Debug, Default)]
pub struct Writer(Attributes);

impl Writer {
    /// Adds `name`.
    pub fn put(mut self, name: &str, value: impl Into<Attr>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Adds `name` unless `value` is `None`.
    pub fn maybe<V: Into<Attr>>(self, name: &str, value: Option<V>) -> Self {
        match value {
            Some(value) => self.put(name, value),
            None => self,
        }
    }

    /// The map.
    pub fn done(self) -> Attributes {
        self.0
    }
}

macro_rules! into_attr {
    ($($t:ty => $v:ident),*) => {$(impl From<$t> for Attr { fn from(v: $t) -> Self { Self::$v(v) } })*};
}
into_attr!(i64 => Int, f32 => Float, String => Str, Vec<i64> => Ints, Vec<f32> => Floats, Vec<String> => Strs, Tensor => Tensor);
