//! A network as what a file keeps of it: its tensors by name, and what layers remember from step to step.
//!
//! A name is the positions of a layer, from the network's down, and the tensor's name in it: `0.weight`, or `4.1.kernel` for the second layer inside
//! the fifth.

use burn::tensor::Tensor;

use crate::build::parameter_name;
use crate::contract::check_tensors;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::network::Network;
use crate::parameter::Parameter;
use crate::workspace::Memory;

/// What layers remember from step to step: charges, and how often random numbers were drawn.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// Tensors by name, such as `1.charge`: `[batch, units]`.
    pub tensors: Vec<(String, Tensor<2>)>,
    /// Training passes of each layer that counts them, by its positions, such as `4.1`.
    pub counts: Vec<(String, u64)>,
}

/// What a tensor is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is trained.
    Trained,
    /// It is kept beside what is trained, such as a running mean.
    Buffer,
}

impl Network {
    /// All parameters and buffers by name, in a fixed order.
    pub fn tensors(&self) -> Vec<(String, Role, &Parameter)> {
        let mut all = Vec::new();
        for (position, layer) in self.layers().iter().enumerate() {
            for role in [Role::Trained, Role::Buffer] {
                let names = names(layer.as_ref(), position, role);
                let tensors = tensors(layer.as_ref(), role);
                let named = names.into_iter().zip(tensors);
                all.extend(named.map(|(name, tensor)| (name, role, tensor)));
            }
        }
        all
    }

    /// Changes all parameters and buffers, in the same order.
    ///
    /// # Errors
    /// When a layer that was put in later does not show all its tensors in every way, as [`Network::from_layers`] asks; nothing has
    /// changed then.
    pub fn for_each_tensor(&mut self, mut change: impl FnMut(&str, &mut Parameter)) -> Result<()> {
        for (position, layer) in self.layers_mut().iter_mut().enumerate() {
            let checked = check_tensors(layer.as_mut());
            checked.map_err(|e| e.at(format_args!("layer {position} ({})", layer.kind())))?;
        }
        for (position, layer) in self.layers_mut().iter_mut().enumerate() {
            for role in [Role::Trained, Role::Buffer] {
                let names = names(layer.as_ref(), position, role);
                let tensors = match role {
                    Role::Trained => layer.parameters_mut(),
                    Role::Buffer => layer.buffers_mut(),
                };
                for (name, tensor) in names.iter().zip(tensors) {
                    change(name, tensor);
                }
            }
        }
        Ok(())
    }

    /// What layers remember from step to step.
    pub fn remembered(&self) -> Remembered {
        let mut found = Remembered::default();
        for (position, layer) in self.layers().iter().enumerate() {
            let memory = &self.state().memories[position];
            collect(layer.as_ref(), memory, &mut vec![position], &mut found);
        }
        found
    }

    /// Has layers remember what others of the same network did.
    ///
    /// # Errors
    /// When no layer of this network remembers something of such a name; the network is as before then.
    pub fn set_remembered(&mut self, remembered: Remembered) -> Result<()> {
        let mut memories = vec![Memory::default(); self.layers().len()];
        let (mut tensors, mut counts) = (remembered.tensors, remembered.counts);
        for (position, layer) in self.layers().iter().enumerate() {
            let path = &mut vec![position];
            restore(layer.as_ref(), &mut memories[position], path, &mut tensors, &mut counts);
        }
        let unknown = tensors.into_iter().map(|(name, _)| name);
        let unknown: Vec<_> = unknown.chain(counts.into_iter().map(|(name, _)| name)).collect();
        if !unknown.is_empty() {
            return Err(Error::setting(format!(
                "no layer of this network remembers {}",
                unknown.join(", ")
            )));
        }
        self.state_mut().memories = memories;
        Ok(())
    }
}

fn tensors(layer: &dyn Layer, role: Role) -> Vec<&Parameter> {
    match role {
        Role::Trained => layer.parameters(),
        Role::Buffer => layer.buffers(),
    }
}

/// Names of a layer's tensors, in its order.
fn names(layer: &dyn Layer, position: usize, role: Role) -> Vec<String> {
    fn visit(layer: &dyn Layer, role: Role, path: &mut Vec<usize>, names: &mut Vec<String>) {
        let children = layer.children();
        if children.is_empty() {
            let own = tensors(layer, role).into_iter();
            names.extend(own.map(|tensor| parameter_name(path, tensor.name())));
        }
        for (index, child) in children.into_iter().enumerate() {
            path.push(index);
            visit(child, role, path, names);
            path.pop();
        }
    }
    let mut found = Vec::new();
    visit(layer, role, &mut vec![position], &mut found);
    found
}

fn positions(path: &[usize]) -> String {
    path.iter().map(usize::to_string).collect::<Vec<_>>().join(".")
}

fn collect(layer: &dyn Layer, memory: &Memory, path: &mut Vec<usize>, found: &mut Remembered) {
    for slot in layer.remembers() {
        if let Some(tensor) = memory.get(slot) {
            found.tensors.push((parameter_name(path, slot), tensor.clone()));
        }
    }
    if memory.counted() > 0 {
        found.counts.push((positions(path), memory.counted()));
    }
    for (index, child) in layer.children().into_iter().enumerate() {
        if let Some(memory) = memory.get_child(index) {
            path.push(index);
            collect(child, memory, path, found);
            path.pop();
        }
    }
}

fn restore(
    layer: &dyn Layer,
    memory: &mut Memory,
    path: &mut Vec<usize>,
    tensors: &mut Vec<(String, Tensor<2>)>,
    counts: &mut Vec<(String, u64)>,
) {
    for slot in layer.remembers() {
        let name = parameter_name(path, slot);
        if let Some(at) = tensors.iter().position(|(known, _)| *known == name) {
            memory.keep(slot, tensors.swap_remove(at).1);
        }
    }
    let place = positions(path);
    if let Some(at) = counts.iter().position(|(known, _)| *known == place) {
        memory.set_counted(counts.swap_remove(at).1);
    }
    for (index, child) in layer.children().into_iter().enumerate() {
        path.push(index);
        restore(child, memory.child(index), path, tensors, counts);
        path.pop();
    }
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use crate::step::Target;
    use crate::{
        BatchNormConfig, BranchConfig, Conv2dConfig, DenseConfig, DropoutConfig, GateConfig,
        Optimizer, Random, Rule, SequenceConfig, Workspace,
    };
    use burn::tensor::Device;

    #[derive(Debug)]
    struct Descend;

    impl Optimizer for Descend {
        fn name(&self) -> &str {
            "descend"
        }

        fn check(&self) -> Result<()> {
            Ok(())
        }

        fn step(&self, parameter: &mut Parameter, correlation: Tensor<2>, _: &mut Workspace) {
            parameter.update(|weight, _, _| weight + correlation * 0.1);
        }
    }

    fn network() -> Network {
        let inner = SequenceConfig::new().layer(Conv2dConfig::same(2, 3));
        let inner = inner.layer(BatchNormConfig::default()).layer(DropoutConfig::new(0.5));
        let block = BranchConfig::residual().layer(inner).layer(GateConfig::default());
        Network::builder(&[3, 3, 2])
            .rule(Rule::classic())
            .layer(block.shortcut(Conv2dConfig::new(2, 1)))
            .layer(GateConfig::default())
            .layer(DenseConfig::new(4))
            .build(&Device::flex())
            .unwrap()
    }

    #[test]
    fn names_are_positions_and_what_the_layer_calls_it() {
        let network = network();
        let names: Vec<String> = network.tensors().into_iter().map(|(name, ..)| name).collect();
        let expected = [
            "0.0.0.kernel",
            "0.0.1.scale",
            "0.0.1.shift",
            "0.2.kernel",
            "0.0.1.mean",
            "0.0.1.variance",
            "2.weight",
        ];
        assert_eq!(names, expected);
        let mut again = Vec::new();
        let mut clone = network.clone();
        clone
            .for_each_tensor(|name, tensor| again.push((name.to_owned(), tensor.shape())))
            .unwrap();
        let shapes = network.tensors().into_iter().map(|(name, _, tensor)| (name, tensor.shape()));
        assert_eq!(again, shapes.collect::<Vec<_>>());
    }

    #[test]
    fn weights_are_asked_for_by_the_names_that_tensors_have() {
        struct Asked(Vec<(String, [usize; 2])>);
        impl crate::Weights for Asked {
            fn take(&mut self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>> {
                self.0.push((name.to_owned(), shape));
                Ok(Tensor::zeros(shape, &Device::flex()))
            }
        }
        let inner = SequenceConfig::new().layer(Conv2dConfig::same(2, 3));
        let inner = inner.layer(BatchNormConfig::default());
        let block = BranchConfig::residual().layer(inner).shortcut(Conv2dConfig::new(2, 1));
        let builder = Network::builder(&[3, 3, 2]).layer(block).layer(DenseConfig::new(4));
        let mut asked = Asked(Vec::new());
        let network = builder.build_from(&mut asked, &Device::flex()).unwrap();
        let mut named: Vec<_> =
            network.tensors().into_iter().map(|(name, _, t)| (name, t.shape())).collect();
        named.sort();
        asked.0.sort();
        assert_eq!(asked.0, named);
    }

    #[test]
    fn training_goes_on_from_what_was_remembered() {
        let mut random = Random::seeded(1);
        let mut input = || Parameter::normal("x", [5, 18], 1.0, &mut random, &Device::flex());
        let batches = [input().value(), input().value()];
        let mut first = network();
        let train = |network: &mut Network, input: &Tensor<2>| {
            network
                .train_batch(&Descend, input.clone(), Target::Classes(vec![0, 1, 2, 3, 0]))
                .unwrap()
        };
        train(&mut first, &batches[0]);
        let (mut second, mut forgetful) = (first.clone(), first.clone());
        second.set_remembered(first.remembered()).unwrap();
        let expected = train(&mut first, &batches[1]);
        assert_eq!(train(&mut second, &batches[1]), expected);
        assert_ne!(train(&mut forgetful, &batches[1]), expected, "charges and dropout matter");
        let remembered = first.remembered();
        let names: Vec<&str> = remembered.tensors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["0.1.charge", "1.charge"]);
        assert_eq!(remembered.counts, [("0.0.2".to_owned(), 2)]);
    }

    #[test]
    fn what_no_layer_remembers_is_named() {
        let mut network = network();
        let before = network.remembered().counts;
        let counts = vec![("7.1".to_owned(), 3)];
        let error = network.set_remembered(Remembered { tensors: Vec::new(), counts }).unwrap_err();
        assert!(error.to_string().contains("7.1"), "{error}");
        assert_eq!(network.remembered().counts, before);
    }
}
