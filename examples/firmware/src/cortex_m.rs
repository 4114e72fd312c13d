//! A Cortex-M4 in QEMU: start-up, output by semihosting, an instruction count from the timer, and
//! the stack depth by painting.
#![allow(unsafe_code, reason = "paints the stack and reads registers")]

use core::fmt::Write as _;
use core::panic::PanicInfo;

use cortex_m_rt::{entry, exception};
use cortex_m_semihosting::{debug, hio};

use crate::{Memory, run};

/// Instructions per tick: QEMU's timer ticks every 40 ns (25 MHz), and with `-icount shift=0` an
/// instruction takes 1 ns.
const PER_TICK: u64 = 40;
/// Reload value of the 24-bit timer, which interrupts when it wraps.
const WHOLE: u32 = 0x00ff_ffff;
/// Pattern of unused stack.
const PAINT: u32 = 0x5a5a_5a5a;
/// Number of painted words.
const PAINTED: usize = 16 * 1024;

/// Number of times that the timer has wrapped.
static ROUNDS: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);

#[entry]
fn start() -> ! {
    // `#[entry]` turns this static into a `&'static mut`.
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
        // The timer counts down, from zero at the start.
        let ticks = (WHOLE + 1 - cortex_m::peripheral::SYST::get_current()) & WHOLE;
        if rounds() == before {
            return PER_TICK * (before * (u64::from(WHOLE) + 1) + u64::from(ticks));
        }
    }
}

/// Paints the stack below the stack pointer.
#[inline(never)]
pub(crate) fn paint_stack() {
    let top = cortex_m::register::msp::read() as usize - 256;
    for word in 1..=PAINTED {
        // SAFETY: the stack grows down through 4 MiB of memory, and only the timer's interrupt uses
        // the memory below its pointer.
        unsafe { ((top - 4 * word) as *mut u32).write_volatile(PAINT) };
    }
}

/// Returns the maximum depth of the stack since it was painted, in bytes.
#[inline(never)]
pub(crate) fn stack_used() -> u64 {
    let top = cortex_m::register::msp::read() as usize - 256;
    let untouched = (1..=PAINTED).rev().take_while(|word| {
        // SAFETY: the address is within the stack, and `paint_stack` wrote the word.
        unsafe { ((top - 4 * word) as *const u32).read_volatile() == PAINT }
    });
    256 + 4 * (PAINTED - untouched.count()) as u64
}
