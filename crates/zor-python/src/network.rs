//! Networks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use numpy::{PyArray1, PyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::{Value, json};
use zor::backprop::alignment;
use zor::core::burn::tensor::{Device, Tensor, TensorData};
use zor::core::{self, ErrorMetrics, GateConfig, Input, Layer, LayerConfig, Role, Rule, Workspace};
use zor::io::{DType, Header, Registry};
use zor::training::memory;

use crate::activation::activation;
use crate::arrays::{
    Matrix, Targets, Values, Weighting, array, array_of, check_free, lend, target,
};
use crate::calls::{self, Identity};
use crate::error::{exception, input, of_file, of_kind};
use crate::exit;
use crate::optimizer::Optimizer;
use crate::sequences::Inputs;
use crate::threads::{compute, detached, in_pool};

/// Maximum number of values of the widest layer in a block of rows that is predicted at once.
const BLOCK: usize = 1 << 22;
/// Bytes of a weight with the state of an optimizer: the value and two moments.
const BYTES_OF_A_WEIGHT: u64 = 12;
/// Kind of a gate whose activation function is written in Python, in the JSON of layers.
const PYTHON_GATE: &str = "python_gate";

/// A network: layers, their weights and the state of their training.
#[pyclass(frozen, module = "zor._zor")]
pub(crate) struct Network {
    /// Boxed: Python aligns its objects to 16 bytes, and a network asks for more.
    inner: Mutex<Box<core::Network>>,
    identity: Identity,
    /// Whether an activation function is written in Python.
    has_functions: bool,
    /// Values of a sample in all layers, input and output included.
    values: u64,
    /// Maximum number of rows that are predicted at once.
    block: usize,
    /// Values of an output.
    output_size: usize,
}

/// Number of values, and the sums of their absolute and squared errors.
type Sums = (usize, f64, f64);

fn sums(metrics: ErrorMetrics) -> Sums {
    (metrics.elements, metrics.sums.absolute, metrics.sums.squared)
}

impl Network {
    fn of(network: core::Network, has_functions: bool) -> PyResult<Self> {
        let shapes = network.shapes().map_err(exception)?;
        let sizes = || shapes.iter().map(|shape| shape.iter().product::<usize>());
        Ok(Self {
            identity: Identity::new(),
            has_functions,
            values: sizes().map(|size| size as u64).sum(),
            block: match network.layers().iter().any(|layer| rows_meet(&**layer)) {
                true => usize::MAX,
                false => (BLOCK / sizes().max().unwrap_or(1).max(1)).max(1),
            },
            output_size: sizes().next_back().unwrap_or(1),
            inner: Mutex::new(Box::new(network)),
        })
    }

    /// Runs a computation on the network, without the interpreter's lock. Other threads wait.
    pub(crate) fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut core::Network) -> PyResult<T> + Send,
    ) -> PyResult<T> {
        if calls::is_running(self.identity) {
            return Err(input(
                "the network is in use by the call that led here; an activation function cannot call its own network",
            ));
        }
        detached(py, || {
            let mut network = self.inner.lock().map_err(|_| {
                of_kind(
                    "internal",
                    "an earlier call failed inside this network, so that its state is unknown; load or build it again",
                )
            })?;
            let network: &mut core::Network = &mut network;
            in_pool(self.has_functions, || {
                calls::run(self.identity, || {
                    let result = work(network);
                    calls::take_raised().map_or(result, Err)
                })
            })
        })
    }

    /// [`Network::with`], after which the state of the layers is as before if an activation
    /// function has raised an exception.
    fn with_state<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut core::Network) -> PyResult<T> + Send,
    ) -> PyResult<T> {
        self.with(py, |network| {
            let carried = self.has_functions.then(|| network.carried_state());
            let result = work(network);
            if let Some(carried) = carried.filter(|_| result.is_err() || calls::has_raised()) {
                network.set_carried_state(carried).map_err(exception)?;
            }
            result
        })
    }

    /// Returns the outputs that a network computes for a batch.
    fn outputs<'py>(
        &self,
        py: Python<'py>,
        x: &Matrix<'py>,
        work: impl FnOnce(&mut core::Network, Tensor<2>) -> core::Result<Tensor<2>> + Send,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        self.check_memory(x.shape()[0], 2)?;
        let input = lend(x, &Device::flex())?;
        let handle = input.clone();
        let output = self.with_state(py, |network| {
            let output = work(network, input).map_err(exception)?;
            drop(handle);
            Ok(output)
        })?;
        array(py, output)
    }

    /// Compares a network's outputs for a batch with a target. Needs memory for `copies` of the
    /// values of all layers.
    fn compare<'py, T: Send>(
        &self,
        py: Python<'py>,
        x: &Inputs<'py>,
        targets: &Targets<'py>,
        copies: u64,
        work: impl FnOnce(&mut core::Network, Input, core::Target) -> PyResult<T> + Send,
    ) -> PyResult<T> {
        self.check_memory(x.rows(), copies)?;
        let device = Device::flex();
        let more = Weighting { known: None, weights: None, smoothing: 0.0 };
        let (input, target) = (x.lend(&device)?, target(targets, &more, &device)?);
        let handle = input.clone();
        self.with(py, |network| {
            check_finite(&target)?;
            let found = work(network, input, target)?;
            drop(handle);
            Ok(found)
        })
    }

    /// Checks that a batch fits into the free memory: `copies` times the values of all layers.
    fn check_memory(&self, rows: usize, copies: u64) -> PyResult<()> {
        check_free((rows as u64).saturating_mul(self.values).saturating_mul(copies))
    }

    /// Trains on a batch. An exception of an activation function leaves the network as it was.
    fn train<'py>(
        &self,
        py: Python<'py>,
        optimizer: &Optimizer,
        x: &Inputs<'py>,
        targets: &Targets<'py>,
        more: &Weighting<'py>,
        keep_errors: bool,
    ) -> PyResult<(Sums, Option<Values>)> {
        // Outputs, what layers keep for learning, and signals.
        self.check_memory(x.rows(), 3)?;
        let device = Device::flex();
        let input = x.lend(&device)?;
        let target = target(targets, more, &device)?;
        // While a second handle exists, no layer computes in the memory of an array.
        let handles = (input.clone(), target.clone());
        self.with_state(py, |network| {
            check_finite(&target)?;
            let mut errors = None;
            let metrics = network
                .train_batch_observed(optimizer.0.as_ref(), input, target, |signal| {
                    if calls::has_raised() {
                        return Err(core::Error::setting("an activation function has failed"));
                    }
                    errors = keep_errors.then(|| Values::of(signal.clone()));
                    Ok(())
                })
                .map_err(exception)?;
            drop(handles);
            Ok((sums(metrics), errors.transpose()?))
        })
    }
}

/// Checks the values of a target before anything is computed.
fn check_finite(target: &core::Target) -> PyResult<()> {
    let (core::Target::Values(values) | core::Target::PartialValues { values, .. }) = target else {
        return Ok(());
    };
    match core::ops::all_finite(values) {
        true => Ok(()),
        false => Err(input(
            "the target has values that are NaN or infinite; nothing was computed, and the network is unchanged",
        )),
    }
}

/// Reads the settings of layers. Gates with activation functions in Python name them by position.
fn layers(json: &str, functions: Vec<(String, Py<PyAny>)>) -> PyResult<Vec<Box<dyn LayerConfig>>> {
    let read = move |_: &Registry, mut settings: Value| {
        let index = settings["function"].as_u64().unwrap_or_default() as usize;
        settings.as_object_mut().map(|object| object.remove("function"));
        let mut config: GateConfig =
            serde_json::from_value(settings).map_err(|error| error.to_string())?;
        let (name, function) = functions.get(index).ok_or("the function is missing")?;
        let function = exit::attach(|py| function.clone_ref(py));
        config.activation = activation(name, function);
        Ok(config)
    };
    let registry = Registry::default().with_container(PYTHON_GATE, read);
    let json = serde_json::from_str(json).map_err(|error| input(error.to_string()))?;
    registry.read_layers(json).map_err(input)
}

#[pymethods]
impl Network {
    /// Builds a network with weights drawn from a seed.
    #[new]
    fn new(
        py: Python<'_>,
        input_shape: Vec<usize>,
        layer_settings: &str,
        functions: Vec<(String, Py<PyAny>)>,
        rule: &str,
        seed: u64,
    ) -> PyResult<Self> {
        let has_functions = !functions.is_empty();
        let rule: Rule =
            serde_json::from_str(rule).map_err(|error| input(format!("rule: {error}")))?;
        let network = compute(py, || {
            let mut builder = core::Network::builder(&input_shape).rule(rule).seed(seed);
            for layer in layers(layer_settings, functions)? {
                builder = builder.boxed_layer(layer);
            }
            if let Some(free) = memory::available() {
                builder = builder.at_most(free / BYTES_OF_A_WEIGHT);
            }
            builder.build(&Device::flex()).map_err(|error| match error.kind() {
                core::ErrorKind::Memory => PyMemoryError::new_err(format!(
                    "the network does not fit into the free memory: {error}"
                )),
                _ => exception(error),
            })
        })?;
        Self::of(network, has_functions)
    }

    /// Loads a network and its notes from a model file.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<(Self, BTreeMap<String, String>)> {
        let (network, header) = compute(py, || {
            zor::io::load(&path, &Device::flex()).map_err(|error| of_file(&path, error))
        })?;
        Ok((Self::of(network, false)?, header.notes))
    }

    /// Loads a network from the bytes of a model file.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, bytes: &[u8]) -> PyResult<(Self, BTreeMap<String, String>)> {
        let (network, header): (_, Header) = compute(py, || {
            zor::io::load_bytes(bytes, &Device::flex(), &Registry::default()).map_err(exception)
        })?;
        Ok((Self::of(network, false)?, header.notes))
    }

    /// Saves a model file with values of a type, `f32`, `f16` or `bf16`.
    fn save(
        &self,
        py: Python<'_>,
        path: PathBuf,
        notes: BTreeMap<String, String>,
        dtype: &str,
    ) -> PyResult<()> {
        let dtype: DType = match dtype {
            "f32" => DType::F32,
            "f16" => DType::F16,
            "bf16" => DType::Bf16,
            other => return Err(input(format!("dtype is '{other}'; it must be f32, f16 or bf16"))),
        };
        self.with(py, |network| zor::io::save_as(network, &notes, dtype, &path).map_err(exception))
    }

    /// Returns the bytes of a checkpoint: weights, state of the optimizer, charges and history.
    fn to_bytes<'py>(
        &self,
        py: Python<'py>,
        notes: BTreeMap<String, String>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let bytes =
            self.with(py, |network| zor::io::checkpoint_bytes(network, &notes).map_err(exception))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Saves a checkpoint, which holds what `to_bytes` returns.
    fn save_checkpoint(
        &self,
        py: Python<'_>,
        path: PathBuf,
        notes: BTreeMap<String, String>,
    ) -> PyResult<()> {
        self.with(py, |network| {
            let bytes = zor::io::checkpoint_bytes(network, &notes).map_err(exception)?;
            zor::io::atomic::write(Path::new(&path), &bytes).map_err(exception)
        })
    }

    /// Returns a copy with its state.
    fn duplicate(&self, py: Python<'_>) -> PyResult<Self> {
        let copy = self.with(py, |network| {
            let mut copy = network.clone();
            copy.set_carried_state(network.carried_state()).map_err(exception)?;
            Ok(copy)
        })?;
        Self::of(copy, self.has_functions)
    }

    /// Trains on a batch. Returns the number of values and the sums of absolute and squared errors.
    #[pyo3(signature = (optimizer, x, targets, known, weights, smoothing))]
    #[allow(clippy::too_many_arguments, reason = "called by two functions in Python")]
    fn train_batch<'py>(
        &self,
        py: Python<'py>,
        optimizer: &Optimizer,
        x: Inputs<'py>,
        targets: Targets<'py>,
        known: Option<Matrix<'py>>,
        weights: Option<numpy::PyReadonlyArray1<'py, f32>>,
        smoothing: f32,
    ) -> PyResult<Sums> {
        let more = Weighting { known, weights, smoothing };
        Ok(self.train(py, optimizer, &x, &targets, &more, false)?.0)
    }

    /// Trains on a batch. Returns the error of each output before the step, `target - output`.
    #[pyo3(signature = (optimizer, x, targets) -> "numpy.typing.NDArray[numpy.float32]")]
    fn train_batch_errors<'py>(
        &self,
        py: Python<'py>,
        optimizer: &Optimizer,
        x: Matrix<'py>,
        targets: Matrix<'py>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let more = Weighting { known: None, weights: None, smoothing: 0.0 };
        let (x, targets) = (Inputs::Values(x), Targets::Values(targets));
        let (_, errors) = self.train(py, optimizer, &x, &targets, &more, true)?;
        match errors {
            Some(errors) => errors.into_array(py),
            None => Err(of_kind("internal", "a step has not shown its errors")),
        }
    }

    /// Returns the outputs for rows, from zero charges.
    #[pyo3(signature = (x) -> "numpy.typing.NDArray[numpy.float32]")]
    fn predict<'py>(&self, py: Python<'py>, x: Inputs<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let rows = x.rows();
        let block = match x {
            Inputs::Values(_) => self.block,
            Inputs::Sequences(_) => rows,
        };
        // The outputs, and a block in all layers.
        check_free((rows as u64).saturating_mul(self.output_size as u64))?;
        self.check_memory(rows.min(block), 2)?;
        let device = Device::flex();
        let mut workspace = Workspace::new(&device);
        let mut predict = |part: Range<usize>| {
            let part = rows_of(&x, part, &device)?;
            let handle = part.clone();
            self.with(py, |network| {
                let output = network.predict_in(part, &mut workspace).map_err(exception)?;
                drop(handle);
                Values::of(output)
            })
        };
        if rows <= block {
            return predict(0..rows)?.into_array(py);
        }
        let (mut outputs, mut width) = (Vec::new(), 0);
        for start in (0..rows).step_by(block) {
            let found = predict(start..rows.min(start + block))?;
            width = found.columns();
            if outputs.is_empty() {
                outputs.reserve_exact(rows * width);
            }
            outputs.extend(found.into_vec());
            py.check_signals()?;
        }
        array_of(py, outputs, [rows, width])
    }

    /// Returns the outputs for a batch that continues the rows of previous batches.
    #[pyo3(signature = (x) -> "numpy.typing.NDArray[numpy.float32]")]
    fn predict_stateful<'py>(
        &self,
        py: Python<'py>,
        x: Matrix<'py>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        self.outputs(py, &x, |network, input| network.predict_stateful(input))
    }

    /// Returns the outputs that a training step would compare with its target.
    #[pyo3(signature = (x) -> "numpy.typing.NDArray[numpy.float32]")]
    fn training_forward<'py>(
        &self,
        py: Python<'py>,
        x: Matrix<'py>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        self.outputs(py, &x, |network, input| network.training_forward(input))
    }

    /// Returns the sums of errors of predictions.
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        x: Inputs<'py>,
        targets: Targets<'py>,
    ) -> PyResult<Sums> {
        self.compare(py, &x, &targets, 2, |network, input, target| {
            Ok(sums(network.evaluate(input, target).map_err(exception)?))
        })
    }

    /// Returns the cosine between the update and backpropagation's gradient for each weight matrix,
    /// from the first layer to the last.
    fn cosines<'py>(
        &self,
        py: Python<'py>,
        x: Inputs<'py>,
        targets: Targets<'py>,
    ) -> PyResult<Vec<f64>> {
        self.compare(py, &x, &targets, 6, |network, input, target| {
            alignment::cosines(network, input, target).map_err(exception)
        })
    }

    /// Returns all tensors: name, whether it is trained, and the value, `[rows, columns]`.
    #[allow(clippy::type_complexity, reason = "it is written once")]
    #[pyo3(signature = () -> "list[tuple[str, bool, numpy.typing.NDArray[numpy.float32]]]")]
    fn tensors<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Vec<(String, bool, Bound<'py, PyArray2<f32>>)>> {
        let found = self.with(py, |network| {
            let all = network.tensors().into_iter();
            let one = all.map(|(name, role, tensor)| (name, role == Role::Trained, tensor.value()));
            Ok(one.collect::<Vec<_>>())
        })?;
        let one = |(name, trained, tensor)| Ok((name, trained, array(py, tensor)?));
        found.into_iter().map(one).collect()
    }

    /// Replaces all tensors, or none, and clears the state of the optimizer.
    fn set_tensors<'py>(
        &self,
        py: Python<'py>,
        values: BTreeMap<String, Matrix<'py>>,
    ) -> PyResult<()> {
        let device = Device::flex();
        let mut tensors = BTreeMap::new();
        for (name, value) in &values {
            let shape = [value.shape()[0], value.shape()[1]];
            let copied = value.as_array().iter().copied().collect::<Vec<f32>>();
            if let Some(at) = copied.iter().position(|value| !value.is_finite()) {
                return Err(input(format!(
                    "value {at} of '{name}' is {}, not a finite number; the network is unchanged",
                    copied[at]
                )));
            }
            let data = TensorData::new(copied, shape);
            tensors.insert(name.clone(), Tensor::<2>::from_data(data, &device));
        }
        self.with(py, |network| {
            let known: BTreeMap<String, [usize; 2]> = network
                .tensors()
                .into_iter()
                .map(|(name, _, tensor)| (name, tensor.shape()))
                .collect();
            for (name, tensor) in &tensors {
                match known.get(name) {
                    None => {
                        let names: Vec<&str> = known.keys().map(String::as_str).collect();
                        return Err(input(format!(
                            "the network has no tensor '{name}'; it has {}",
                            names.join(", ")
                        )));
                    }
                    Some(shape) if *shape != tensor.dims() => {
                        return Err(input(format!(
                            "'{name}' has shape {:?}; the network's has {shape:?}",
                            tensor.dims()
                        )));
                    }
                    Some(_) => {}
                }
            }
            let mut failed = None;
            let visited = network.for_each_tensor(|name, parameter| {
                if let Some(value) = tensors.remove(name) {
                    failed = failed.take().or(parameter.set_value(value).err());
                }
            });
            visited.map_err(exception)?;
            failed.map_or(Ok(()), |error| Err(exception(error)))
        })
    }

    /// Returns the share of units that fired in the last training batch, by position of the layer.
    fn spike_rates(&self, py: Python<'_>) -> PyResult<Vec<(usize, f32)>> {
        self.with(py, |network| Ok(network.spike_rates()))
    }

    /// Returns the charges after the last batch, by position of the layer.
    #[allow(clippy::type_complexity, reason = "it is written once")]
    #[pyo3(signature = () -> "list[tuple[int, numpy.typing.NDArray[numpy.float32]]]")]
    fn charges<'py>(&self, py: Python<'py>) -> PyResult<Vec<(usize, Bound<'py, PyArray2<f32>>)>> {
        let found = self.with(py, |network| Ok(network.charges()))?;
        found.into_iter().map(|(at, tensor)| Ok((at, array(py, tensor)?))).collect()
    }

    /// Returns the mean absolute error of each training step, `[steps]`; of a long training the
    /// last steps, at least 65,536.
    #[pyo3(signature = () -> "numpy.typing.NDArray[numpy.float32]")]
    fn history<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let history = self.with(py, |network| Ok(network.history().to_vec()))?;
        Ok(PyArray1::from_vec(py, history))
    }

    /// Sets charges and spikes to those of a new network.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |network| {
            network.reset();
            Ok(())
        })
    }

    /// Clears the state of the optimizer.
    fn reset_optimizer(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |network| {
            network.reset_optimizer();
            Ok(())
        })
    }

    /// Restarts the schedule of the learning rate.
    fn begin_phase(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |network| {
            network.begin_phase();
            Ok(())
        })
    }

    /// Returns a table of layers, shapes, parameters and multiply-adds.
    fn summary(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |network| Ok(network.summary().to_string()))
    }

    /// Returns shapes, number of parameters, rule and layers as JSON. Settings of layers that
    /// cannot be saved are left out.
    fn description(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |network| {
            let layers: Vec<Value> = network
                .layers()
                .iter()
                .map(|layer| layer.record().unwrap_or_else(|_| json!({ "kind": layer.kind() })))
                .collect();
            let description = json!({
                "input_shape": network.input_shape(),
                "output_shape": network.output_shape(),
                "n_parameters": network.n_parameters(),
                "rule": network.rule(),
                "layers": layers,
            });
            Ok(description.to_string())
        })
    }
}

/// Returns the rule of a name, `default`, `classic` or `backprop`, as JSON.
#[pyfunction]
pub(crate) fn preset_rule(name: &str) -> PyResult<String> {
    let rule = match name {
        "default" => Rule::default(),
        "classic" => Rule::classic(),
        "backprop" => Rule::backprop(),
        other => {
            return Err(input(format!(
                "there is no rule '{other}'; there are default, classic and backprop"
            )));
        }
    };
    Ok(json!(rule).to_string())
}

/// Whether outputs of a layer depend on several rows of a batch.
fn rows_meet(layer: &dyn Layer) -> bool {
    layer.kind() == "spike_attention" || layer.children().into_iter().any(rows_meet)
}

/// Lends rows of an input to a network.
fn rows_of(x: &Inputs<'_>, rows: Range<usize>, device: &Device) -> PyResult<Input> {
    use pyo3::types::PySlice;
    let x = match x {
        Inputs::Values(values) if rows != (0..x.rows()) => values,
        whole => return whole.lend(device),
    };
    let py = x.py();
    let slice = PySlice::new(py, rows.start as isize, rows.end as isize, 1);
    let part: Matrix<'_> = x.as_any().get_item(slice)?.extract()?;
    Ok(lend(&part, device)?.into())
}
