//! The numbers that NumPy's files hold.
//!
//! *Takes*: a header's word for them, and bytes. *Gives*: numbers in double precision. *Never*: takes a structured type.

use std::fmt;

use half::f16;

/// The kind of a number in a file, with its size and byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DType {
    kind: Kind,
    size: usize,
    big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Uint,
    Float,
}

impl DType {
    pub const U8: Self = Self { kind: Kind::Uint, size: 1, big_endian: false };
    pub const F32: Self = Self { kind: Kind::Float, size: 4, big_endian: false };

    /// From a header: byte order, kind and size, as in `<f4`.
    pub fn parse(descr: &str) -> Option<Self> {
        let mut chars = descr.chars();
        let big_endian = chars.next()? == '>';
        let kind = match chars.next()? {
            'b' => Kind::Bool,
            'i' => Kind::Int,
            'u' => Kind::Uint,
            'f' => Kind::Float,
            _ => return None,
        };
        let size = chars.as_str().parse().ok()?;
        let known = match kind {
            Kind::Bool => size == 1,
            Kind::Int | Kind::Uint => matches!(size, 1 | 2 | 4 | 8),
            Kind::Float => matches!(size, 2 | 4 | 8),
        };
        known.then_some(Self { kind, size, big_endian: big_endian && size > 1 })
    }

    pub fn is_float(self) -> bool {
        self.kind == Kind::Float
    }

    /// The number of bytes of one value.
    pub fn size(self) -> usize {
        self.size
    }

    /// The value in `bytes` (of this dtype's size). Integers beyond 2^53 are rounded.
    pub fn number(self, bytes: &[u8]) -> f64 {
        let mut le = [0; 8];
        let n = self.size.min(8).min(bytes.len());
        le[..n].copy_from_slice(&bytes[..n]);
        if self.big_endian {
            le[..n].reverse();
        }
        let [a, b, c, d, ..] = le;
        match (self.kind, self.size) {
            (Kind::Float, 2) => f16::from_le_bytes([a, b]).to_f64(),
            (Kind::Float, 4) => f32::from_le_bytes([a, b, c, d]).into(),
            (Kind::Float, _) => f64::from_le_bytes(le),
            (Kind::Int, 1) => (a as i8).into(),
            (Kind::Int, 2) => i16::from_le_bytes([a, b]).into(),
            (Kind::Int, 4) => i32::from_le_bytes([a, b, c, d]).into(),
            (Kind::Int, _) => i64::from_le_bytes(le) as f64,
            (Kind::Uint | Kind::Bool, _) => u64::from_le_bytes(le) as f64,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = match self.kind {
            Kind::Bool => return write!(f, "bool"),
            Kind::Int => "int",
            Kind::Uint => "uint",
            Kind::Float => "float",
        };
        write!(f, "{name}{}", 8 * self.size)
    }
}
