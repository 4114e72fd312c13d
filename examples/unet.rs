//! Trains a U-Net to remove noise from images of clothing.
use zor::data::Values;
use zor::prelude::*;
use zor::tasks::parts::networks::conv_block;

/// A U-Net with max pooling, transposed convolutions and two skip connections.
fn unet() -> NetworkBuilder {
    let bottom = BranchConfig::concatenate()
        .layer(Pool2dConfig::max(2))
        .layer(conv_block(64))
        .layer(Conv2dConfig::up(32, 2));
    let middle = BranchConfig::concatenate()
        .layer(Pool2dConfig::max(2))
        .layer(conv_block(32))
        .layer(bottom)
        .layer(conv_block(32))
        .layer(Conv2dConfig::up(16, 2));
    Network::builder(&[28, 28, 1])
        .layer(conv_block(16))
        .layer(middle)
        .layer(conv_block(16))
        .layer(Conv2dConfig::new(1, 1))
}

fn main() -> zor::Result<()> {
    let device = Device::flex();
    let images = FashionMnist::load(&Locations::from_environment(None))?.train;
    let batches = Batches::new(images, 32, Order::Random, 1)?;
    let mut network = unet().build(&device)?;
    println!("{}", network.summary());
    let optimizer = AdamW::new(Schedule::cosine(2e-3, STEPS));
    let (mut batch, mut random) = (Batch::default(), Random::seeded(2));
    for step in 0..STEPS {
        batches.fill(step, &mut batch);
        let clean = matrix(batch.inputs.numbers(), batch.rows, &device)?;
        if let Values::Numbers(pixels) = &mut batch.inputs {
            pixels.iter_mut().for_each(|pixel| *pixel += 0.3 * random.normal());
        }
        let noisy = matrix(batch.inputs.numbers(), batch.rows, &device)?;
        let error = network.train_batch(&optimizer, noisy, clean)?;
        if step % 50 == 49 {
            println!("step {}: {:.2} dB (noise: 10.46 dB)", step + 1, error.psnr_db());
        }
    }
    Ok(())
}

const STEPS: u64 = 200;
