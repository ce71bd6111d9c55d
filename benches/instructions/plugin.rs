//! A plugin for QEMU's user emulation that counts the instructions a program executes, and says so as it ends.
//!
//!     rustc --crate-type cdylib -O plugin.rs
//!     qemu-aarch64 -plugin ./libplugin.so -d plugin PROGRAM …
//!
//! Only what QEMU's plugin interface (version 1, QEMU 4.2 and later; docs/devel/tcg-plugins) names is used: the count is
//! raised by a block's number of instructions each time the block is entered, without a call. Two threads that execute at
//! once lose counts: it is meant for programs that compute on one.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// A plugin's number, given by QEMU.
type Id = u64;

/// A block of translated instructions. Only QEMU knows what is in it.
#[repr(C)]
struct Block {
    _hidden: [u8; 0],
}

/// QEMU's "add so much to a number in memory".
const ADD: c_uint = 0;

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, translated: extern "C" fn(Id, *mut Block));
    fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    fn qemu_plugin_register_vcpu_tb_exec_inline(block: *mut Block, op: c_uint, number: *mut c_void, by: u64);
    fn qemu_plugin_register_atexit_cb(id: Id, ends: extern "C" fn(Id, *mut c_void), data: *mut c_void);
    fn qemu_plugin_outs(text: *const c_char);
}

/// The interface's version that this is written for; QEMU looks for it by name.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: c_int = 1;

/// Instructions so far. Written by the code that QEMU generates.
static mut COUNT: u64 = 0;

extern "C" fn translated(_: Id, block: *mut Block) {
    // SAFETY: QEMU hands out a block that is valid during this call; the count lives as long as the process.
    unsafe {
        let instructions = qemu_plugin_tb_n_insns(block) as u64;
        qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, (&raw mut COUNT).cast(), instructions);
    }
}

extern "C" fn ends(_: Id, _: *mut c_void) {
    // SAFETY: nothing is executed any more; the text ends in a zero byte.
    unsafe {
        let text = format!("instructions {}\n\0", (&raw const COUNT).read_volatile());
        qemu_plugin_outs(text.as_ptr().cast());
    }
}

/// Called by QEMU as it starts.
///
/// # Safety
/// Only QEMU calls it, once, with the number that it gave.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    _: *const c_void,
    _: c_int,
    _: *const *const c_char,
) -> c_int {
    // SAFETY: both are functions of QEMU's interface, given functions that live as long as the process.
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
        qemu_plugin_register_atexit_cb(id, ends, std::ptr::null_mut());
    }
    0
}
