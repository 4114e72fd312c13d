//! A custom layer: units that learn their thresholds.
//!
//! Forward: `spike = x > threshold; y = (x - threshold) * spike`. For the signal `s` at the output,
//! the layer passes `s * spike` to the layer below, and updates each threshold with
//! `-sum(s * spike)` over the batch. Except at the threshold itself, both are the gradient.
use zor::core::{
    Initializer, LearnPass, Mode, Parameter, Pass, Result, Signal, Visitor, VisitorMut,
};
use zor::prelude::*;

#[derive(Debug)]
struct LearnedThresholdConfig;

#[derive(Clone, Debug)]
struct LearnedThreshold {
    threshold: Parameter,
}

impl LayerConfig for LearnedThresholdConfig {
    fn build(&self, shape: &[usize], context: &mut BuildContext<'_>) -> Result<Box<dyn Layer>> {
        let units = shape.iter().product();
        let threshold = context.parameter("threshold", [1, units], Initializer::Constant(0.0))?;
        Ok(Box::new(LearnedThreshold { threshold }))
    }
}

impl Layer for LearnedThreshold {
    fn kind(&self) -> &'static str {
        "learned_threshold"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>> {
        Ok(vec![input.iter().product()])
    }

    fn forward(&self, input: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let above = input - self.threshold.value();
        let spike = above.clone().greater_elem(0.0).float();
        if pass.mode == Mode::Train {
            pass.memory.keep("spike", spike.clone());
        }
        above * spike
    }

    fn learn(&mut self, signal: Signal, pass: &mut LearnPass<'_>) -> Signal {
        let Some(spike) = pass.memory.take("spike") else { return signal };
        let signal = signal.map(|values| values * spike.clone());
        let correlation = signal.learned_from().clone().sum_dim(0).neg();
        pass.optimizer.step(&mut self.threshold, correlation, pass.workspace);
        signal
    }

    fn visit<'a>(&'a self, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(&self.threshold);
    }

    fn visit_mut<'a>(&'a mut self, visitor: &mut dyn VisitorMut<'a>) {
        visitor.parameter(&mut self.threshold);
    }
}

fn main() -> zor::Result<()> {
    let device = Device::flex();
    let images = FashionMnist::sample()?.train.first(1000)?;
    let input = matrix(&images.pixels(), images.len(), &device)?;
    let classes: Vec<usize> = images.labels().iter().map(|label| usize::from(*label)).collect();
    let network = Network::builder(&[28, 28, 1]).layer(DenseConfig::new(128));
    let network = network.layer(LearnedThresholdConfig).layer(DenseConfig::new(10));
    let mut network = network.rule(Rule::backprop()).build(&device)?;
    for _ in 0..100 {
        network.train_batch(&AdamW::default(), input.clone(), classes.clone())?;
    }
    println!("mean absolute error of the probabilities: {:?}", network.history().last());
    let thresholds = network.layers()[1].parameters()[0].value().into_data();
    println!("thresholds: {:.4?} ...", thresholds.iter::<f32>().take(8).collect::<Vec<_>>());
    Ok(())
}
