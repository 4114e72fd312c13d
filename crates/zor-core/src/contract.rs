//! Requirements that a network has of its layers before it runs them: tensors that can all be changed, and sizes that fit.

use std::ptr;

use burn::tensor::Device;

use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::parameter::Parameter;

/// Whether a layer shows the same tensors in every way, which saving, loading and training rely on.
///
/// # Errors
/// Names the layer, and the method to implement.
pub(crate) fn check_tensors(layer: &mut dyn Layer) -> Result<()> {
    check_children(layer)?;
    let kind = layer.kind();
    let compare = |shown: &[*const Parameter], changed: &[*const Parameter], name: &str| {
        if shown == changed {
            return Ok(());
        }
        let found = match (shown.len(), changed.len()) {
            (a, b) if a == b => "others, or in another order".to_owned(),
            (_, b) => b.to_string(),
        };
        Err(Error::setting(format!(
            "{name} of a layer of kind '{kind}' gives {} and {name}_mut gives {found}; implement {name} and {name}_mut so that \
             they return the same tensors in the same order",
            shown.len()
        )))
    };
    let shown = addresses(layer.parameters());
    let changed: Vec<_> = layer.parameters_mut().into_iter().map(|p| ptr::from_ref(p)).collect();
    compare(&shown, &changed, "parameters")?;
    let shown = addresses(layer.buffers());
    let changed: Vec<_> = layer.buffers_mut().into_iter().map(|p| ptr::from_ref(p)).collect();
    compare(&shown, &changed, "buffers")
}

/// Whether a layer made of others has their tensors and no more: names of tensors are those of the children.
fn check_children(layer: &dyn Layer) -> Result<()> {
    let children = layer.children();
    if children.is_empty() {
        return Ok(());
    }
    type Tensors = fn(&dyn Layer) -> Vec<&Parameter>;
    let all: [(&str, Tensors); 2] =
        [("parameters", |layer| layer.parameters()), ("buffers", |layer| layer.buffers())];
    for (name, tensors) in all {
        let of_children = children.iter().flat_map(|child| tensors(*child)).collect();
        let (own, of_children) = (addresses(tensors(layer)), addresses(of_children));
        if own != of_children {
            return Err(Error::setting(format!(
                "{name} of a layer of kind '{}' gives {}, and its children have {}; {name} must return those of children() in their \
                 order and no others: put a tensor of the layer itself into a child",
                layer.kind(),
                own.len(),
                of_children.len()
            )));
        }
    }
    children.into_iter().try_for_each(check_children)
}

fn addresses(tensors: Vec<&Parameter>) -> Vec<*const Parameter> {
    tensors.into_iter().map(ptr::from_ref).collect()
}

/// Whether every layer takes as many values as the one below it gives, as far as it says so.
///
/// # Errors
/// Names the layer by position and kind, and both sizes.
pub(crate) fn check_sizes(input_shape: &[usize], layers: &[Box<dyn Layer>]) -> Result<()> {
    let mut below = input_shape;
    for (position, layer) in layers.iter().enumerate() {
        let given: usize = below.iter().product();
        if let Some(taken) = layer.input_size()
            && taken != given
        {
            let from = match position.checked_sub(1) {
                Some(below) => format!("layer {below}"),
                None => "the input".to_owned(),
            };
            return Err(Error::shape(format!(
                "layer {position} ({}) takes {taken} values of a sample; {from} gives {given}, of shape {below:?}",
                layer.kind()
            )));
        }
        below = layer.output_shape();
    }
    Ok(())
}

/// Whether all tensors of a layer are on a device.
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
