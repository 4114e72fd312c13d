//! Checks that a network makes before it runs its layers: both visits show the same tensors, and
//! shapes and devices fit.

use std::ptr;

use burn::tensor::Device;

use crate::error::{Error, Result};
use crate::layer::{Layer, Visitor, VisitorMut};
use crate::parameter::Parameter;

/// Exclusive upper bound of the values in a sample; arithmetic on shapes below it does not
/// overflow.
const MAX_VALUES: usize = 1 << 40;

/// Rejects shapes without values, and those with more values than fit into memory.
pub(crate) fn check_shape(shape: &[usize]) -> Result<()> {
    let values = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    match values {
        Some(1..MAX_VALUES) if !shape.is_empty() => Ok(()),
        Some(0) => Err(Error::shape(format!("a shape of {shape:?} is empty"))),
        _ => Err(Error::shape(format!("a shape of {shape:?} has too many values for a sample"))),
    }
}

/// An item that a layer shows to a visitor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Parameter(*const Parameter),
    Buffer(*const Parameter),
    Child(*const ()),
}

/// Everything that a layer shows, including the contents of nested layers.
#[derive(Default)]
struct List(Vec<Shown>);

impl<'a> Visitor<'a> for List {
    fn parameter(&mut self, parameter: &'a Parameter) {
        self.0.push(Shown::Parameter(ptr::from_ref(parameter)));
    }

    fn buffer(&mut self, buffer: &'a Parameter) {
        self.0.push(Shown::Buffer(ptr::from_ref(buffer)));
    }

    fn child(&mut self, layer: &'a dyn Layer) {
        self.0.push(Shown::Child(ptr::from_ref(layer).cast()));
        layer.visit(self);
    }
}

impl<'a> VisitorMut<'a> for List {
    fn parameter(&mut self, parameter: &'a mut Parameter) {
        self.0.push(Shown::Parameter(ptr::from_ref(parameter)));
    }

    fn buffer(&mut self, buffer: &'a mut Parameter) {
        self.0.push(Shown::Buffer(ptr::from_ref(buffer)));
    }

    fn child(&mut self, layer: &'a mut dyn Layer) {
        self.0.push(Shown::Child(ptr::from_ref::<dyn Layer>(layer).cast()));
        layer.visit_mut(self);
    }
}

/// Rejects a layer whose two visits differ: training would change other tensors than those that are
/// saved and loaded.
///
/// # Errors
/// Names the kind of the layer and the items of both visits.
pub(crate) fn check_visits(layer: &mut dyn Layer) -> Result<()> {
    let (mut shown, mut changed) = (List::default(), List::default());
    layer.visit(&mut shown);
    layer.visit_mut(&mut changed);
    if shown.0 == changed.0 {
        return Ok(());
    }
    let described = |list: &[Shown]| {
        let count = |is: fn(&Shown) -> bool| list.iter().filter(|one| is(one)).count();
        format!(
            "{} parameters, {} buffers and {} layers",
            count(|one| matches!(one, Shown::Parameter(_))),
            count(|one| matches!(one, Shown::Buffer(_))),
            count(|one| matches!(one, Shown::Child(_)))
        )
    };
    let (shown, changed) = (described(&shown.0), described(&changed.0));
    let difference = if shown == changed {
        format!("{shown}, visit_mut others or in another order")
    } else {
        format!("{shown}, visit_mut {changed}")
    };
    Err(Error::setting(format!(
        "the two visits of a layer of kind '{}' differ: visit shows {difference}; both must show the same parts in the same order",
        layer.kind()
    )))
}

/// Checks that all tensors of a layer are on a device.
///
/// # Errors
/// Names the tensor and both devices.
pub(crate) fn check_device(layer: &dyn Layer, device: &Device) -> Result<()> {
    let mut all = layer.parameters().into_iter().chain(layer.buffers());
    match all.find(|tensor| tensor.value().device() != *device) {
        None => Ok(()),
        Some(tensor) => Err(Error::setting(format!(
            "its {} is on {:?}, the network on {device:?}; build the layer on the device of the network",
            tensor.name(),
            tensor.value().device()
        ))),
    }
}
