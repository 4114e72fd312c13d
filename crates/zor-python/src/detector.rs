//! Detectors of anomalies.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;

use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use zor::core::burn::tensor::Device;
use zor::data::table::Table;
use zor::detection::{Detection, Detector as Inner, DetectorConfig};
use zor::settings::Options;

use crate::arrays::array_of;
use crate::error::{exception, input, of_file, of_kind};
use crate::interrupt::compute_heard;
use crate::threads::{compute, detached, in_pool};

/// A table: a path, or its name and the contents of a CSV file or of a NumPy array.
#[derive(FromPyObject)]
pub(crate) enum Source {
    /// Name for messages, the bytes, and whether they are those of a NumPy array.
    Contents(String, Vec<u8>, bool),
    /// Path of a file.
    Path(PathBuf),
}

impl Source {
    fn read(&self) -> PyResult<Table> {
        match self {
            Self::Path(path) => Table::read(path).map_err(|error| of_file(path, error)),
            Self::Contents(name, bytes, true) => Table::from_npy(name, bytes).map_err(exception),
            Self::Contents(name, bytes, false) => Table::parse(name, bytes).map_err(exception),
        }
    }
}

/// A detector of anomalies.
#[pyclass(frozen, module = "zor._zor")]
pub(crate) struct Detector(Mutex<Box<Inner>>);

/// Scores and p-values `[rows]`; parts `[rows, cells]`; values and expected values, encoded,
/// `[rows, width]`.
type Scores<'py> = (
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray2<f32>>,
);

/// Column, share of the score, value and expected value of a cell.
type CauseParts = (String, f32, String, String);

impl Detector {
    fn of(detector: Inner) -> Self {
        Self(Mutex::new(Box::new(detector)))
    }

    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Inner) -> PyResult<T> + Send,
    ) -> PyResult<T> {
        detached(py, || {
            let mut detector = self.0.lock().map_err(|_| {
                of_kind(
                    "internal",
                    "an earlier call failed inside this detector, so that its state is unknown; load or fit it again",
                )
            })?;
            let detector: &mut Inner = &mut detector;
            in_pool(false, || work(detector))
        })
    }
}

#[pymethods]
impl Detector {
    /// Learns from the rows of a table, with settings as JSON.
    #[staticmethod]
    #[pyo3(signature = (table, settings, on_step))]
    fn fit(
        py: Python<'_>,
        table: Source,
        settings: &str,
        on_step: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let options = options(settings)?;
        let detector = compute_heard(py, |mut signals| {
            let mut raised = None;
            let table = table.read()?;
            let config = DetectorConfig::of(options);
            let mut steps = 0;
            let fitted = Inner::fit_observed(&config, &table, &Device::flex(), &mut |_| {
                steps += 1;
                let heard = signals.check(|py| match &on_step {
                    Some(function) => function.call1(py, (steps,)).map(drop),
                    None => Ok(()),
                });
                match heard {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        raised = Some(error);
                        ControlFlow::Break(())
                    }
                }
            });
            match raised.take() {
                Some(error) => Err(error),
                None => fitted.map_err(exception),
            }
        })?;
        Ok(Self::of(detector))
    }

    /// Loads a detector from a model file or the folder of a run or task.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let found = compute(py, || {
            Inner::load(&path, &Device::flex()).map_err(|error| of_file(&path, error))
        })?;
        Ok(Self::of(found))
    }

    /// Loads a detector from the bytes of a model file.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        let found = compute(py, || Inner::from_bytes(bytes, &Device::flex()).map_err(exception))?;
        Ok(Self::of(found))
    }

    /// Saves a model file.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        self.with(py, |detector| detector.save(&path).map_err(exception))
    }

    /// Returns the bytes of a model file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.with(py, |detector| detector.to_bytes().map_err(exception))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Scores the rows of a table.
    #[pyo3(signature = (table) -> "tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]")]
    fn score<'py>(&self, py: Python<'py>, table: Source) -> PyResult<Scores<'py>> {
        let found = self.with(py, |detector| {
            let table = table.read()?;
            detector.score(&table).map_err(exception)
        })?;
        let rows = found.len();
        let column = |of: fn(&Detection) -> f32| {
            PyArray1::from_vec(py, found.iter().map(of).collect::<Vec<f32>>())
        };
        let matrix = |of: fn(&Detection) -> &Vec<f32>| {
            let values: Vec<f32> = found.iter().flat_map(of).copied().collect();
            let width = values.len() / rows.max(1);
            array_of(py, values, [rows, width])
        };
        Ok((
            column(|row| row.score),
            column(|row| row.p_value),
            matrix(|row| &row.parts)?,
            matrix(|row| &row.values)?,
            matrix(|row| &row.expected)?,
        ))
    }

    /// Returns the cells that make a row strange, the strangest first.
    fn explain(
        &self,
        py: Python<'_>,
        parts: Vec<f32>,
        values: Vec<f32>,
        expected: Vec<f32>,
        most: usize,
    ) -> PyResult<Vec<CauseParts>> {
        let detection = Detection { score: 0.0, p_value: 1.0, parts, values, expected };
        self.with(py, |detector| {
            let scheme = &detector.scoring().scheme;
            let (cells, width) = (scheme.cells().len(), scheme.width());
            if [detection.parts.len(), detection.values.len(), detection.expected.len()]
                != [cells, width, width]
            {
                return Err(input(format!(
                    "these scores have {} cells; the detector has {cells}: explain scores with the detector that made them",
                    detection.parts.len()
                )));
            }
            let causes = detector.explain(&detection, most).into_iter();
            Ok(causes.map(|one| (one.column, one.share, one.value, one.expected)).collect())
        })
    }

    /// Returns the names of the cells of a row.
    fn cells(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.with(py, |detector| {
            let scheme = &detector.scoring().scheme;
            Ok((0..scheme.cells().len()).map(|cell| scheme.name(cell)).collect())
        })
    }

    /// Returns the score above which a share `rate` of normal rows is expected.
    fn threshold(&self, py: Python<'_>, rate: f32) -> PyResult<f32> {
        self.with(py, |detector| detector.scoring().calibration.threshold(rate).map_err(exception))
    }

    /// Returns the sum of the sizes of the trained weights.
    fn n_parameters(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |detector| Ok(detector.network().n_parameters()))
    }
}

/// Reads settings that are JSON.
pub(crate) fn options(json: &str) -> PyResult<Options> {
    let table: toml::Table =
        serde_json::from_str(json).map_err(|error| input(format!("the settings: {error}")))?;
    Options::from_table(table).map_err(exception)
}
