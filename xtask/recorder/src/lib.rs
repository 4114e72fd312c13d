//! A replacement of the NVIDIA driver that runs nothing and logs every kernel and launch.
//!
//! `cargo xtask gpu --kernels` loads it in place of `libcuda.so`, so that the command compiles and
//! launches kernels as on a card. `RECORDER_FOLDER` receives a PTX file for every kernel, numbered
//! from 1, and `log`: a line for each launch
//! (`launch KERNEL GRID_X GRID_Y GRID_Z BLOCK_X BLOCK_Y BLOCK_Z SHARED_BYTES`) and for each copy to
//! the host (`read`). `RECORDER_CAPABILITY` is the card's compute capability, 80 or 90.
//!
//! There is no device memory: its addresses are numbers, and reads return zeros, so that errors are
//! finite. Functions, arguments and numbers are those of the
//! [CUDA driver API](https://docs.nvidia.com/cuda/cuda-driver-api/).
#![allow(non_snake_case, reason = "names of the driver")]

use std::alloc::{Layout, alloc_zeroed};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

const SUCCESS: c_int = 0;
const INVALID_VALUE: c_int = 1;
const OUT_OF_MEMORY: c_int = 2;
const UNKNOWN: c_int = 999;

/// CUDA 12.9, the version of the assembler.
const DRIVER: c_int = 12_090;
/// Alignment of allocations in bytes.
const ALIGNMENT: u64 = 512;

struct Card {
    name: &'static str,
    capability: c_int,
    memory: usize,
    processors: c_int,
    shared_bytes: c_int,
}

const CARDS: [Card; 2] = [
    Card {
        name: "A100, not there",
        capability: 80,
        memory: 80 << 30,
        processors: 108,
        shared_bytes: 163 << 10,
    },
    Card {
        name: "H200, not there",
        capability: 90,
        memory: 141 << 30,
        processors: 132,
        shared_bytes: 227 << 10,
    },
];

fn card() -> &'static Card {
    static NAME: LazyLock<String> =
        LazyLock::new(|| std::env::var("RECORDER_CAPABILITY").unwrap_or_default());
    CARDS.iter().find(|card| card.capability.to_string() == *NAME).unwrap_or(&CARDS[1])
}

/// The log and the number of kernels.
struct Recording {
    folder: PathBuf,
    log: File,
    kernels: u32,
}

impl Recording {
    fn begin() -> std::io::Result<Self> {
        let folder = PathBuf::from(std::env::var_os("RECORDER_FOLDER").unwrap_or_default());
        fs::create_dir_all(&folder)?;
        let log = OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
        let there = fs::read_dir(&folder)?.flatten();
        let kernels = there.filter(|file| file.path().extension().is_some_and(|e| e == "ptx"));
        Ok(Self { log, kernels: kernels.count() as u32, folder })
    }

    fn kernel(&mut self, ptx: &CStr) -> std::io::Result<u32> {
        self.kernels += 1;
        fs::write(self.folder.join(format!("{}.ptx", self.kernels)), ptx.to_bytes())?;
        Ok(self.kernels)
    }
}

fn record<T>(write: impl FnOnce(&mut Recording) -> std::io::Result<T>) -> Option<T> {
    static RECORDING: LazyLock<Mutex<Option<Recording>>> =
        LazyLock::new(|| Mutex::new(Recording::begin().ok()));
    let mut recording = RECORDING.lock().unwrap_or_else(PoisonError::into_inner);
    recording.as_mut().and_then(|recording| write(recording).ok())
}

fn log(line: std::fmt::Arguments) -> c_int {
    let done = record(|recording| recording.log.write_all(format!("{line}\n").as_bytes()));
    if done.is_some() { SUCCESS } else { UNKNOWN }
}

/// Writes a result to the address that the caller passed.
///
/// # Safety
/// `to` is null or valid for writes.
unsafe fn put<T>(to: *mut T, value: T) -> c_int {
    if to.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: by the contract of this function.
    unsafe { to.write(value) };
    SUCCESS
}

/// Defines functions that do nothing and succeed. They ignore their arguments, which the C calling
/// convention allows.
macro_rules! nothing_to_do {
    ($($name:ident)+) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> c_int {
            SUCCESS
        }
    )+};
}

nothing_to_do! {
    cuInit cuCtxSetCurrent cuDevicePrimaryCtxRelease_v2 cuFuncSetAttribute cuModuleUnload
    cuStreamDestroy_v2 cuStreamSynchronize cuStreamWaitEvent cuCtxSynchronize
    cuEventDestroy_v2 cuEventRecord cuEventSynchronize cuEventQuery
    cuMemFree_v2 cuMemFreeAsync
    cuMemcpyHtoDAsync_v2 cuMemcpyDtoDAsync_v2 cuMemsetD8Async
    cuTensorMapEncodeTiled cuTensorMapEncodeIm2col cuTensorMapEncodeIm2colWide
}

/// Defines functions that create an object: all return the same handle.
macro_rules! one_handle {
    ($($name:ident)+) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(handle: *mut usize) -> c_int {
            // SAFETY: the first argument is the address for the handle.
            unsafe { put(handle, 1) }
        }
    )+};
}

one_handle! { cuDevicePrimaryCtxRetain cuStreamCreate cuStreamCreateWithPriority cuEventCreate }

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDriverGetVersion(version: *mut c_int) -> c_int {
    // SAFETY: the caller passes an address for the result.
    unsafe { put(version, DRIVER) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    // SAFETY: the caller passes an address for the result.
    unsafe { put(count, 1) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGet(device: *mut c_int, number: c_int) -> c_int {
    // SAFETY: the caller passes an address for the result.
    unsafe { put(device, number) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetName(name: *mut u8, length: c_int, _device: c_int) -> c_int {
    // SAFETY: the caller passes room for this many bytes.
    unsafe { text(name, length, card().name) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetPCIBusId(id: *mut u8, length: c_int, _device: c_int) -> c_int {
    // SAFETY: the caller passes room for this many bytes.
    unsafe { text(id, length, "0000:00:00.0") }
}

/// # Safety
/// `to` has room for `length` bytes.
unsafe fn text(to: *mut u8, length: c_int, text: &str) -> c_int {
    let room = usize::try_from(length).unwrap_or(0);
    if to.is_null() || text.len() >= room {
        return INVALID_VALUE;
    }
    // SAFETY: the text and its terminating zero fit.
    unsafe {
        to.copy_from_nonoverlapping(text.as_ptr(), text.len());
        to.add(text.len()).write(0);
    }
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) -> c_int {
    // SAFETY: the caller passes an address for the result.
    unsafe { put(bytes, card().memory) }
}

/// Returns attributes by their numbers in `CUdevice_attribute`.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetAttribute(
    value: *mut c_int,
    attribute: c_uint,
    _device: c_int,
) -> c_int {
    let card = card();
    let found = match attribute {
        // Maximum threads per block, and maximum dimensions of a block.
        1..=3 => 1024,
        4 => 64,
        // Maximum dimensions of a grid.
        5 => c_int::MAX,
        6 | 7 => 65_535,
        // Threads per warp.
        10 => 32,
        16 => card.processors,
        75 => card.capability / 10,
        76 => card.capability % 10,
        97 => card.shared_bytes,
        _ => 0,
    };
    // SAFETY: the caller passes an address for the result.
    unsafe { put(value, found) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventElapsedTime(milliseconds: *mut f32) -> c_int {
    // SAFETY: the caller passes an address for the result.
    unsafe { put(milliseconds, 0.0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventElapsedTime_v2(milliseconds: *mut f32) -> c_int {
    // SAFETY: as above.
    unsafe { cuEventElapsedTime(milliseconds) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAlloc_v2(pointer: *mut u64, bytes: usize) -> c_int {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
    let size = (bytes as u64).next_multiple_of(ALIGNMENT);
    // SAFETY: the caller passes an address for the result.
    unsafe { put(pointer, NEXT.fetch_add(size, Ordering::Relaxed)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAllocAsync(pointer: *mut u64, bytes: usize, _stream: usize) -> c_int {
    // SAFETY: as above.
    unsafe { cuMemAlloc_v2(pointer, bytes) }
}

/// Allocates host memory. It is never freed: a recording is short.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAllocHost_v2(pointer: *mut *mut u8, bytes: usize) -> c_int {
    let Ok(layout) = Layout::from_size_align(bytes.max(1), ALIGNMENT as usize) else {
        return INVALID_VALUE;
    };
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        return OUT_OF_MEMORY;
    }
    // SAFETY: the caller passes an address for the result.
    unsafe { put(pointer, memory) }
}

nothing_to_do! { cuMemFreeHost }

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoHAsync_v2(
    host: *mut u8,
    _device: u64,
    bytes: usize,
    _stream: usize,
) -> c_int {
    // SAFETY: the caller passes room for this many bytes.
    unsafe { host.write_bytes(0, bytes) };
    log(format_args!("read"))
}

/// `CUDA_MEMCPY2D`: source and destination of copied rows.
#[repr(C)]
struct Copy2d {
    _from: [usize; 7],
    to_x: usize,
    to_y: usize,
    to_kind: c_uint,
    to_host: *mut u8,
    _to_device: u64,
    _to_array: *mut c_void,
    to_pitch: usize,
    width: usize,
    height: usize,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpy2DAsync_v2(copy: *const Copy2d, _stream: usize) -> c_int {
    /// `CU_MEMORYTYPE_HOST`.
    const HOST: c_uint = 1;
    // SAFETY: the caller passes a description.
    let copy = unsafe { &*copy };
    if copy.to_kind != HOST {
        return SUCCESS;
    }
    for row in 0..copy.height {
        let at = (copy.to_y + row) * copy.to_pitch + copy.to_x;
        // SAFETY: the caller owns the described rows.
        unsafe { copy.to_host.add(at).write_bytes(0, copy.width) };
    }
    log(format_args!("read"))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoadData(module: *mut usize, image: *const c_char) -> c_int {
    // SAFETY: modules passed to this driver are PTX, text that ends with a zero.
    let ptx = unsafe { CStr::from_ptr(image) };
    match record(|recording| recording.kernel(ptx)) {
        // SAFETY: the caller passes an address for the handle.
        Some(number) => unsafe { put(module, number as usize) },
        None => UNKNOWN,
    }
}

/// Returns the handle of the module for its only kernel.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetFunction(function: *mut usize, module: usize) -> c_int {
    // SAFETY: the caller passes an address for the handle.
    unsafe { put(function, module) }
}

#[unsafe(no_mangle)]
extern "C" fn cuLaunchKernel(
    function: usize,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared_bytes: c_uint,
) -> c_int {
    log(format_args!(
        "launch {function} {grid_x} {grid_y} {grid_z} {block_x} {block_y} {block_z} {shared_bytes}"
    ))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorName(_error: c_int, name: *mut *const c_char) -> c_int {
    // SAFETY: the caller passes an address for the result; the text is static.
    unsafe { put(name, c"error of the recorder".as_ptr()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorString(error: c_int, text: *mut *const c_char) -> c_int {
    // SAFETY: as above.
    unsafe { cuGetErrorName(error, text) }
}
