//! A stand-in for NVIDIA's driver that runs nothing and writes down what it would have run.
//!
//! `cargo xtask gpu --kernels` puts it in the place of `libcuda.so`, so that the command compiles
//! and launches kernels as it would on a card. `RECORDER_FOLDER` receives a PTX file for every
//! kernel, numbered from 1, and `log`: a line for each launch
//! (`launch KERNEL GRID_X GRID_Y GRID_Z BLOCK_X BLOCK_Y BLOCK_Z SHARED_BYTES`) and for each copy to
//! the host (`read`). `RECORDER_CAPABILITY` is the card's compute capability, 80 or 90.
//!
//! Memory of the device does not exist: its addresses are numbers, and all that is read from it is
//! zero, so that errors are finite. Functions, arguments and numbers are those of the
//! [CUDA driver API](https://docs.nvidia.com/cuda/cuda-driver-api/).
#![allow(non_snake_case, reason = "the driver's names")]

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

/// CUDA 12.9, whose assembler the kernels are given to.
const DRIVER: c_int = 12_090;
/// Addresses of a page of their own for each allocation.
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

/// What is written down.
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

fn told(line: std::fmt::Arguments) -> c_int {
    let done = record(|recording| recording.log.write_all(format!("{line}\n").as_bytes()));
    if done.is_some() { SUCCESS } else { UNKNOWN }
}

/// Writes an answer to where the caller asked for it.
///
/// # Safety
/// `to` is null or can be written.
unsafe fn answer<T>(to: *mut T, value: T) -> c_int {
    if to.is_null() {
        return INVALID_VALUE;
    }
    // SAFETY: as the caller promises.
    unsafe { to.write(value) };
    SUCCESS
}

/// Functions whose work needs no device: they succeed. Arguments are left where the calling
/// convention puts them.
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

/// Functions that make something and answer with its handle, of which one serves for all.
macro_rules! one_handle {
    ($($name:ident)+) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(handle: *mut usize) -> c_int {
            // SAFETY: the driver's callers pass a place for the handle first.
            unsafe { answer(handle, 1) }
        }
    )+};
}

one_handle! { cuDevicePrimaryCtxRetain cuStreamCreate cuStreamCreateWithPriority cuEventCreate }

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDriverGetVersion(version: *mut c_int) -> c_int {
    // SAFETY: the caller passes a place for the answer.
    unsafe { answer(version, DRIVER) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    // SAFETY: the caller passes a place for the answer.
    unsafe { answer(count, 1) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGet(device: *mut c_int, number: c_int) -> c_int {
    // SAFETY: the caller passes a place for the answer.
    unsafe { answer(device, number) }
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
    // SAFETY: the text and the zero behind it fit.
    unsafe {
        to.copy_from_nonoverlapping(text.as_ptr(), text.len());
        to.add(text.len()).write(0);
    }
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) -> c_int {
    // SAFETY: the caller passes a place for the answer.
    unsafe { answer(bytes, card().memory) }
}

/// Numbers are those of `CUdevice_attribute`.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetAttribute(
    value: *mut c_int,
    attribute: c_uint,
    _device: c_int,
) -> c_int {
    let card = card();
    let found = match attribute {
        // Threads of a block, and the largest block.
        1..=3 => 1024,
        4 => 64,
        // The largest grid.
        5 => c_int::MAX,
        6 | 7 => 65_535,
        // Threads of a warp.
        10 => 32,
        16 => card.processors,
        75 => card.capability / 10,
        76 => card.capability % 10,
        97 => card.shared_bytes,
        _ => 0,
    };
    // SAFETY: the caller passes a place for the answer.
    unsafe { answer(value, found) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventElapsedTime(milliseconds: *mut f32) -> c_int {
    // SAFETY: the caller passes a place for the answer.
    unsafe { answer(milliseconds, 0.0) }
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
    // SAFETY: the caller passes a place for the answer.
    unsafe { answer(pointer, NEXT.fetch_add(size, Ordering::Relaxed)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAllocAsync(pointer: *mut u64, bytes: usize, _stream: usize) -> c_int {
    // SAFETY: as above.
    unsafe { cuMemAlloc_v2(pointer, bytes) }
}

/// Memory of the host is really there. It is never given back: a recording is short.
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
    // SAFETY: the caller passes a place for the answer.
    unsafe { answer(pointer, memory) }
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
    told(format_args!("read"))
}

/// `CUDA_MEMCPY2D`: where rows are copied from and to.
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
        // SAFETY: the rows described are the caller's.
        unsafe { copy.to_host.add(at).write_bytes(0, copy.width) };
    }
    told(format_args!("read"))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoadData(module: *mut usize, image: *const c_char) -> c_int {
    // SAFETY: images given to this driver are PTX, text that ends with a zero.
    let ptx = unsafe { CStr::from_ptr(image) };
    match record(|recording| recording.kernel(ptx)) {
        // SAFETY: the caller passes a place for the handle.
        Some(number) => unsafe { answer(module, number as usize) },
        None => UNKNOWN,
    }
}

/// A module has one kernel, whose handle is the module's.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetFunction(function: *mut usize, module: usize) -> c_int {
    // SAFETY: the caller passes a place for the handle.
    unsafe { answer(function, module) }
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
    told(format_args!(
        "launch {function} {grid_x} {grid_y} {grid_z} {block_x} {block_y} {block_z} {shared_bytes}"
    ))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorName(_error: c_int, name: *mut *const c_char) -> c_int {
    // SAFETY: the caller passes a place for the answer; the text lasts for ever.
    unsafe { answer(name, c"error of the recorder".as_ptr()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorString(error: c_int, text: *mut *const c_char) -> c_int {
    // SAFETY: as above.
    unsafe { cuGetErrorName(error, text) }
}
