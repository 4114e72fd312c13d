//! Trains three layers to reconstruct images of clothing in 500 steps, without an autodiff graph.
use zor::prelude::*;

fn main() -> zor::Result<()> {
    let device = Device::flex();
    let images = FashionMnist::load(&Locations::from_environment(None))?.train;
    let batches = Batches::new(images, 48, Order::Random, 1)?;
    let activations = [Activation::None, Activation::None, Activation::Relu];
    let mut network = Network::dense_with(&[784, 64, 784], &activations).build(&device)?;
    let optimizer = Muon::new(Schedule::linear(0.02, 500));
    let mut batch = Batch::default();
    for step in 0..500 {
        batches.fill(step, &mut batch);
        let input = matrix(batch.inputs.numbers(), batch.rows, &device)?;
        let error = network.train_batch(&optimizer, input.clone(), input)?;
        if step % 50 == 49 {
            println!("step {}: mean absolute error {:.4}", step + 1, error.mae());
        }
    }
    Ok(())
}
