//! Learning the gates: calibration data, gates, losses, optimiser, training loop.
pub mod calib;
