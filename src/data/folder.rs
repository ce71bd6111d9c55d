//! Folders of image files.
//!
//! *Takes*: a folder with images, or with one sub-folder per class. *Gives*: a [`Source`] of decoded images in the
//! network's size, in the order of their names whatever the number of threads. *Never*: skips a file that should have been an
//! image unasked, waits for one that is a pipe, or follows the orientation a camera noted down.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageReader};
use rayon::prelude::*;

use super::feature::{Feature, Norm, Store, retain};
use super::listing::{Listing, list};
use super::pixel_layout::{Image, Order, PixelLayout, Size, Target};
use super::source::{Picker, Source};
use super::{Preprocess, Values, fit, sanity};
use crate::support::files;
use crate::{Error, Result, Setting};

/// The picked images of the folder `path` for a network's only input. Errors where that is no picture.
pub(super) fn read(path: &Path, targets: &[Target], pre: &Preprocess, picker: Picker) -> Result<Source> {
    let (target, image) = match targets {
        [target] => (target, target.image),
        _ => {
            let reason = format!("holds images for one input, the network has {}", targets.len());
            return Err(Error::file(path, reason, "give an .npz with one array per input"));
        }
    };
    let Some(image) = image.filter(|i| matches!(i.size.channels, 1 | 3 | 4)) else {
        let reason = format!("holds image files, and {} is no grey, RGB or RGBA image", target.describe());
        return Err(Error::file(
            path,
            reason,
            format!("give the data as .npy; {} if the input's axes are misread", Setting::Layout),
        ));
    };
    let Listing { files, labels, classes, mut notes } = list(path)?;
    let mut picks = picker.pick(files.len());
    let (pixels, bad) = decode(path, &files, &mut picks, image, pre, &mut notes)?;

    let layout = PixelLayout { size: image.size, from: Order::Packed, to: image.order, swap: pre.bgr };
    let scale = pre.scale.unwrap_or(pixels.default_scale());
    let norm = match target.values {
        Values::Real => Norm::new(pre, scale, image.size.channels),
        Values::Whole { .. } => Norm::none(image.size.channels),
    };
    let feature = Feature::new(pixels, target, Some(layout), norm);
    feature.check_values().map_err(|(index, value)| {
        let reason = format!(
            "holds the value {value} in {}, and {} takes {}",
            files[picks[index]],
            target.describe(),
            target.values
        );
        Error::file(path, reason, "give what the network takes as an array")
    })?;
    if target.values == Values::Real {
        sanity::check(&feature, pre).map_err(|(reason, hint)| Error::file(path, reason, hint))?;
    }
    let total = files.len();
    Ok(Source { features: vec![feature], picks, bad, total, names: Some(files), labels, classes, notes })
}

/// Changes to one image that nobody asked for.
#[derive(Debug, Clone, Copy)]
struct Done {
    fitted: bool,
    greyed: bool,
}

/// The picked images as uint8, `[picks, height, width, channels]`; where images may be left out, the ones that cannot be decoded
/// are no longer picked.
fn decode(
    path: &Path,
    files: &[String],
    picks: &mut Vec<usize>,
    image: Image,
    pre: &Preprocess,
    notes: &mut Vec<String>,
) -> Result<(Store, Vec<Error>)> {
    let Some(bytes) = picks.len().checked_mul(image.size.len()) else {
        let hint = format!("take fewer with {}", Setting::CalibSize);
        return Err(Error::file(path, "holds too many images for memory", hint));
    };
    let mut pixels = vec![0; bytes];
    let results: Vec<Result<Done>> = pixels
        .par_chunks_mut(image.size.len())
        .zip(&*picks)
        .map(|(out, &i)| one(&path.join(&files[i]), image.size, pre, out))
        .collect();
    let good: Vec<bool> = results.iter().map(Result::is_ok).collect();
    let (mut done, mut bad) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => done.push(one),
            Err(e) => bad.push(e),
        }
    }
    // In order, so that the first bad file is named whatever the threads did.
    let usable = pre.skip_bad && !done.is_empty();
    if let Some(first) = bad.pop_if(|_| !usable) {
        return Err(bad.into_iter().next().unwrap_or(first));
    }
    retain(&mut pixels, image.size.len(), &good);
    retain(picks, 1, &good);
    let fitted = done.iter().filter(|d| d.fitted).count();
    let greyed = done.iter().filter(|d| d.greyed).count();
    let all = done.len();
    if fitted > 0 && pre.resize.is_none() {
        let size = image.size;
        notes.push(format!(
            "{fitted} of {all} images were scaled to cover {size} and cut to it around the centre"
        ));
    } else if fitted > 0 {
        notes.push(format!("{fitted} of {all} images were cut to {} around the centre", image.size));
    }
    if greyed > 0 {
        notes.push(format!("{greyed} of {all} images had colours and were made grey"));
    }
    Ok((Store::U8(pixels), bad))
}

/// Decodes one image into `out`, in the network's size.
fn one(path: &PathBuf, to: Size, pre: &Preprocess, out: &mut [u8]) -> Result<Done> {
    let hint =
        &format!("replace or remove that file, or leave out what cannot be used with {}", Setting::SkipBad);
    let broken = |reason: String| Error::file(path, reason, hint);
    let reader = ImageReader::new(BufReader::new(files::open(path, hint)?)).with_guessed_format();
    let reader = reader.map_err(|e| Error::io(path, e, hint))?;
    let image = reader.decode().map_err(|e| broken(format!("cannot be decoded: {e}")))?;
    let greyed = to.channels == 1 && image.color().has_color();
    let size = Size { channels: to.channels, height: image.height() as usize, width: image.width() as usize };
    let steps = fit::steps(pre, size.sides(), to.sides(), true)
        .map_err(|(reason, hint)| Error::file(path, format!("the image {reason}"), hint))?;
    let pixels = fit::bring(&raw(image, to.channels), Order::Packed, size, steps, to);
    if pixels.len() != out.len() {
        return Err(broken(format!("gives {} values instead of {}", pixels.len(), out.len())));
    }
    out.copy_from_slice(&pixels);
    let fitted = pre.crop.is_none() && steps.any() && (pre.resize.is_none() || steps.crop.is_some());
    Ok(Done { fitted, greyed })
}

/// Packed pixels, converted to grey, RGB or RGBA.
fn raw(image: DynamicImage, channels: usize) -> Vec<u8> {
    match channels {
        1 => image.into_luma8().into_raw(),
        3 => image.into_rgb8().into_raw(),
        _ => image.into_rgba8().into_raw(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{BoundDataset, Layout, Resize};
    use super::*;
    use tempfile::TempDir;

    const RGB: &[usize] = &[1, 3, 4, 4];

    fn unit() -> Preprocess {
        Preprocess { scale: Some(1.0), ..Default::default() }
    }

    /// A folder with 4x4 images of one colour.
    fn folder(images: &[(&str, [u8; 3])]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        images.iter().for_each(|(name, colour)| save_image(&dir.path().join(name), 4, 4, *colour));
        dir
    }

    fn noted(calib: &BoundDataset, words: &[&str]) {
        let all = calib.notes().join("\n");
        words.iter().for_each(|w| assert!(all.contains(w), "'{w}' is missing in:\n{all}"));
    }

    /// The first value of each channel of an NCHW sample.
    fn colour(calib: &BoundDataset, i: usize) -> [f32; 3] {
        let all = sample(calib, i, 48);
        [all[0], all[16], all[32]]
    }

    #[test]
    fn what_cannot_be_used_is_named_or_left_out_with_its_label() {
        let red = [200, 0, 0];
        let dir =
            folder(&[("a/0.png", red), ("a/1.png", [0, 50, 0]), ("b/2.png", red), ("b/3.png", [0, 0, 9])]);
        std::fs::write(dir.path().join("b/2.png"), "no picture").unwrap();
        #[cfg(unix)]
        {
            std::fs::remove_file(dir.path().join("a/0.png")).unwrap();
            let made = std::process::Command::new("mkfifo").arg(dir.path().join("a/0.png")).status();
            assert!(made.unwrap().success());
        }
        #[cfg(not(unix))]
        std::fs::write(dir.path().join("a/0.png"), "").unwrap();
        says(&load(dir.path(), None, RGB, &unit()).unwrap_err(), &["0.png", "`skip_bad`"]);
        let calib = load(dir.path(), None, RGB, &Preprocess { skip_bad: true, ..unit() }).unwrap();
        assert_eq!((calib.len(), calib.labels()), (2, Some(&[0, 1][..])));
        assert_eq!((calib.name(0), calib.name(1)), ("a/1.png".to_owned(), "b/3.png".to_owned()));
        assert_eq!((sample(&calib, 0, 48)[16], sample(&calib, 1, 48)[32]), (50.0, 9.0));
        noted(&calib, &["2 of 4 samples were left out", "a/0.png"]);
        std::fs::write(dir.path().join("a/1.png"), "").unwrap();
        std::fs::write(dir.path().join("b/3.png"), "").unwrap();
        let e = load(dir.path(), None, RGB, &Preprocess { skip_bad: true, ..unit() }).unwrap_err();
        says(&e, &["0.png"]);
    }

    #[test]
    fn a_flat_folder_is_sorted_by_name_and_has_no_labels() {
        let dir = folder(&[("b.png", [4, 5, 6]), ("a.bmp", [1, 2, 3]), ("c.PNG", [7, 8, 9])]);
        std::fs::write(dir.path().join(".hidden.png"), b"x").unwrap();
        let calib = load(dir.path(), None, RGB, &unit()).unwrap();
        assert_eq!(
            (0..3).map(|i| colour(&calib, i)).collect::<Vec<_>>(),
            [[1., 2., 3.], [4., 5., 6.], [7., 8., 9.]]
        );
        assert_eq!((calib.name(1).as_str(), calib.labels(), calib.notes().len()), ("b.png", None, 0));
        let default = load(dir.path(), None, RGB, &Preprocess::default()).unwrap();
        assert!((colour(&default, 0)[2] - 3.0 / 255.0).abs() < 1e-7);
    }

    #[test]
    fn class_folders_give_labels_by_sorted_name_and_empty_ones_keep_their_number() {
        let dir = folder(&[("zebra/1.png", [9; 3]), ("ape/2.png", [1; 3]), ("ape/1.png", [2; 3])]);
        std::fs::create_dir(dir.path().join("bee")).unwrap();
        let calib = load(dir.path(), None, RGB, &unit()).unwrap();
        assert_eq!(calib.labels(), Some(&[0, 0, 2][..]));
        assert_eq!(calib.classes().unwrap(), ["ape", "bee", "zebra"]);
        assert_eq!([0, 1, 2].map(|i| colour(&calib, i)[0]), [2., 1., 9.]);
        assert_eq!(calib.name(2), "zebra/1.png");
        noted(&calib, &["keep their class number: bee"]);
    }

    #[test]
    fn what_is_ignored_is_noted() {
        let dir = folder(&[
            ("a/1.png", [0; 3]),
            ("b/1.png", [0; 3]),
            ("loose.png", [0; 3]),
            ("b/deep/1.png", [0; 3]),
        ]);
        std::fs::write(dir.path().join("readme.md"), b"x").unwrap();
        let calib = load(dir.path(), None, RGB, &unit()).unwrap();
        assert_eq!(calib.len(), 2);
        noted(&calib, &["loose.png", "readme.md", "b/deep"]);
        let dir = folder(&[("a.png", [0; 3]), ("b.png", [0; 3]), ("thumbs/1.png", [0; 3])]);
        let calib = load(dir.path(), None, RGB, &unit()).unwrap();
        assert_eq!((calib.len(), calib.labels()), (2, None));
        noted(&calib, &["thumbs"]);
    }

    #[test]
    fn folders_without_images_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let fail = |words: &[&str]| says(&load(dir.path(), None, RGB, &unit()).unwrap_err(), words);
        fail(&["empty folder", "png"]);
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        fail(&["no images", "sub"]);
        std::fs::write(dir.path().join("notes.txt"), b"x").unwrap();
        fail(&["no images", "notes.txt"]);
        std::fs::write(dir.path().join("train.npy"), b"x").unwrap();
        fail(&["no images", "array itself", "train.npy"]);
    }

    #[test]
    fn a_corrupt_image_is_named() {
        let dir = folder(&[("a.png", [1; 3]), ("z.png", [1; 3])]);
        std::fs::write(dir.path().join("m.png"), b"not an image").unwrap();
        std::fs::write(dir.path().join("n.png"), b"nor this").unwrap();
        says(&load(dir.path(), None, RGB, &unit()).unwrap_err(), &["m.png", "cannot be decoded"]);
        let whole = std::fs::read(dir.path().join("a.png")).unwrap();
        std::fs::write(dir.path().join("m.png"), &whole[..whole.len() / 2]).unwrap();
        says(&load(dir.path(), None, RGB, &unit()).unwrap_err(), &["m.png"]);
    }

    #[test]
    fn colours_become_grey_with_a_note_and_grey_becomes_rgb() {
        let dir = folder(&[("a.png", [255, 0, 0])]);
        let calib = load(dir.path(), None, &[1, 1, 4, 4], &unit()).unwrap();
        let grey = sample(&calib, 0, 16)[0];
        assert!((30.0..100.0).contains(&grey), "{grey}");
        noted(&calib, &["1 of 1 images had colours"]);
        image::GrayImage::from_pixel(4, 4, image::Luma([7])).save(dir.path().join("a.png")).unwrap();
        assert_eq!(colour(&load(dir.path(), None, RGB, &unit()).unwrap(), 0), [7.0; 3]);
        let calib = load(dir.path(), None, &[1, 1, 4, 4], &unit()).unwrap();
        assert!(calib.notes().is_empty() && sample(&calib, 0, 16) == [7.0; 16]);
        let rgba = sample(
            &load(dir.path(), None, &[1, 4, 4, 4], &Preprocess { layout: Layout::Nhwc, ..unit() }).unwrap(),
            0,
            64,
        );
        assert_eq!(rgba[..4], [7., 7., 7., 255.]);
    }

    #[test]
    fn bgr_and_nhwc() {
        let dir = folder(&[("a.png", [10, 20, 30])]);
        let bgr = Preprocess { bgr: true, mean: vec![1.0, 0.0, 0.0], ..unit() };
        assert_eq!(colour(&load(dir.path(), None, RGB, &bgr).unwrap(), 0), [29., 20., 10.]);
        let nhwc = Preprocess { layout: Layout::Nhwc, ..unit() };
        let calib = load(dir.path(), None, &[1, 4, 4, 3], &nhwc).unwrap();
        assert_eq!(sample(&calib, 0, 48)[..4], [10., 20., 30., 10.]);
    }

    #[test]
    fn other_sizes_are_fitted_with_a_note_or_as_told() {
        let dir = folder(&[("a.png", [50; 3])]);
        save_image(&dir.path().join("b.png"), 12, 8, [60; 3]);
        let calib = load(dir.path(), None, RGB, &unit()).unwrap();
        assert_eq!(sample(&calib, 1, 48), [60.0; 48]);
        noted(&calib, &["1 of 2 images", "4x4"]);
        let told = Preprocess { resize: Some(Resize::Shorter(6)), crop: Some((4, 4)), ..unit() };
        assert!(load(dir.path(), None, RGB, &told).unwrap().notes().is_empty());
        let cut = Preprocess { crop: Some((8, 8)), ..unit() };
        says(&load(dir.path(), None, &[1, 3, 8, 8], &cut).unwrap_err(), &["a.png", "4x4", "8x8", "`resize`"]);
    }

    #[test]
    fn labels_of_a_file_win_and_follow_the_names() {
        let dir = folder(&[("a/1.png", [1; 3]), ("b/1.png", [2; 3])]);
        let outside = tempfile::tempdir().unwrap();
        let file = outside.path().join("y.csv");
        std::fs::write(&file, "b/1.png,5\na/1.png,6\n").unwrap();
        let calib = load(dir.path(), Some(&file), RGB, &unit()).unwrap();
        assert_eq!((calib.labels(), calib.classes()), (Some(&[6, 5][..]), None));
        noted(&calib, &["y.csv"]);
        says(&calib.check_labels(6).unwrap_err(), &["a/1.png", "label 6", "y.csv"]);
        std::fs::write(&file, "1\n2\n3\n").unwrap();
        says(&load(dir.path(), Some(&file), RGB, &unit()).unwrap_err(), &["3 labels", "2 samples"]);
    }

    #[test]
    fn a_limit_decodes_only_what_it_keeps() {
        let names: Vec<String> = (0..40).map(|i| format!("{i:02}.png")).collect();
        let images: Vec<(&str, [u8; 3])> =
            names.iter().map(String::as_str).zip((0..40).map(|i| [i; 3])).collect();
        let dir = folder(&images);
        let few = BoundDataset::load(dir.path(), None, &spec(RGB), &unit(), Some(9), 3).unwrap();
        for i in 0..9 {
            assert_eq!(format!("{:02}.png", colour(&few, i)[0] as u8), few.name(i));
        }
    }

    #[test]
    fn inputs_that_are_no_images_are_refused() {
        let dir = folder(&[("a.png", [1; 3])]);
        says(&load(dir.path(), None, &[1, 48], &unit()).unwrap_err(), &["[n, 48]", ".npy"]);
        says(&load(dir.path(), None, &[1, 5, 8, 8], &unit()).unwrap_err(), &["[n, 5, 8, 8]"]);
        let two = [spec(RGB), spec(RGB)].concat();
        let e = BoundDataset::load(dir.path(), None, &two, &unit(), None, 0).unwrap_err();
        says(&e, &["has 2", ".npz"]);
    }
}
