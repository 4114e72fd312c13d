//! Trains a small U-Net to colorize grey photographs of any size.
use zor::prelude::*;
use zor::task::Plan;
use zor::tasks;
use zor::tasks::parts::color::luminance;
use zor::tasks::parts::colorize::colorize;
use zor::tasks::parts::networks::colorizer;
use zor::training::evaluate::evaluate;

const STEPS: u64 = 600;

fn main() -> zor::Result<()> {
    let device = Device::flex();
    let cifar = Cifar10::load(&Locations::from_environment(None))?;
    let few = cifar.train.first(5000)?;
    // Data augmentation: shifts, stretches and flips, with mirrored borders.
    let augment = Augment { border: Border::Mirror, stretch: 0.3, ..Augment::shifts_and_flips(4) };
    let batches = Batches::new(Augmented::new(few, augment)?, 128, Order::Shuffled, 1)?;
    let mut network = colorizer(32, 32).build(&device)?;
    println!("{}", network.summary());

    let optimizer = Muon::new(Schedule::linear(0.02, STEPS));
    let mut batch = Batch::default();
    for step in 0..STEPS {
        batches.fill(step, &mut batch);
        let images = matrix(batch.inputs.numbers(), batch.rows, &device)?;
        // The input is the luminance, the target the image in colour.
        let error = network.train_batch(&optimizer, luminance(images.clone()), images)?;
        if step % 50 == 49 {
            println!("step {}: {:.2} dB on the batch", step + 1, error.psnr_db());
        }
    }
    let test = cifar.test.first(2000)?;
    let plan = Plan::of(tasks::named("cifar-colorization")?);
    let score = evaluate(&network, &plan, &test, &device)?;
    println!("{:.2} dB on 2,000 test images (grey: 21.8 dB)", score.deviation.psnr_db());

    // Pictures of any size are colorized in overlapping tiles.
    let grey: Vec<f32> = (0..48 * 64).map(|at| (at / 64) as f32 / 48.0).collect();
    let sky = colorize(&network, &grey, [48, 64], &device)?;
    println!("the centre of a grey gradient becomes {:.2?}", &sky[3 * (24 * 64 + 32)..][..3]);
    Ok(())
}
