//! Image data sets.

use std::path::PathBuf;

use numpy::{PyArray1, PyArray4, PyArrayMethods};
use pyo3::prelude::*;
use zor::data::{FashionMnist, Images, Locations};
use zor::tasks::parts::data_sets;

use crate::error::exception;
use crate::threads::compute;

/// Images `[n, height, width, channels]` and their labels `[n]`.
type Part<'py> = (Bound<'py, PyArray4<u8>>, Bound<'py, PyArray1<u8>>);

/// Number of images of the sample that are for training; the others are for tests.
const SAMPLE_TRAINED: usize = 2000;

/// Loads a data set by name; downloads it if it is nowhere.
#[pyfunction]
#[pyo3(signature = (name, data_dir, download) -> "tuple[tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.uint8]], tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.uint8]]]")]
pub(crate) fn load_images<'py>(
    py: Python<'py>,
    name: &str,
    data_dir: Option<PathBuf>,
    download: bool,
) -> PyResult<(Part<'py>, Part<'py>)> {
    let (train, test) = compute(py, || {
        let set = data_sets::named(name).map_err(exception)?;
        let locations = Locations::from_environment(data_dir);
        if set.find(&locations).map_err(exception)?.is_none() {
            if !download {
                let message = format!(
                    "{name} was not found in data_dir, ZOR_DATA_DIR or the cache; download=True downloads it ({})",
                    set.download_size()
                );
                return Err(exception(zor::Error::input(message)));
            }
            set.fetch_if_possible(&locations).map_err(exception)?;
        }
        let loaded = set.load(&locations).map_err(exception)?;
        let missing = || exception(zor::Error::input(format!("{name} has no test images")));
        Ok((loaded.train, loaded.test.ok_or_else(missing)?))
    })?;
    Ok((part(py, &train)?, part(py, &test)?))
}

/// Loads the sample of Fashion-MNIST that is inside the package.
#[pyfunction]
#[pyo3(signature = () -> "tuple[tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.uint8]], tuple[numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.uint8]]]")]
pub(crate) fn load_sample(py: Python<'_>) -> PyResult<(Part<'_>, Part<'_>)> {
    let (train, test) = compute(py, || {
        let all = FashionMnist::sample().map_err(exception)?.train;
        let train = all.first(SAMPLE_TRAINED).map_err(exception)?;
        Ok((train, all.range(SAMPLE_TRAINED..all.len()).map_err(exception)?))
    })?;
    Ok((part(py, &train)?, part(py, &test)?))
}

fn part<'py>(py: Python<'py>, images: &Images) -> PyResult<Part<'py>> {
    let shape = images.shape();
    let mut values = Vec::with_capacity(images.len() * shape.len());
    (0..images.len()).for_each(|index| values.extend_from_slice(images.image(index)));
    let shape = [images.len(), shape.height, shape.width, shape.channels];
    let pixels = PyArray1::from_vec(py, values).reshape(shape)?;
    Ok((pixels, PyArray1::from_slice(py, images.labels())))
}
