//! Calibration data: what the gates are trained on.
//!
//! *Takes*: arrays, `.npy`, `.npz`, a folder of images, a folder with one sub-folder per class, or nothing at all; labels; and the
//! network's inputs.
//!
//! *Gives*: a [`Dataset`], and once the network is known a [`BoundDataset`]: samples kept as compact as they came (uint8 stays uint8)
//! and normalised when they are written out, labels, class names, and notes on everything that was done to the data unasked.
//!
//! *Never*: guesses between two readings that fit equally well without saying so, allocates what a header claims without
//! holding it against the file, panics on a bad file, or changes the data's order (a random subset keeps it too).

mod arrange;
mod array;
mod augment;
mod bound;
mod dataset;
mod dtype;
mod feature;
mod fit;
mod folder;
mod given;
mod labels;
mod layout;
mod listing;
mod npy;
mod npz;
mod options;
mod pixel_layout;
mod reader;
mod sanity;
mod several;
mod source;
mod split;
mod synthetic;
#[cfg(test)]
mod testing;
mod usual;
mod values;

pub use self::bound::{BoundDataset, Summary};
pub use self::dataset::Dataset;
pub use self::given::Samples;
pub use self::layout::Layout;
pub use self::options::{Augment, Augmentation, Preprocess, Resize, parse_size};
pub use self::reader::is_image_of;
pub use self::split::{Split, Subset};
pub use self::usual::Usual;
pub use self::values::{InputSpec, Values};
