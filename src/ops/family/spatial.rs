//! Family helper: windows over spatial axes (convolutions and pools): kernel, strides, dilations, pads, auto_pad.

use crate::graph::*;

/// The window attributes, as ONNX gives them.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Attribute auto_pad: NOTSET, VALID, SAME_UPPER or SAME_LOWER.
    pub auto_pad: String,
    /// Kernel extent per spatial axis; absent for a Conv that takes it from its weight.
    pub kernel_shape: Option<Vec<i64>>,
    /// Steps, or absent for ones.
    pub strides: Option<Vec<i64>>,
    /// Tap distances, or absent for ones.
    pub dilations: Option<Vec<i64>>,
    /// Padding: begins, then ends; or absent for zeros.
    pub pads: Option<Vec<i64>>,
}

/// A window resolved at a given input size, per spatial axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Kernel extent.
    pub kernel: Vec<usize>,
    /// Step.
    pub stride: Vec<usize>,
    /// Tap distance.
    pub dilation: Vec<usize>,
    /// Padding at the begin.
    pub begin: Vec<isize>,
    /// Padding at the end.
    pub end: Vec<isize>,
    /// Output extent.
    pub output: Vec<usize>,
}

impl Window {
    /// Reads the five attributes.
    pub fn read(r: &Reader) -> Result<Self, Refusal> {
        let window = Self {
            auto_pad: r.string_or("auto_pad", "NOTSET")?,
            kernel_shape: r.ints("kernel_shape")?,
            strides: r.ints("strides")?,
            dilations: r.ints("dilations")?,
            pads: r.ints("pads")?,
        };
        match window.auto_pad.as_str() {
            "NOTSET" | "VALID" | "SAME_UPPER" | "SAME_LOWER" => Ok(window),
            other => invalid(format!("auto_pad '{other}' is not defined")),
        }
    }

    /// Adds the five attributes to a writer.
    pub fn write(&self, w: Writer) -> Writer {
        let auto_pad = (self.auto_pad != "NOTSET").then(|| self.auto_pad.clone());
        w.maybe("auto_pad", auto_pad)
            .maybe("kernel_shape", self.kernel_shape.clone())
            .maybe("strides", self.strides.clone())
            .maybe("dilations", self.dilations.clone())
            .maybe("pads", self.pads.clone())
    }

    /// The window along some of the `axes` spatial axes: along the others it is one element wide and goes step by step.
    pub fn along(&self, axes: usize, is_one: impl Fn(usize) -> bool) -> Self {
        let some = |of: &Option<Vec<i64>>, otherwise: i64| {
            let keep = |(k, &v): (usize, &i64)| if is_one(k % axes) { v } else { otherwise };
            of.as_ref().map(|of| of.iter().enumerate().map(keep).collect())
        };
        Self {
            auto_pad: self.auto_pad.clone(),
            kernel_shape: some(&self.kernel_shape, 1),
            strides: some(&self.strides, 1),
            dilations: some(&self.dilations, 1),
            pads: some(&self.pads, 0),
        }
    }

    /// Kernel, strides, dilations as sizes, checked against the number of spatial axes.
    pub fn steps(&self, kernel: &[usize]) -> Result<[Vec<usize>; 3], Refusal> {
        let axes = kernel.len();
        let sizes = |name: &str, v: &Option<Vec<i64>>| -> Result<Vec<usize>, Refusal> {
            let v = v.clone().unwrap_or_else(|| vec![1; axes]);
            if v.len() != axes || v.iter().any(|&s| !(1..=1 << 20).contains(&s)) {
                return invalid(format!("{name} {v:?} does not fit {axes} spatial axes"));
            }
            Ok(v.iter().map(|&s| s as usize).collect())
        };
        Ok([kernel.to_vec(), sizes("strides", &self.strides)?, sizes("dilations", &self.dilations)?])
    }

    /// The given kernel extents, where the attribute is present.
    pub fn kernel(&self) -> Result<Option<Vec<usize>>, Refusal> {
        match &self.kernel_shape {
            Some(k) if k.iter().any(|&s| !(1..=1 << 20).contains(&s)) => {
                invalid(format!("kernel_shape {k:?} is out of range"))
            }
            Some(k) => Ok(Some(k.iter().map(|&s| s as usize).collect())),
            None => Ok(None),
        }
    }

    /// Explicit pads, begins then ends, or zeros.
    pub fn explicit_pads(&self, axes: usize) -> Result<Vec<isize>, Refusal> {
        match &self.pads {
            Some(p) if p.len() != 2 * axes || p.iter().any(|p| p.unsigned_abs() > 1 << 20) => {
                invalid(format!("pads {p:?} does not fit {axes} spatial axes"))
            }
            Some(p) => Ok(p.iter().map(|&p| p as isize).collect()),
            None => Ok(vec![0; 2 * axes]),
        }
    }

    /// Resolves pads and output extents at the spatial input extents `x`. `ceil` rounds the output up (pools).
    pub fn resolve(&self, x: &[usize], kernel: &[usize], ceil: bool) -> Result<Resolved, Refusal> {
        let [kernel, stride, dilation] = self.steps(kernel)?;
        let axes = x.len();
        if kernel.len() != axes {
            return invalid(format!("a kernel of {} axes over {axes} spatial axes", kernel.len()));
        }
        let pads = self.explicit_pads(axes)?;
        let mut r = Resolved { kernel, stride, dilation, begin: vec![], end: vec![], output: vec![] };
        for a in 0..axes {
            let reach = ((r.kernel[a] - 1) * r.dilation[a] + 1) as isize;
            let (size, stride) = (x[a] as isize, r.stride[a] as isize);
            let (begin, end) = match self.auto_pad.as_str() {
                "SAME_UPPER" | "SAME_LOWER" => {
                    let total = (((size + stride - 1) / stride - 1) * stride + reach - size).max(0);
                    let small = total / 2;
                    if self.auto_pad == "SAME_UPPER" {
                        (small, total - small)
                    } else {
                        (total - small, small)
                    }
                }
                "VALID" => (0, 0),
                _ => (pads[a], pads[a + axes]),
            };
            let room = size + begin + end - reach;
            if room < 0 {
                return invalid(format!("a window of reach {reach} does not fit an input of size {size}"));
            }
            let mut output = if ceil { (room + stride - 1) / stride + 1 } else { room / stride + 1 };
            // The last window must start inside the input or the padding at its begin.
            if ceil && (output - 1) * stride >= size + begin {
                output -= 1;
            }
            r.begin.push(begin);
            r.end.push(end);
            r.output.push(output as usize);
        }
        Ok(r)
    }

    /// Elements of the kernel; 1 where no attribute states them.
    pub fn taps(&self) -> f64 {
        self.kernel_shape.iter().flatten().product::<i64>() as f64
    }

    /// True where pads are stated that are not zero.
    pub fn has_pads(&self) -> bool {
        self.pads.iter().flatten().any(|&p| p != 0)
    }

    /// True where some step is larger than one.
    pub fn is_strided(&self) -> bool {
        self.strides.iter().flatten().any(|&s| s > 1)
    }
}

/// Three extents that end with `v`, the others `fill`.
pub fn three<T: Copy>(v: &[T], fill: T) -> [T; 3] {
    let mut out = [fill; 3];
    out[3 - v.len()..].copy_from_slice(v);
    out
}
