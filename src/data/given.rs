//! Calibration data that a caller hands over as arrays.
//!
//! *Takes*: one array per input, in the order of the network's. *Gives*: a [`Source`]. *Never*: asks less of them than of files.

use super::Preprocess;
use super::dtype::DType;
use super::npy::Npy;
use super::pixel_layout::Target;
use super::several::Several;
use super::source::{Picker, Source};
use crate::{Error, Result};
use ndarray::{Array, ArrayD, ArrayView, ArrayViewD, Axis, Dimension, concatenate};

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

impl<D: Dimension> From<ArrayView<'_, u8, D>> for Samples {
    fn from(array: ArrayView<u8, D>) -> Self {
        array.to_owned().into()
    }
}

impl<D: Dimension> From<ArrayView<'_, f32, D>> for Samples {
    fn from(array: ArrayView<f32, D>) -> Self {
        array.to_owned().into()
    }
}

impl Samples {
    fn shape(&self) -> &[usize] {
        match self {
            Self::Pixels(a) => a.shape(),
            Self::Numbers(a) => a.shape(),
        }
    }

    /// Number of samples.
    pub(super) fn len(&self) -> usize {
        self.shape().first().copied().unwrap_or(0)
    }

    /// Batches, one after the other. Errors where their types or shapes differ.
    pub(super) fn concatenate(batches: Vec<Self>) -> Result<Self> {
        let hint = "give batches of one type, with equal sizes but for the first axis";
        let (mut pixels, mut numbers) = (Vec::new(), Vec::new());
        for batch in &batches {
            match batch {
                Self::Pixels(a) => pixels.push(a.view()),
                Self::Numbers(a) => numbers.push(a.view()),
            }
        }
        fn join<T: Copy>(parts: &[ArrayViewD<T>], hint: &str) -> Result<ArrayD<T>> {
            concatenate(Axis(0), parts).map_err(|e| Error::arrays(e.to_string(), hint))
        }
        match (pixels.is_empty(), numbers.is_empty()) {
            (false, false) => Err(Error::arrays("some are bytes and some are real numbers", hint)),
            (false, true) if pixels.iter().all(|a| a.ndim() > 0) => join(&pixels, hint).map(Self::Pixels),
            (true, false) if numbers.iter().all(|a| a.ndim() > 0) => join(&numbers, hint).map(Self::Numbers),
            (true, true) => Err(Error::arrays("there is none", hint)),
            _ => Err(Error::arrays("one is a single number", hint)),
        }
    }

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
    use super::super::{Dataset, InputSpec, Preprocess};
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
        let of = |samples: super::Samples| {
            let data = Dataset::from_array(samples).unwrap().labels([4, 9]).unwrap();
            data.preprocess(raw()).bind(&inputs).unwrap()
        };
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
        let error = |samples: &[super::Samples]| {
            let data = Dataset::from_arrays(samples.iter().cloned());
            data.and_then(|data| data.preprocess(raw()).bind(&inputs)).unwrap_err()
        };
        let image = || Array4::<u8>::zeros((2, 2, 3, 1)).into();
        says(&error(&[image()]), &["1 arrays for 2 inputs", "image, hint"]);
        says(&error(&[image(), Array2::<f32>::zeros((3, 2)).into()]), &["3", "2 samples"]);
        says(&error(&[image(), Array2::<f32>::zeros((2, 5)).into()]), &["'hint'", "[2, 5]", "[n, 2]"]);
        says(&error(&[image(), Array2::from_elem((2, 2), f32::NAN).into()]), &["'hint'", "NaN"]);
        let fine = [image(), Array2::<f32>::zeros((2, 2)).into()];
        says(&Dataset::from_arrays(fine).unwrap().labels([1]).unwrap_err(), &["1 labels", "2 samples"]);
        says(&Dataset::from_arrays([]).unwrap_err(), &["no array"]);
    }

    #[test]
    fn batches_are_laid_one_after_the_other() {
        let inputs = [input("x", &[1, 2])];
        let batch = |from: f32, n| Array2::from_shape_fn((n, 2), |(i, k)| from + (2 * i + k) as f32);
        let data = Dataset::from_batches([batch(0.0, 2), batch(4.0, 1)]).unwrap().bind(&inputs).unwrap();
        assert_eq!((data.len(), sample(&data, 2, 2)), (3, vec![4., 5.]));
        says(&Dataset::from_batches([batch(0.0, 2), Array2::zeros((2, 3))]).unwrap_err(), &["batches"]);
        let mixed = [super::Samples::from(batch(0.0, 2)), Array2::<u8>::zeros((2, 2)).into()];
        says(&Dataset::from_batches(mixed).unwrap_err(), &["bytes", "real"]);
    }
}
