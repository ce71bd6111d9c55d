//! Tests of the module on small models of its own, on damaged bytes, and on whole models where they are at hand.

mod bad;
mod external;
mod guard;
mod make;
mod patch;
mod real;
mod storage;
