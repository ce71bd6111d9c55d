//! Files that are no ONNX models, recognised by their first bytes.
//!
//! Takes: bytes that could not be read as a model. Gives: a guess and a way out.
//! Never: decides whether a file is a model; that is the parser's word.

/// A recognised kind of file, and the way from it to an ONNX model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recognised {
    /// As in "this is …".
    pub kind: &'static str,
    /// What to do.
    pub hint: &'static str,
}

const CONVERT_KERAS: &str =
    "convert it with tf2onnx: python -m tf2onnx.convert --keras model.h5 --output model.onnx";
const CONVERT_TORCH: &str =
    "load it in PyTorch and export it: torch.onnx.export(model, example, 'model.onnx')";

/// (offset, magic bytes, kind, hint)
const MAGIC: &[(usize, &[u8], &str, &str)] = &[
    (
        0,
        b"PK\x03\x04",
        "a ZIP archive (a PyTorch .pt, a .keras or .npz file, or a zipped model)",
        CONVERT_TORCH,
    ),
    (0, b"\x80\x02", "a Python pickle (an old PyTorch .pt or .pth)", CONVERT_TORCH),
    (0, b"\x80\x04", "a Python pickle", CONVERT_TORCH),
    (0, b"\x89HDF\r\n", "an HDF5 file (Keras .h5)", CONVERT_KERAS),
    (
        4,
        b"TFL3",
        "a TensorFlow Lite model",
        "convert it with tf2onnx: python -m tf2onnx.convert --tflite model.tflite --output model.onnx",
    ),
    (4, b"ORTM", "a model in ONNX Runtime's own format (.ort)", "take the .onnx file that it was made from"),
    (0, b"GGUF", "a GGUF file", "this program takes convolutional networks as ONNX"),
    (0, b"\x93NUMPY", "a NumPy array", "give the model first; images and labels have flags of their own"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it first: gunzip or tar -xzf"),
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer, not the file it stands for",
        "fetch the file itself: git lfs pull",
    ),
    (0, b"<!DOCTYPE", "a web page", "download the file itself: on GitHub that is the 'raw' link"),
    (0, b"<html", "a web page", "download the file itself: on GitHub that is the 'raw' link"),
    (
        0,
        b"<?xml",
        "XML (an OpenVINO model's description, perhaps)",
        "take the .onnx file that it was made from",
    ),
    (0, b"7767517", "an ncnn model", "take the .onnx file that it was made from"),
    (
        0,
        b"ir_version",
        "a model in protobuf's text format",
        "convert it: onnx.save(google.protobuf.text_format.Parse(text, onnx.ModelProto()), 'model.onnx')",
    ),
];

/// The kind of file that the bytes begin like; `None` where nothing fits.
pub fn sniff(bytes: &[u8]) -> Option<Recognised> {
    let known = MAGIC.iter().find(|(at, magic, ..)| bytes.get(*at..).is_some_and(|b| b.starts_with(magic)));
    if let Some(&(_, _, kind, hint)) = known {
        return Some(Recognised { kind, hint });
    }
    let start = &bytes[..bytes.len().min(512)];
    let text = std::str::from_utf8(start).map_or_else(|e| &start[..e.valid_up_to()], str::as_bytes);
    let printable = |b: &u8| !b.is_ascii_control() || b.is_ascii_whitespace();
    if text.len() + 4 < start.len() || !text.iter().all(printable) {
        return None;
    }
    if text.windows(10).any(|w| w == b"ir_version") {
        let hint = "convert it: onnx.save(onnx.parser.parse_model(text), 'model.onnx')";
        return Some(Recognised { kind: "a model in ONNX's text syntax", hint });
    }
    Some(Recognised { kind: "a text file", hint: "give an ONNX model: a binary file, usually called .onnx" })
}
