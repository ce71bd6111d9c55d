//! The roles of the axes of an array of images.
//!
//! *Takes*: an array's shape and type, and the network's image. *Gives*: a [`Fit`], or why there is none. *Never*: leaves open which of
//! two readings is taken where both fit: the order is written down here.

use std::io::Read;

use super::dtype::DType;
use super::fit::Steps;
use super::npy::Npy;
use super::pixel_layout::{Image, Order, Size, Target};
use super::{Preprocess, fit};
use crate::{Error, Result, Setting};

/// Storage of an array's images, and the steps to the network's size.
pub(super) struct Fit {
    pub order: Order,
    pub from: Size,
    pub steps: Steps,
    pub to: Size,
    pub target_order: Order,
}

/// Finds out which axes of `array` are what. Pixels (uint8) are packed if they can be; floats are as the network takes
/// them if they can be, else planar, else packed.
pub(super) fn arrange<R: Read>(
    array: &Npy<R>,
    target: &Target,
    image: Image,
    pre: &Preprocess,
    notes: &mut Vec<String>,
) -> Result<Fit> {
    let pixels = array.dtype == DType::U8;
    let to = image.size;
    if is_single(&array.shape, to) {
        return Err(single(array));
    }
    let axes = match array.shape[..] {
        [_, a, b, c] => [a, b, c],
        [_, h, w] if to.channels == 1 => [h, w, 1],
        [_, _, _] => {
            return Err(misfit(array, target, "these look like grey images: repeat them for each channel"));
        }
        _ => {
            return Err(misfit(array, target, "give images as [n, h, w, c] (uint8) or [n, c, h, w] (float)"));
        }
    };
    let grey = array.shape.len() == 3;
    let orders = match (grey || pixels, image.order) {
        (true, _) | (_, Order::Packed) => [Order::Packed, Order::Planar],
        _ => [Order::Planar, Order::Packed],
    };
    let exact = orders.into_iter().find(|o| o.size(axes) == to);
    let order = exact.or_else(|| orders.into_iter().find(|o| o.size(axes).channels == to.channels));
    let Some(order) = order else {
        let reason =
            format!("neither the first nor the last axis of an image has {} channel(s)", to.channels);
        let hint = format!(
            "convert the images (grey, RGB or RGBA) as the network takes them; {} if its axes are misread",
            Setting::Layout
        );
        return Err(array.fail(
            format!("with shape {:?} does not fit {}: {reason}", array.shape, target.describe()),
            hint,
        ));
    };
    let from = order.size(axes);
    let steps = fit::steps(pre, from.sides(), to.sides(), false).map_err(|(reason, hint)| {
        let reason =
            format!("with shape {:?} does not fit {}: an image {reason}", array.shape, target.describe());
        array.fail(reason, hint)
    })?;
    if steps.resize.is_some() && !pixels {
        let reason = format!("holds {} images of {from}, and only uint8 images can be resized", array.dtype);
        return Err(array.fail(reason, format!("resize them to {to} before saving, or save uint8")));
    }
    if steps.crop.is_some() && pre.crop.is_none() {
        notes.push(format!("images were cut to {to} around the centre"));
    }
    Ok(Fit { order, from, steps, to, target_order: image.order })
}

/// The error of an array whose axes do not suit the input.
pub(super) fn misfit<R: Read>(array: &Npy<R>, target: &Target, hint: &str) -> Error {
    array.fail(format!("with shape {:?} does not fit {}", array.shape, target.describe()), hint)
}

/// True for the axes of one picture where a set of them is wanted.
fn is_single(axes: &[usize], to: Size) -> bool {
    match *axes {
        [_, _] => to.channels == 1,
        // Grey pictures, one after the other, have three axes too.
        [_, _, c] if to.channels == 1 => c == 1 && to.width != 1,
        [a, _, c] => a == to.channels || c == to.channels,
        _ => false,
    }
}

/// The error of an array that is one sample.
pub(super) fn single<R: Read>(array: &Npy<R>) -> Error {
    let reason = format!("with shape {:?} is one sample, without an axis that counts samples", array.shape);
    array.fail(reason, "stack many along a new first axis: numpy.stack, or array[numpy.newaxis] for this one")
}
