//! The processors that times can be predicted for.
//!
//! The kernels' figures for Cortex-A7, A9, A53 and A55 are those that tract-linalg 0.23.9 carries to choose its kernels by
//! (`cost-model gather` on boards, 2026-07-16; medians of predicted ÷ measured 1.04 on the A53 and 1.06 on the A7 over its own
//! data). tract carries none for the A72, for which its kernel's 4 multiply-accumulates per cycle at 1.5 GHz are taken with an
//! efficiency of 85 %. What surrounds the products is not in those tables: one pass over a value is taken as its bytes, read
//! and written, at the memory speeds of a Raspberry Pi 2, 3B+ and 4B (about 1, 2 and 4 GB/s), and what is more than that as
//! counted instructions, one per cycle on cores that execute in order and two on the others. `bench --calibrate` measures both
//! on a board.

use super::operators::{DEPTHWISE, GATHERED};
use super::{Kernel, Speed};
use std::fmt;

/// A processor with figures of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Cpu {
    /// Raspberry Pi 2.
    CortexA7,
    /// For comparison: an older core of 32 bits.
    CortexA9,
    /// Raspberry Pi 3 and Zero 2.
    CortexA53,
    /// The A53's successor.
    CortexA55,
    /// Raspberry Pi 4.
    CortexA72,
}

/// Rows, columns, seconds per multiply-accumulate, per tile and per product.
type Row = (usize, usize, f64, f64, f64);

const A7: [Row; 4] = [
    (8, 6, 1.2186382e-9, 3.1301494e-7, 0.0),
    (8, 4, 1.3589725e-9, 2.7785512e-7, 0.0),
    (32, 1, 1.5368065e-9, 3.004327e-7, 1.2703205e-6),
    (8, 1, 2.0166966e-9, 2.8888527e-7, 1.0519947e-6),
];

const A9: [Row; 4] = [
    (8, 6, 7.941577e-10, 6.231035e-7, 0.0),
    (8, 4, 9.158042e-10, 4.911403e-7, 0.0),
    (32, 1, 2.3473936e-9, 6.8262224e-8, 0.0),
    (8, 1, 4.0768318e-9, 1.5258387e-7, 0.0),
];

const A53: [Row; 9] = [
    (12, 8, 2.8207145e-10, 5.859334e-7, 0.0),
    (8, 8, 3.197513e-10, 4.006281e-7, 0.0),
    (8, 8, 4.315911e-10, 3.0625472e-7, 0.0),
    (24, 4, 3.4215872e-10, 4.7207325e-7, 0.0),
    (16, 4, 3.7181394e-10, 3.7162545e-7, 0.0),
    (16, 4, 4.825415e-10, 3.1376825e-7, 0.0),
    (32, 3, 6.5014943e-10, 2.7273488e-8, 0.0),
    (64, 1, 1.1534866e-9, 0.0, 0.0),
    (32, 1, 1.7822834e-9, 0.0, 0.0),
];

const A55: [Row; 8] = [
    (12, 8, 1.7690283e-10, 3.6212484e-7, 0.0),
    (8, 8, 1.9925044e-10, 2.3050548e-7, 0.0),
    (16, 4, 2.3863866e-10, 1.8111712e-7, 0.0),
    (24, 4, 2.7847827e-10, 1.0751241e-7, 0.0),
    (24, 4, 2.605783e-10, 2.2945895e-7, 0.0),
    (32, 3, 3.477515e-10, 2.5755304e-7, 0.0),
    (64, 1, 7.1618295e-10, 0.0, 0.0),
    (32, 1, 8.06941e-10, 0.0, 0.0),
];

const A72: [Row; 2] = [(8, 8, 1.96e-10, 1.0e-7, 0.0), (64, 1, 5.0e-10, 0.0, 0.0)];

impl Cpu {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::CortexA7, Self::CortexA9, Self::CortexA53, Self::CortexA55, Self::CortexA72];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::CortexA7 => "cortex-a7",
            Self::CortexA9 => "cortex-a9",
            Self::CortexA53 => "cortex-a53",
            Self::CortexA55 => "cortex-a55",
            Self::CortexA72 => "cortex-a72",
        }
    }

    /// Its times for the parts of an inference.
    pub fn speed(self) -> Speed {
        let tract = "kernels as tract-linalg 0.23.9 carries them, the rest assumed";
        // Kernels, seconds of a pass, instructions per second.
        let (rows, pass, rate, origin): (&[Row], f64, f64, &str) = match self {
            Self::CortexA7 => (&A7, 8.0e-9, 0.9e9, tract),
            Self::CortexA9 => (&A9, 6.0e-9, 2.0 * 1.0e9, tract),
            Self::CortexA53 => (&A53, 4.0e-9, 1.4e9, tract),
            Self::CortexA55 => (&A55, 3.0e-9, 1.8e9, tract),
            Self::CortexA72 => (&A72, 2.0e-9, 2.0 * 1.5e9, "assumed from the core's peak at 1.5 GHz"),
        };
        let narrow = matches!(self, Self::CortexA7 | Self::CortexA9);
        let kernel = |&(rows, columns, mac, tile, call): &Row| Kernel { rows, columns, mac, tile, call };
        Speed {
            name: self.name().to_owned(),
            origin: origin.to_owned(),
            kernels: rows.iter().map(kernel).collect(),
            element: pass,
            instruction: 1.0 / rate,
            narrow,
            packed: GATHERED.of(narrow) / rate,
            depthwise: DEPTHWISE.of(narrow) / rate,
            call: 2.0e-6,
        }
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}
