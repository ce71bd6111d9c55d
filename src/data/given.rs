//! Calibration data that a caller hands over as arrays.
//!
//! *Takes*: one array per input, in the order of the network's. *Gives*: a [`Source`]. *Never*: asks less of them than of files.

use super::array::Several;
use super::npy::{DType, Npy};
use super::pixel_layout::Target;
use super::{Picker, Preprocess, Source};
use crate::{Error, Result};
use ndarray::{Array, ArrayD, Dimension};

/// Samples of one input, along an array's first axis.
#[derive(Debug, Clone)]
pub enum Samples {
    /// Pixels from 0 to 255: `[n, h, w, c]`, grey `[n, h, w]`, or `[n, c, h, w]` where only that fits.
    Pixels(ArrayD<u8>),
    /// Real numbers: `[n, c, h, w]`, or exactly the network's shape with n in front.
    Numbers(ArrayD<f32>),
}

impl<D: Dimension> From<Array<u8, D>> for Samples {
    fn from(array: Array<u8, D>) -> Self {
        Self::Pixels(array.into_dyn())
    }
}

impl<D: Dimension> From<Array<f32, D>> for Samples {
    fn from(array: Array<f32, D>) -> Self {
        Self::Numbers(array.into_dyn())
    }
}

impl Samples {
    /// Type, shape and bytes in row-major order.
    fn parts(&self) -> (DType, Vec<usize>, Vec<u8>) {
        match self {
            Self::Pixels(a) => (DType::U8, a.shape().to_vec(), a.iter().copied().collect()),
            Self::Numbers(a) => {
                (DType::F32, a.shape().to_vec(), a.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
        }
    }
}

pub(super) fn load(
    samples: &[Samples],
    targets: &[Target],
    pre: &Preprocess,
    picker: Picker,
) -> Result<Source> {
    if samples.len() != targets.len() {
        let names: Vec<_> = targets.iter().map(|t| t.name.as_str()).collect();
        let reason = format!("{} arrays for {} inputs: {}", samples.len(), targets.len(), names.join(", "));
        return Err(Error::arrays(reason, "give one array per input, in this order"));
    }
    let mut several = Several::default();
    for (samples, target) in samples.iter().zip(targets) {
        let (dtype, shape, bytes) = samples.parts();
        let array = Npy::held(format!("the array for '{}'", target.name), dtype, shape, &bytes[..]);
        several.add(array, target, pre, Preprocess::applies(target, targets.len()), picker)?;
    }
    several.source(None)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{sample, says};
    use super::super::{Calibration, InputSpec, Preprocess};
    use ndarray::{Array2, Array3, Array4, ShapeBuilder};

    fn input(name: &str, shape: &[usize]) -> InputSpec {
        InputSpec { name: name.into(), shape: shape.into(), ..InputSpec::default() }
    }

    fn raw() -> Preprocess {
        Preprocess { scale: Some(1.0), ..Preprocess::default() }
    }

    #[test]
    fn arrays_give_what_files_of_them_would() {
        let pixels = Array4::from_shape_fn((2, 2, 3, 1), |(n, y, x, _)| (10 * n + 3 * y + x) as u8);
        let inputs = [input("image", &[1, 1, 2, 3])];
        let of = |samples| Calibration::from_arrays(&inputs, &[samples], Some(&[4, 9]), &raw()).unwrap();
        let calib = of(pixels.clone().into());
        assert_eq!((calib.len(), calib.labels()), (2, Some(&[4, 9][..])));
        assert_eq!(sample(&calib, 1, 6), [10., 11., 12., 13., 14., 15.]);
        // Numbers in any order of memory.
        let planar = pixels.mapv(f32::from).permuted_axes([0, 3, 1, 2]);
        assert_eq!(sample(&of(planar.into()), 1, 6), [10., 11., 12., 13., 14., 15.]);
        let fortran = Array3::from_shape_fn((2, 2, 3).f(), |(n, y, x)| (10 * n + 3 * y + x) as u8);
        assert_eq!(sample(&of(fortran.into()), 1, 6), [10., 11., 12., 13., 14., 15.]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let inputs = [input("image", &[1, 1, 2, 3]), input("hint", &[1, 2])];
        let error = |samples: &[super::Samples], labels: Option<&[u32]>| {
            Calibration::from_arrays(&inputs, samples, labels, &raw()).unwrap_err()
        };
        let image = || Array4::<u8>::zeros((2, 2, 3, 1)).into();
        says(&error(&[image()], None), &["1 arrays for 2 inputs", "image, hint"]);
        says(&error(&[image(), Array2::<f32>::zeros((3, 2)).into()], None), &["'hint'", "3 samples", "2"]);
        says(&error(&[image(), Array2::<f32>::zeros((2, 5)).into()], None), &["'hint'", "[2, 5]", "[n, 2]"]);
        says(&error(&[image(), Array2::from_elem((2, 2), f32::NAN).into()], None), &["'hint'", "NaN"]);
        let fine = [image(), Array2::<f32>::zeros((2, 2)).into()];
        says(&error(&fine, Some(&[1])), &["1 labels", "2 samples"]);
    }
}
