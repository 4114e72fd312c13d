//! A Cortex-M4 as QEMU has it: starts, prints through semihosting, counts instructions with its
//! timer and the stack by painting it.
#![allow(unsafe_code, reason = "a stack that is painted, registers that are read")]

use core::fmt::Write as _;
use core::panic::PanicInfo;

use cortex_m_rt::{entry, exception};
use cortex_m_semihosting::{debug, hio};

use crate::{Memory, run};

/// QEMU's timer ticks every 40 ns (25 MHz), and with `-icount shift=0` every instruction takes 1
/// ns.
const PER_TICK: u64 = 40;
/// The timer has 24 bits; it interrupts when they are through.
const WHOLE: u32 = 0x00ff_ffff;
/// What unused stack is painted with.
const PAINT: u32 = 0x5a5a_5a5a;
/// How much of it, in words.
const PAINTED: usize = 16 * 1024;

static ROUNDS: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

#[entry]
fn start() -> ! {
    // The entry's own static: there once, lent for ever.
    static mut MEMORY: Memory = Memory::EMPTY;
    if let Some(mut core) = cortex_m::Peripherals::take() {
        core.SYST.set_reload(WHOLE);
        core.SYST.clear_current();
        core.SYST.set_clock_source(cortex_m::peripheral::syst::SystClkSource::Core);
        core.SYST.enable_interrupt();
        core.SYST.enable_counter();
    }
    let done = run(MEMORY);
    if let (Err(why), Ok(mut out)) = (done, hio::hstdout()) {
        let _ = writeln!(out, "{why}");
    }
    debug::exit(if done.is_ok() { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {}
}

#[exception]
fn SysTick() {
    ROUNDS.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    debug::exit(debug::EXIT_FAILURE);
    loop {}
}

pub(crate) fn print(what: &str, number: u64) {
    if let Ok(mut out) = hio::hstdout() {
        let _ = writeln!(out, "{what}: {number}");
    }
}

pub(crate) fn instructions() -> u64 {
    let rounds = || u64::from(ROUNDS.load(core::sync::atomic::Ordering::Relaxed));
    loop {
        let before = rounds();
        // It counts down, and is zero at the start.
        let ticks = (WHOLE + 1 - cortex_m::peripheral::SYST::get_current()) & WHOLE;
        if rounds() == before {
            return PER_TICK * (before * (u64::from(WHOLE) + 1) + u64::from(ticks));
        }
    }
}

/// Paints what lies below the stack pointer.
#[inline(never)]
pub(crate) fn paint_stack() {
    let top = cortex_m::register::msp::read() as usize - 256;
    for word in 1..=PAINTED {
        // SAFETY: the stack grows down through 4 MiB of memory, and nobody is below its pointer but
        // an interrupt that counts.
        unsafe { ((top - 4 * word) as *mut u32).write_volatile(PAINT) };
    }
}

/// How deep the stack has gone since it was painted.
#[inline(never)]
pub(crate) fn stack_used() -> u64 {
    let top = cortex_m::register::msp::read() as usize - 256;
    let untouched = (1..=PAINTED).rev().take_while(|word| {
        // SAFETY: as above; the word was written.
        unsafe { ((top - 4 * word) as *const u32).read_volatile() == PAINT }
    });
    256 + 4 * (PAINTED - untouched.count()) as u64
}
